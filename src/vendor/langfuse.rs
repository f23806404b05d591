//! Langfuse: traces with their observations and scores, as its UI, API and blob exports write them.

use super::attributes::Draft;
use super::record::{Record, decoded, first};
use super::{Export, Score};
use crate::otlp::{Attributes, Scope, Span, Status};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;

/// What an export looks like.
pub(super) const SHAPE: &str = "{trace, observations}, a trace with observations, or observations with traceId and type";

/// Whether a record is Langfuse's.
pub(super) fn is(value: &Value) -> bool {
    let Some(record) = Record::of(value) else { return false };
    let nested = record.map("trace").unwrap_or(record);
    is_trace(nested)
        || record.get("observations").and_then(Value::as_array).is_some_and(|list| list.iter().any(is_observation))
        || is_observation(value)
}

fn is_observation(value: &Value) -> bool {
    Record::of(value).is_some_and(|record| record.has("traceId") && record.has("type") && record.has("startTime"))
}

/// Named by keys that no other vendor has at the top.
fn is_trace(record: Record<'_>) -> bool {
    record.has("timestamp") && record.has("id") && (record.has("sessionId") || record.has("userId")) && record.has("tags")
}

fn is_score(record: Record<'_>) -> bool {
    record.has("traceId") && record.has("name") && record.has("dataType")
}

/// Reads traces, observations and scores, nested or beside each other.
pub(super) fn read(records: Vec<Value>, export: &mut Export) {
    let mut skipped = 0;
    for value in &records {
        let Some(record) = Record::of(value) else {
            skipped += 1;
            continue;
        };
        let trace = record.map("trace").or_else(|| (is_trace(record) || record.has("observations")).then_some(record));
        match trace {
            Some(trace) => read_trace(trace, record, export),
            None if is_observation(value) => export.spans.extend(observation(record, None, true)),
            None if is_score(record) => score(record, "", export),
            None => skipped += 1,
        }
    }
    export.skipped(skipped);
}

fn read_trace(trace: Record<'_>, outer: Record<'_>, export: &mut Export) {
    let observations = if outer.list("observations").is_empty() { trace.list("observations") } else { outer.list("observations") };
    let records: Vec<Record<'_>> = observations.iter().filter_map(Record::of).collect();
    let ids: HashSet<&str> = records.iter().filter_map(|record| record.text("id")).collect();
    for record in &records {
        let is_root = record.text("parentObservationId").is_none_or(|parent| !ids.contains(parent));
        export.spans.extend(observation(*record, Some(trace), is_root));
    }
    if records.is_empty() {
        export.spans.extend(bare(trace));
    }
    let id = trace.text("id").unwrap_or_default();
    trace.list("scores").iter().chain(outer.list("scores")).filter_map(Record::of).for_each(|record| score(record, id, export));
}

/// A trace whose observations are elsewhere: a span without an end, so that its session and user are not lost.
fn bare(trace: Record<'_>) -> Option<Span> {
    let id = trace.text("id")?.to_lowercase();
    let mut draft = Draft::default();
    of_trace(trace, &mut draft);
    let name = trace.text("name").unwrap_or_default().to_string();
    Some(Span { trace_id: id.clone(), span_id: id, name, start_ns: trace.time("timestamp"), attributes: draft.finish(), ..Span::default() })
}

fn observation(record: Record<'_>, trace: Option<Record<'_>>, is_root: bool) -> Option<Span> {
    let trace_id = record.text("traceId").or_else(|| trace?.text("id"))?.to_lowercase();
    let metadata = record.get("metadata").map(decoded);
    let metadata = metadata.as_deref().and_then(Record::of);
    let mut draft = Draft::default();
    of_observation(record, &mut draft);
    if let Some(trace) = trace.filter(|_| is_root) {
        of_trace(trace, &mut draft);
    }
    if trace.is_none() {
        of_trace(record, &mut draft);
    }
    // What the instrumentation wrote is kept beside what Langfuse made of it.
    for (key, value) in metadata.and_then(|metadata| metadata.map("attributes")).into_iter().flat_map(Record::members) {
        if !draft.has(key) {
            draft.value(key, value);
        }
    }
    let failed = record.text("level") == Some("ERROR");
    Some(Span {
        trace_id,
        span_id: record.text("id")?.to_lowercase(),
        parent: record.text("parentObservationId").map(str::to_lowercase),
        name: record.text("name").unwrap_or_default().to_string(),
        start_ns: record.time("startTime"),
        end_ns: record.time("endTime"),
        attributes: draft.finish(),
        status: Status { code: if failed { 2 } else { 0 }, message: record.text("statusMessage").unwrap_or_default().to_string() },
        resource: Arc::new(metadata.and_then(|metadata| metadata.map("resourceAttributes")).map(resource).unwrap_or_default()),
        scope: Arc::new(scope(metadata)),
        ..Span::default()
    })
}

fn resource(attributes: Record<'_>) -> Attributes {
    let mut draft = Draft::default();
    attributes.members().for_each(|(key, value)| draft.value(key, value));
    draft.finish()
}

