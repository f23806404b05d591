//! Log records and span events joined to the spans they were written under.

use super::finish;
use super::message;
use super::opinion;
use crate::mapping::{self, Found};
use crate::otlp::{Attributes, Event, LogRecord, Span, get};
use crate::trace::{ToolCall, Trace};
use serde_json::{Value, json};
use std::collections::HashMap;

/// What was written under a span: a log record, or an event of the span itself.
struct Entry<'a> {
    time_ns: u64,
    name: &'a str,
    span_id: Option<&'a str>,
    attributes: &'a Attributes,
    body: Value,
}

impl<'a> Entry<'a> {
    /// A log record that is an event of its own kind.
    fn of_log(log: &'a LogRecord) -> Option<Self> {
        let name = log.event_name.as_deref().filter(|name| is_known(name))?;
        Some(Self { time_ns: log.time_ns, name, span_id: log.span_id.as_deref(), attributes: &log.attributes, body: log.body.to_json() })
    }

    /// A span's event of the same kind; older SDKs write its body into an attribute.
    fn of_event(span: &'a Span, event: &'a Event) -> Option<Self> {
        let name = Some(event.name.as_str()).filter(|name| is_known(name))?;
        let body = get(&event.attributes, "gen_ai.event.content").and_then(mapping::json);
        let attributes = || event.attributes.iter().map(|(key, value)| (key.clone(), opened(value.to_json()))).collect();
        Some(Self {
            time_ns: event.time_ns,
            name,
            span_id: Some(&span.span_id),
            attributes: &event.attributes,
            body: body.unwrap_or_else(|| Value::Object(attributes())),
        })
    }
}

/// A list of parts that an event's attribute holds as JSON text.
fn opened(value: Value) -> Value {
    let parts = value.as_str().filter(|text| text.starts_with("[{")).and_then(|text| serde_json::from_str(text).ok());
    parts.unwrap_or(value)
}

fn is_known(name: &str) -> bool {
    let message = name.starts_with("gen_ai.") && name.ends_with(".message");
    message
        || matches!(name, "gen_ai.choice" | "gen_ai.client.inference.operation.details" | "gen_ai.evaluation.result" | "app.user_feedback")
}

/// Where a record belongs.
struct Place {
    node: Option<usize>,
    call: Option<usize>,
}

impl Place {
    /// The tool call, where the record was written under one.
    fn tool<'a>(&self, trace: &'a mut Trace) -> Option<&'a mut ToolCall> {
        trace.tool_calls.iter_mut().find(|tool| Some(tool.node) == self.node)
    }
}

/// Joins the records and events of the trace's spans: messages, choices, scores, feedback, reviews.
pub(super) fn join(trace: &mut Trace, spans: &[&Span], logs: &[&LogRecord]) {
    let events = spans.iter().flat_map(|span| span.events.iter().filter_map(|event| Entry::of_event(span, event)));
    let mut entries: Vec<Entry<'_>> = logs.iter().filter_map(|log| Entry::of_log(log)).chain(events).collect();
    if entries.is_empty() {
        return;
    }
    entries.sort_by_key(|entry| entry.time_ns);
    let nodes: HashMap<String, usize> = trace.nodes.iter().enumerate().map(|(index, node)| (node.span_id.clone(), index)).collect();
    let calls: HashMap<usize, usize> = trace.model_calls.iter().enumerate().map(|(index, call)| (call.node, index)).collect();
    for entry in &entries {
        let node = entry.span_id.and_then(|span| nodes.get(span)).copied();
        let place = Place { node, call: node.and_then(|node| calls.get(&node)).copied() };
        match entry.name {
            "gen_ai.choice" => choice(trace, &place, entry),
            "gen_ai.client.inference.operation.details" => details(trace, &place, entry),
            "gen_ai.evaluation.result" => opinion::of_evaluation(trace, entry.attributes),
            "app.user_feedback" => opinion::of_thumb(trace, entry.attributes),
            name => input_message(trace, &place, entry, name),
        }
    }
}

fn set(trace: &mut Trace, node: usize, name: &'static str, value: Value, key: &'static str) {
    trace.nodes[node].findings.complete(name, || Found { value, key: key.into(), rank: usize::MAX });
}

fn choice(trace: &mut Trace, place: &Place, entry: &Entry<'_>) {
    let body = &entry.body;
    if let Some(reason) = body.get("finish_reason").and_then(Value::as_str)
        && let Some(node) = place.node
    {
        set(trace, node, "finish_reason", finish::canonical(reason).into(), "gen_ai.choice/finish_reason");
    }
    let Some(said) = body.get("message") else { return };
    // Strands writes the parts alone, or the text alone.
    let parts = (said.is_array() || said.is_string()).then(|| json!({"role": "assistant", "content": said}));
    let said = parts.as_ref().unwrap_or(said);
    if let Some(tool) = place.tool(trace) {
        let result = message::list(said).into_iter().next().map(|message| message.text);
        tool.result = tool.result.take().or(result);
    } else if let Some(call) = place.call {
        // Without content capture the message holds a role and nothing else.
        let message = message::list(said).into_iter().next();
        if said.get("content").is_some() || said.get("tool_calls").is_some() {
            trace.model_calls[call].output = trace.model_calls[call].output.take().or(message);
        }
    }
}

fn details(trace: &mut Trace, place: &Place, entry: &Entry<'_>) {
    let Some(call) = place.call else { return };
    let named = |name: &str| get(entry.attributes, name).and_then(mapping::json);
    if let Some(input) = named("gen_ai.input.messages")
        && trace.model_calls[call].input.is_empty()
    {
        trace.model_calls[call].input = message::list(&input).into();
    }
    if let Some(output) = named("gen_ai.output.messages")
        && trace.model_calls[call].output.is_none()
    {
        trace.model_calls[call].output = message::list(&output).into_iter().next();
    }
}

fn input_message(trace: &mut Trace, place: &Place, entry: &Entry<'_>, name: &str) {
    if let Some(tool) = place.tool(trace) {
        let arguments = entry.body.get("content").and_then(Value::as_str).map(str::to_string);
        tool.arguments = tool.arguments.take().or(arguments);
        return;
    }
    let Some(call) = place.call else { return };
    let body = &entry.body;
    let mut message = message::list(&Value::Array(vec![body.clone()])).into_iter().next().unwrap_or_default();
    message.role = name.trim_start_matches("gen_ai.").trim_end_matches(".message").to_string();
    if message.role == "tool" {
        message.answers = body.get("id").and_then(Value::as_str).map(str::to_string);
    }
    trace.model_calls[call].input.push(message);
}
