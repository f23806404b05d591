//! Datadog LLM Observability: spans with what went in and out under `meta`, and numbers under `metrics`.

use super::Export;
use super::attributes::Draft;
use super::record::{Record, plain};
use crate::otlp::{Scope, Span, Status};
use serde_json::Value;
use std::sync::Arc;

/// What an export looks like.
pub(super) const SHAPE: &str = "spans with span_id, start_ns and meta";

/// Whether a record is a Datadog span.
pub(super) fn is(value: &Value) -> bool {
    Record::of(value).is_some_and(|record| record.has("span_id") && record.has("start_ns") && record.map("meta").is_some())
}

/// Reads spans.
pub(super) fn read(records: Vec<Value>, export: &mut Export) {
    let (spans, others): (Vec<&Value>, Vec<&Value>) = records.iter().partition(|value| is(value));
    export.spans.extend(spans.into_iter().filter_map(Record::of).filter_map(span));
    export.skipped(others.len());
}

/// Ids are texts or numbers.
fn id(record: Record<'_>, name: &str) -> Option<String> {
    record.get(name).map(|id| super::record::written(id).to_lowercase())
}

fn span(record: Record<'_>) -> Option<Span> {
    let meta = record.map("meta")?;
    let error = meta.map("error").filter(|error| error.text("message").or_else(|| error.text("type")).is_some());
    let mut draft = Draft::default();
    draft.text("session.id", record.text("session_id"));
    draft.text("error.type", error.and_then(|error| error.text("type")));
    of_tags(record, &mut draft);
    of_meta(meta, record.map("metrics"), &mut draft);
    let start_ns = record.time("start_ns");
    Some(Span {
        trace_id: id(record, "trace_id")?,
        span_id: id(record, "span_id")?,
        // A root's parent is the word.
        parent: id(record, "parent_id").filter(|parent| !matches!(parent.as_str(), "undefined" | "0" | "")),
        name: record.text("name").unwrap_or_default().to_string(),
        start_ns,
        end_ns: record.number("duration").map_or(0, |duration| start_ns.saturating_add(duration.max(0.0) as u64)),
        attributes: draft.finish(),
        status: Status {
            code: if record.text("status") == Some("error") || error.is_some() { 2 } else { 0 },
            message: error.and_then(|error| error.text("message")).unwrap_or_default().to_string(),
        },
        scope: Arc::new(Scope { name: "datadog".to_string(), ..Scope::default() }),
        ..Span::default()
    })
}

/// Tags are texts with a colon.
fn of_tags(record: Record<'_>, draft: &mut Draft) {
    for (key, value) in record.list("tags").iter().filter_map(|tag| tag.as_str()?.split_once(':')) {
        match key {
            "user_id" | "user.id" => draft.text("user.id", Some(value)),
            "ml_app" => draft.text("feature", Some(value)),
            _ if !draft.has(key) => draft.text(key, Some(value)),
            _ => {}
        }
    }
}

fn of_meta(meta: Record<'_>, metrics: Option<Record<'_>>, draft: &mut Draft) {
    let kind = meta.map("span").and_then(|span| span.text("kind")).or_else(|| meta.text("span.kind")).unwrap_or_default();
    let (input, output) = (meta.map("input"), meta.map("output"));
    let value = |side: Option<Record<'_>>| side.and_then(|side| side.get("value")).map(plain);
    let operation = match kind {
        "llm" => "chat",
        "embedding" => "embeddings",
        "retrieval" => "retrieval",
        "tool" => "execute_tool",
        _ => "invoke_agent",
    };
    draft.text("gen_ai.operation.name", Some(operation));
    draft.text("gen_ai.provider.name", meta.text("model_provider"));
    draft.text("gen_ai.request.model", meta.text("model_name"));
    let prompt = input.and_then(|input| input.map("prompt"));
    draft.text("gen_ai.prompt.name", prompt.and_then(|prompt| prompt.text("id")));
    draft.text("gen_ai.prompt.version", prompt.and_then(|prompt| prompt.text("version")));
    draft.written("gen_ai.input.messages", input.and_then(|input| input.get("messages")));
    draft.written("gen_ai.output.messages", output.and_then(|output| output.get("messages")));
    draft.written("gen_ai.retrieval.documents", output.and_then(|output| output.get("documents")));
    draft.text("input.value", value(input).as_deref());
    draft.text("output.value", value(output).as_deref());
    let number = |name: &str| metrics.and_then(|metrics| metrics.number(name));
    draft.number("gen_ai.usage.input_tokens", number("input_tokens"));
    draft.number("gen_ai.usage.output_tokens", number("output_tokens"));
    draft.number("gen_ai.response.time_to_first_chunk", number("time_to_first_token"));
}