fn scope(metadata: Option<Record<'_>>) -> Scope {
    let named = metadata.and_then(|metadata| metadata.map("scope"));
    let text = |key: &str| named.and_then(|scope| scope.text(key)).map(str::to_string);
    Scope {
        name: text("name").unwrap_or_else(|| "langfuse".to_string()),
        version: text("version").unwrap_or_default(),
        attributes: Vec::new(),
    }
}

fn of_observation(record: Record<'_>, draft: &mut Draft) {
    draft.text("langfuse.observation.type", record.text("type").map(str::to_lowercase).as_deref());
    draft.text("langfuse.observation.model.name", record.text("model").or_else(|| record.text("providedModelName")));
    draft.written("langfuse.observation.model.parameters", record.get("modelParameters"));
    let (input, output) = (record.get("input").map(decoded), record.get("output").map(decoded));
    draft.written("langfuse.observation.input", input.as_deref());
    draft.written("langfuse.observation.output", output.as_deref());
    draft.text("langfuse.observation.prompt.name", record.text("promptName"));
    draft.written("langfuse.observation.prompt.version", record.get("promptVersion"));
    draft.text("langfuse.observation.completion_start_time", record.text("completionStartTime"));
    draft.number("gen_ai.response.time_to_first_chunk", record.number("timeToFirstToken"));
    draft.number("gen_ai.usage.cost", record.number("totalCost").filter(|cost| *cost > 0.0));
    usage(record, draft);
    if let Some(output) = output.as_deref() {
        let reason = ["/choices/0/finish_reason", "/0/finish_reason", "/finish_reason", "/stop_reason", "/response_metadata/finish_reason"];
        draft.text("gen_ai.response.finish_reasons", first(output, &reason).and_then(Value::as_str));
        let is_answer = ["choices", "output", "stop_reason"].iter().any(|key| output.get(*key).is_some());
        draft.text("gen_ai.response.id", output.get("id").and_then(Value::as_str).filter(|_| is_answer));
    }
}

/// Tokens: Langfuse's own sums where it has them, as its details keep cached and reasoning tokens apart.
fn usage(record: Record<'_>, draft: &mut Draft) {
    let details = record.map("usageDetails").or_else(|| record.map("usage"));
    let sum = |beginning: &str| -> Option<f64> {
        let parts: Vec<f64> = details?
            .members()
            .filter(|(key, _)| key.starts_with(beginning))
            .filter_map(|(_, value)| super::record::number(value))
            .collect();
        (!parts.is_empty()).then(|| parts.into_iter().sum())
    };
    let known = |sum: Option<f64>| sum.filter(|tokens| *tokens > 0.0);
    let (input, output) =
        (known(record.number("inputUsage")).or_else(|| sum("input")), known(record.number("outputUsage")).or_else(|| sum("output")));
    draft.number("gen_ai.usage.input_tokens", input);
    draft.number("gen_ai.usage.output_tokens", output);
    let part = |keys: &[&str]| keys.iter().find_map(|key| details?.number(key));
    draft.number(
        "gen_ai.usage.cache_read.input_tokens",
        part(&["input_cache_read", "prompt_details.cache_read", "input_cached_tokens", "cache_read_input_tokens"]),
    );
    draft.number(
        "gen_ai.usage.reasoning.output_tokens",
        part(&["output_reasoning", "completion_details.reasoning", "output_reasoning_tokens"]),
    );
}

/// What belongs to the whole request.
fn of_trace(trace: Record<'_>, draft: &mut Draft) {
    draft.text("session.id", trace.text("sessionId"));
    draft.text("user.id", trace.text("userId"));
    draft.text("langfuse.trace.name", trace.text("traceName").or_else(|| trace.text("name").filter(|_| trace.has("timestamp"))));
    draft.text("langfuse.release", trace.text("release"));
    draft.text("langfuse.version", trace.text("version"));
    draft.text("langfuse.environment", trace.text("environment"));
    if trace.has("timestamp") {
        draft.written("langfuse.trace.input", trace.get("input").map(decoded).as_deref());
        draft.written("langfuse.trace.output", trace.get("output").map(decoded).as_deref());
    }
    let metadata = trace.get("metadata").map(decoded);
    for (key, value) in metadata.as_deref().and_then(Record::of).into_iter().flat_map(Record::members) {
        if !matches!(key, "attributes" | "resourceAttributes" | "scope") {
            // Langfuse's own attributes have these as JSON.
            draft.text(&format!("langfuse.trace.metadata.{key}"), Some(&value.to_string()));
        }
    }
}

/// A score; what a user gave through the API is feedback.
fn score(record: Record<'_>, trace: &str, export: &mut Export) {
    let Some(trace_id) = record.text("traceId").or(Some(trace)).filter(|id| !id.is_empty()) else { return };
    let given = record.text("name").unwrap_or("unnamed");
    let by_user = record.text("source") == Some("API") && given.to_lowercase().contains("feedback");
    let score = Score {
        name: if by_user { "user_feedback" } else { given },
        value: record.number("value").filter(|_| record.text("dataType") != Some("CATEGORICAL")),
        label: record.text("stringValue"),
        time_ns: record.time("timestamp"),
    };
    export.score(trace_id.to_lowercase(), record.text("observationId").map(str::to_lowercase), score);
}
