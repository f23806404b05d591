//! The OpenAI Agents SDK's own traces: lines of `trace` and `trace.span` objects, the trace often last.

use super::Export;
use super::attributes::Draft;
use super::record::Record;
use crate::otlp::{Scope, Span, Status};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What an export looks like.
pub(super) const SHAPE: &str = "objects `trace` and `trace.span` with span_data";

fn object(value: &Value) -> Option<&str> {
    value.get("object").and_then(Value::as_str)
}

/// Whether a record is the SDK's.
pub(super) fn is(value: &Value) -> bool {
    match object(value) {
        Some("trace.span") => value.get("span_data").is_some(),
        Some("trace") => value.get("workflow_name").is_some(),
        _ => false,
    }
}

/// Reads traces and spans; each trace becomes the root of its spans.
pub(super) fn read(records: Vec<Value>, export: &mut Export) {
    let (known, others): (Vec<&Value>, Vec<&Value>) = records.iter().partition(|value| is(value));
    let mut times: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for record in known.iter().filter(|value| object(value) == Some("trace.span")).filter_map(|value| Record::of(value)) {
        let Some(span) = span(record) else { continue };
        let time = times.entry(span.trace_id.clone()).or_insert((span.start_ns, span.end_ns));
        *time = (time.0.min(span.start_ns), time.1.max(span.end_ns));
        export.spans.push(span);
    }
    let mut roots: BTreeMap<String, Span> = times.keys().map(|id| (id.clone(), root(id, None))).collect();
    for record in known.iter().filter(|value| object(value) == Some("trace")).filter_map(|value| Record::of(value)) {
        if let Some(id) = record.text("id").map(str::to_lowercase) {
            roots.insert(id.clone(), root(&id, Some(record)));
        }
    }
    for (id, mut root) in roots {
        (root.start_ns, root.end_ns) = times.get(&id).copied().unwrap_or_default();
        export.spans.push(root);
    }
    export.skipped(others.len());
}

/// The trace as a span; one whose own line is missing is a root without a name.
fn root(id: &str, trace: Option<Record<'_>>) -> Span {
    let mut draft = Draft::default();
    draft.text("gen_ai.operation.name", Some("invoke_workflow"));
    draft.text("gen_ai.workflow.name", trace.and_then(|trace| trace.text("workflow_name")));
    draft.text("session.id", trace.and_then(|trace| trace.text("group_id")));
    draft.written("metadata", trace.and_then(|trace| trace.get("metadata")));
    let name = trace.and_then(|trace| trace.text("workflow_name")).unwrap_or_default().to_string();
    Span { trace_id: id.to_string(), span_id: id.to_string(), name, attributes: draft.finish(), scope: scope(), ..Span::default() }
}

fn scope() -> Arc<Scope> {
    Arc::new(Scope { name: "openai-agents".to_string(), ..Scope::default() })
}

fn span(record: Record<'_>) -> Option<Span> {
    let trace_id = record.text("trace_id")?.to_lowercase();
    let data = record.map("span_data");
    let kind = data.and_then(|data| data.text("type")).unwrap_or("custom");
    let name = data.and_then(|data| data.text("name")).unwrap_or(kind).to_string();
    let error = record.map("error");
    let message = error.and_then(|error| error.text("message")).unwrap_or_default().to_string();
    let mut draft = Draft::default();
    if let Some(data) = data {
        of_data(kind, data, &mut draft);
    }
    Some(Span {
        parent: Some(record.text("parent_id").map_or_else(|| trace_id.clone(), str::to_lowercase)),
        trace_id,
        span_id: record.text("id")?.to_lowercase(),
        name,
        start_ns: record.time("started_at"),
        end_ns: record.time("ended_at"),
        attributes: draft.finish(),
        status: Status { code: if error.is_some() { 2 } else { 0 }, message },
        scope: scope(),
        ..Span::default()
    })
}

fn of_data(kind: &str, data: Record<'_>, draft: &mut Draft) {
    let name = data.text("name");
    match kind {
        "generation" | "response" => of_model(data, draft),
        "agent" => {
            draft.text("gen_ai.operation.name", Some("invoke_agent"));
            draft.text("gen_ai.agent.name", name);
        }
        "function" => {
            draft.text("gen_ai.operation.name", Some("execute_tool"));
            draft.text("gen_ai.tool.name", name);
            draft.written("gen_ai.tool.call.arguments", data.get("input"));
            draft.written("gen_ai.tool.call.result", data.get("output"));
        }
        "guardrail" => {
            draft.text("gen_ai.guardrail.name", name);
            let triggered = data.get("triggered").and_then(Value::as_bool);
            draft.text("gen_ai.guardrail.status", triggered.map(|triggered| if triggered { "FAILED" } else { "PASSED" }));
        }
        _ => draft.text("openai.agents.span.type", Some(kind)),
    }
}

/// A generation has its messages; a response may have nothing but its id.
fn of_model(data: Record<'_>, draft: &mut Draft) {
    draft.text("gen_ai.operation.name", Some("chat"));
    let response = data.map("response");
    draft.text("gen_ai.request.model", data.text("model"));
    draft.text("gen_ai.response.model", response.and_then(|response| response.text("model")));
    draft.text("gen_ai.response.id", data.text("response_id").or_else(|| response?.text("id")));
    draft.written("gen_ai.input.messages", data.get("input"));
    draft.written("gen_ai.output.messages", data.get("output").or_else(|| response?.get("output")));
    let usage = data.map("usage").or_else(|| response?.map("usage"));
    let tokens = |names: [&str; 2]| names.iter().find_map(|name| usage?.number(name));
    draft.number("gen_ai.usage.input_tokens", tokens(["input_tokens", "prompt_tokens"]));
    draft.number("gen_ai.usage.output_tokens", tokens(["output_tokens", "completion_tokens"]));
    let status = response.and_then(|response| response.text("status"));
    let reason = data.list("output").first().and_then(|choice| choice.get("finish_reason")).and_then(Value::as_str);
    draft.text("gen_ai.response.finish_reasons", reason.or(status));
}
