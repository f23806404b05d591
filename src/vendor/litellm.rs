//! LiteLLM: one log payload for each model call; retries and fallbacks share a trace id, and there is no root.

use super::Export;
use super::attributes::Draft;
use super::record::{Record, first};
use crate::otlp::{Scope, Span, Status};
use serde_json::Value;
use std::sync::Arc;

/// What an export looks like.
pub(super) const SHAPE: &str = "payloads with call_type, startTime and response";

/// Whether a record is a LiteLLM payload.
pub(super) fn is(value: &Value) -> bool {
    Record::of(value).is_some_and(|record| record.has("call_type") && record.has("startTime") && record.has("id"))
}

/// Reads payloads.
pub(super) fn read(records: Vec<Value>, export: &mut Export) {
    let (calls, others): (Vec<&Value>, Vec<&Value>) = records.iter().partition(|value| is(value));
    export.spans.extend(calls.into_iter().filter_map(Record::of).filter_map(span));
    export.skipped(others.len());
}

fn span(record: Record<'_>) -> Option<Span> {
    let id = record.text("id")?.to_string();
    let error = record.map("error_information").filter(|_| record.text("status") == Some("failure"));
    let mut draft = Draft::default();
    of_call(record, &mut draft);
    draft.text("error.type", error.and_then(|error| error.text("error_class")));
    let message = record.text("error_str").or_else(|| error?.text("error_message")).unwrap_or_default().to_string();
    Some(Span {
        trace_id: record.text("trace_id").unwrap_or(&id).to_lowercase(),
        span_id: id,
        name: record.text("call_type").unwrap_or_default().to_string(),
        start_ns: record.time("startTime"),
        end_ns: record.time("endTime"),
        attributes: draft.finish(),
        status: Status { code: if record.text("status") == Some("failure") { 2 } else { 0 }, message },
        scope: Arc::new(Scope { name: "litellm".to_string(), ..Scope::default() }),
        ..Span::default()
    })
}

fn of_call(record: Record<'_>, draft: &mut Draft) {
    let is_embedding = record.text("call_type").is_some_and(|call| call.contains("embedding"));
    draft.text("gen_ai.operation.name", Some(if is_embedding { "embeddings" } else { "chat" }));
    draft.text("gen_ai.provider.name", record.text("custom_llm_provider"));
    draft.text("gen_ai.request.model", record.text("model_group").or_else(|| record.text("model")));
    draft.text("user.id", record.text("end_user"));
    draft.written("metadata", record.get("metadata"));
    draft.written("gen_ai.prompt", record.get("messages"));
    draft.written("gen_ai.completion", record.get("response").filter(|response| response.is_object()));
    let text = |pointer: &str| record.get("response").and_then(|response| first(response, &[pointer])?.as_str());
    draft.text("gen_ai.response.model", text("/model").or_else(|| record.text("model")));
    draft.text("gen_ai.response.id", text("/id"));
    draft.text("gen_ai.response.finish_reasons", text("/choices/0/finish_reason"));
    draft.number("gen_ai.usage.input_tokens", record.number("prompt_tokens"));
    draft.number("gen_ai.usage.output_tokens", record.number("completion_tokens"));
    draft.number("gen_ai.usage.cost", record.number("response_cost"));
    let (start, token, end) = (record.time("startTime"), record.time("completionStartTime"), record.time("endTime"));
    let streamed = record.get("stream").and_then(Value::as_bool);
    draft.flag("gen_ai.request.stream", streamed);
    // Without a stream the payload says the end.
    let known = start > 0 && token >= start && token < end && streamed != Some(false);
    draft.number("gen_ai.response.time_to_first_chunk", known.then(|| (token - start) as f64 / 1e9));
}
