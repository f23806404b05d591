//! Phoenix: spans with OpenInference's attributes, flat or as nested objects.

use super::Export;
use super::attributes::Draft;
use super::record::Record;
use crate::otlp::{Span, Status};
use serde_json::Value;

/// What an export looks like.
pub(super) const SHAPE: &str = "spans with context, span_kind and attributes";

/// Whether a record is a Phoenix span.
pub(super) fn is(value: &Value) -> bool {
    value.get("span_kind").is_some() && value.pointer("/context/span_id").is_some()
}

/// Reads spans.
pub(super) fn read(records: Vec<Value>, export: &mut Export) {
    let (spans, others): (Vec<&Value>, Vec<&Value>) = records.iter().partition(|value| is(value));
    export.spans.extend(spans.into_iter().filter_map(Record::of).filter_map(span));
    export.skipped(others.len());
}

fn span(record: Record<'_>) -> Option<Span> {
    let context = record.map("context")?;
    let mut draft = Draft::default();
    draft.text("openinference.span.kind", record.text("span_kind"));
    for (key, value) in record.map("attributes").into_iter().flat_map(Record::members) {
        flatten(key, value, &mut draft);
    }
    Some(Span {
        trace_id: context.text("trace_id")?.to_lowercase(),
        span_id: context.text("span_id")?.to_lowercase(),
        parent: record.text("parent_id").map(str::to_lowercase),
        name: record.text("name").unwrap_or_default().to_string(),
        start_ns: record.time("start_time"),
        end_ns: record.time("end_time"),
        attributes: draft.finish(),
        status: Status {
            code: if record.text("status_code") == Some("ERROR") { 2 } else { 0 },
            message: record.text("status_message").unwrap_or_default().to_string(),
        },
        ..Span::default()
    })
}

/// Nested members under dotted keys, as they were before Phoenix nested them; metadata is JSON in a text.
fn flatten(key: &str, value: &Value, draft: &mut Draft) {
    match value {
        Value::Object(_) if key == "metadata" => draft.written(key, Some(value)),
        Value::Object(members) => members.iter().for_each(|(name, value)| flatten(&format!("{key}.{name}"), value, draft)),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().enumerate().for_each(|(index, value)| flatten(&format!("{key}.{index}"), value, draft));
        }
        other => draft.value(key, other),
    }
}
