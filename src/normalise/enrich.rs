//! Fields and facts that follow from several attributes together.

use super::{finish, message};
use crate::mapping::{Found, Kind};
use crate::otlp::Span;
use crate::trace::{History, Message, Node, Trace};
use serde_json::Value;

/// The messages that went into a model call.
pub(super) fn input(node: &mut Node, span: &Span) -> History {
    let mut messages = node.findings.get("messages.system").map(|found| system(&found.value)).unwrap_or_default();
    let text = node.findings.remove("messages.input").map(|found| found.value);
    if let Some(Value::String(text)) = text
        && let Some(history) = History::unread(&messages, text, message::parse)
    {
        return history;
    }
    for (prefix, inner) in [("llm.input_messages.", "message."), ("gen_ai.prompt.", "")] {
        let flat = message::flattened(&span.attributes, prefix, inner);
        if !flat.is_empty() {
            messages.extend(flat);
            break;
        }
    }
    messages.into()
}

fn system(json: &Value) -> Vec<Message> {
    let text = match json {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part.get("content").or_else(|| part.get("text")).and_then(Value::as_str)).collect()
        }
        _ => String::new(),
    };
    if text.is_empty() { Vec::new() } else { vec![Message { role: "system".into(), text, ..Message::default() }] }
}

/// The message that came out of a model call; none when its content was not captured.
pub(super) fn output(node: &Node, span: &Span) -> Option<Message> {
    if let Some(found) = node.text("messages.output").and_then(message::parse) {
        return Some(found.into_iter().find(|message| message.role != "tool").unwrap_or_default());
    }
    for (prefix, inner) in [("llm.output_messages.", "message."), ("gen_ai.completion.", "")] {
        if let Some(first) = message::flattened(&span.attributes, prefix, inner).into_iter().next() {
            return Some(first);
        }
    }
    let calls = node.findings.get("output.tool_calls").map(|found| message::tool_requests(&found.value)).unwrap_or_default();
    // The AI SDK writes an empty text beside tool calls, so the attribute itself says that content was captured.
    let said = span.attributes.iter().find(|(key, _)| key == "ai.response.text").and_then(|(_, value)| value.as_text());
    let text = said.or_else(|| node.text("output.text"));
    (text.is_some() || !calls.is_empty()).then(|| Message {
        role: "assistant".into(),
        text: text.unwrap_or_default().to_string(),
        tool_requests: calls,
        ..Message::default()
    })
}

fn put(node: &mut Node, name: &'static str, value: Value, key: &'static str) {
    node.findings.complete(name, || Found { value, key: key.into(), rank: usize::MAX });
}

/// Completes the fields of every span: finish reasons in one set of words, placeholders taken out, tools and stages told.
pub(super) fn fields(trace: &mut Trace) {
    for node in &mut trace.nodes {
        if let Some(found) = node.findings.get_mut("finish_reason") {
            found.value = found.value.as_str().map(finish::canonical).unwrap_or_default().into();
        }
        if node.kind == Kind::Model {
            drop_placeholders(node);
        }
    }
    model_fields(trace);
    stage_fields(trace);
    root_fields(trace);
}

/// 0 tokens asked are none told: of a stream without usage, or of LangChain's streams of Anthropic's.
pub(super) fn drop_zeros(node: &mut Node) {
    if node.number("usage.input_tokens") == Some(0.0) {
        node.findings.remove("usage.input_tokens");
        if node.number("usage.output_tokens").unwrap_or(0.0) == 0.0 {
            node.findings.remove("usage.output_tokens");
        }
    }
}

/// Anthropic's first event says 1 output token before there is any.
fn drop_placeholders(node: &mut Node) {
    let output = node.number("usage.output_tokens");
    let unfinished = !node.findings.contains_key("finish_reason") || node.text("finish_reason") == Some("error");
    if output == Some(1.0) && unfinished {
        node.findings.remove("usage.output_tokens");
    }
}

fn model_fields(trace: &mut Trace) {
    for call in &trace.model_calls {
        let node = &mut trace.nodes[call.node];
        if !call.input.is_empty() {
            put(node, "input", true.into(), "messages");
        }
        let Some(output) = &call.output else {
            if node.text("finish_reason") == Some("tool_call") {
                put(node, "tool.requested", Value::Array(Vec::new()), "finish_reason");
            }
            continue;
        };
        if !output.tool_requests.is_empty() {
            let names: Vec<&str> = output.tool_requests.iter().map(|request| request.name.as_str()).collect();
            put(node, "tool.requested", names.into(), "output messages");
        }
        if let Some(refusal) = &output.refusal {
            put(node, "refusal", refusal.as_str().into(), "output messages");
        }
        if matches!(node.text("finish_reason"), Some("refusal")) {
            put(node, "refusal", true.into(), "finish_reason");
        }
        put(node, "output", output.text.as_str().into(), "output messages");
    }
    if let Some(last) = trace.model_calls.last().map(|call| call.node).filter(|_| !trace.retried.is_empty()) {
        put(&mut trace.nodes[last], "retries.count", trace.retried.len().into(), "one span for each attempt");
    }
}

fn stage_fields(trace: &mut Trace) {
    for call in &trace.tool_calls {
        let node = &mut trace.nodes[call.node];
        put(node, "tool.executed", call.name.as_str().into(), "tool span");
        if let Some(result) = &call.result {
            put(node, "tool.returned", result.as_str().into(), "tool span");
        } else if call.error.is_some() {
            put(node, "tool.returned", "error".into(), "status");
        }
    }
    for retrieval in &trace.retrievals {
        let node = &mut trace.nodes[retrieval.node];
        node.findings.remove("retrieval.documents");
        if let Some(documents) = &retrieval.documents {
            let ids: Vec<&str> = documents.iter().map(|document| document.id.as_str()).collect();
            put(node, "retrieval.documents", ids.into(), "retrieval span");
        }
    }
}

fn root_fields(trace: &mut Trace) {
    let Some(root) = trace.root else { return };
    let node = &mut trace.nodes[root];
    if let Some(duration) = node.duration() {
        put(node, "latency.total", ((duration * 1e6).round() / 1e6).into(), "endTimeUnixNano - startTimeUnixNano");
    }
    if node.error.is_some() && !node.said_ok && !node.findings.contains_key("outcome") {
        put(node, "outcome", "error".into(), "status");
    }
}

/// The tools of the first model call that names any: a JSON list, a list of JSON texts, or numbered keys.
pub(super) fn tools(trace: &Trace, spans: &[&Span]) -> Vec<Value> {
    for call in &trace.model_calls {
        let node = trace.model_node(call);
        if let Some(Value::Array(items)) = node.findings.get("tools.definitions").map(|found| &found.value) {
            return items.iter().filter_map(json_or_text).collect();
        }
        let numbered =
            spans[call.node].attributes.iter().filter(|(key, _)| key.starts_with("llm.tools.") && key.ends_with(".tool.json_schema"));
        let tools: Vec<Value> = numbered.filter_map(|(_, value)| crate::mapping::json(value)).collect();
        if !tools.is_empty() {
            return tools;
        }
    }
    Vec::new()
}

fn json_or_text(item: &Value) -> Option<Value> {
    item.as_str().map_or_else(|| Some(item.clone()), |text| serde_json::from_str(text).ok())
}
