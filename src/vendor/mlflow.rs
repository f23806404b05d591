//! MLflow: a trace's information and its spans, whose attributes are JSON in texts.

use super::attributes::Draft;
use super::record::{Record, decoded, first, plain};
use super::{Export, Score};
use crate::otlp::{Scope, Span, Status};
use serde_json::Value;
use std::sync::Arc;

/// What an export looks like.
pub(super) const SHAPE: &str = "{info, data: {spans}}";

/// Whether a record is an MLflow trace.
pub(super) fn is(value: &Value) -> bool {
    value.pointer("/info/trace_id").is_some() && value.pointer("/data/spans").is_some_and(Value::is_array)
}

/// Reads traces with their assessments.
pub(super) fn read(records: Vec<Value>, export: &mut Export) {
    let mut skipped = 0;
    for value in &records {
        let parts = (value.get("info").and_then(Record::of), value.get("data").and_then(Record::of));
        let (Some(info), Some(data)) = parts else {
            skipped += 1;
            continue;
        };
        let Some(trace_id) = info.text("trace_id").map(str::to_lowercase) else { continue };
        export.spans.extend(data.list("spans").iter().filter_map(Record::of).filter_map(|record| span(record, &trace_id, info)));
        info.list("assessments").iter().filter_map(Record::of).for_each(|record| assessment(record, &trace_id, export));
    }
    export.skipped(skipped);
}

fn span(record: Record<'_>, trace_id: &str, info: Record<'_>) -> Option<Span> {
    let parent = record.text("parent_span_id").or_else(|| record.text("parent_id"));
    let mut draft = Draft::default();
    if let Some(attributes) = record.map("attributes") {
        of_span(attributes, &mut draft);
    }
    if parent.is_none() {
        let metadata = info.map("trace_metadata");
        draft.text("request.id", info.text("client_request_id"));
        draft.text("session.id", metadata.and_then(|metadata| metadata.text("mlflow.trace.session")));
        draft.text("user.id", metadata.and_then(|metadata| metadata.text("mlflow.trace.user")));
    }
    let status = record.map("status");
    let failed = status.and_then(|status| status.text("code")).is_some_and(|code| code.ends_with("ERROR"));
    Some(Span {
        trace_id: trace_id.to_string(),
        span_id: record.text("span_id")?.to_string(),
        parent: parent.map(str::to_string),
        name: record.text("name").unwrap_or_default().to_string(),
        start_ns: record.time("start_time_unix_nano"),
        end_ns: record.time("end_time_unix_nano"),
        attributes: draft.finish(),
        status: Status {
            code: if failed { 2 } else { 0 },
            message: status.and_then(|status| status.text("message")).unwrap_or_default().to_string(),
        },
        scope: Arc::new(Scope { name: "mlflow".to_string(), ..Scope::default() }),
        ..Span::default()
    })
}

fn of_span(attributes: Record<'_>, draft: &mut Draft) {
    let get = |key: &str| attributes.get(key).map(decoded);
    let kind = get("mlflow.spanType").and_then(|kind| kind.as_str().map(str::to_string)).unwrap_or_default();
    draft.text("mlflow.spanType", Some(&kind));
    let (inputs, outputs) = (get("mlflow.spanInputs"), get("mlflow.spanOutputs"));
    if !matches!(kind.as_str(), "LLM" | "CHAT_MODEL") {
        draft.text("input.value", inputs.as_deref().map(plain).as_deref());
        draft.text("output.value", outputs.as_deref().map(plain).as_deref());
        return;
    }
    draft.written("gen_ai.prompt", inputs.as_deref());
    draft.written("gen_ai.completion", outputs.as_deref());
    let text = |value: Option<&Value>, pointers: &[&str]| value.and_then(|value| first(value, pointers)?.as_str().map(str::to_string));
    draft.text("gen_ai.request.model", text(inputs.as_deref(), &["/model"]).as_deref());
    draft.text("gen_ai.response.model", text(outputs.as_deref(), &["/model"]).as_deref());
    draft.text("gen_ai.response.id", text(outputs.as_deref(), &["/id"]).as_deref());
    draft.text("gen_ai.response.finish_reasons", text(outputs.as_deref(), &["/choices/0/finish_reason", "/stop_reason"]).as_deref());
    let usage = get("mlflow.chat.tokenUsage");
    let tokens = |key: &str| usage.as_deref().and_then(Record::of).and_then(|usage| usage.number(key));
    draft.number("gen_ai.usage.input_tokens", tokens("input_tokens"));
    draft.number("gen_ai.usage.output_tokens", tokens("output_tokens"));
}

/// A judge's or a person's value: a number, or yes and no.
fn assessment(record: Record<'_>, trace_id: &str, export: &mut Export) {
    let given = record.map("feedback").and_then(|feedback| feedback.get("value"));
    let value = given.and_then(|value| super::record::number(value).or_else(|| value.as_bool().map(|truth| f64::from(u8::from(truth)))));
    let name = record.text("assessment_name").or_else(|| record.text("name")).unwrap_or("unnamed");
    let score = Score { name, value, label: given.and_then(Value::as_str), time_ns: record.time("create_time") };
    export.score(trace_id.to_string(), record.text("span_id").map(str::to_string), score);
}
