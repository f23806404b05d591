//! Log records joined to the spans they were written under.

use super::finish;
use super::message;
use crate::mapping::{self, Found};
use crate::otlp::LogRecord;
use crate::trace::Trace;
use serde_json::Value;
use std::collections::HashMap;

/// Where a record belongs.
struct Place {
    node: Option<usize>,
    call: Option<usize>,
}

/// Joins the records of the trace's spans: messages, choices, scores, feedback, reviews.
pub(super) fn join(trace: &mut Trace, logs: &[&LogRecord]) {
    let mut ordered = logs.to_vec();
    ordered.sort_by_key(|log| log.time_ns);
    let nodes: HashMap<String, usize> = trace.nodes.iter().enumerate().map(|(index, node)| (node.span_id.clone(), index)).collect();
    let calls: HashMap<usize, usize> = trace.model_calls.iter().enumerate().map(|(index, call)| (call.node, index)).collect();
    for log in ordered {
        let node = log.span_id.as_deref().and_then(|span| nodes.get(span)).copied();
        let place = Place { node, call: node.and_then(|node| calls.get(&node)).copied() };
        match log.event_name.as_deref().unwrap_or_default() {
            "gen_ai.choice" => choice(trace, &place, log),
            "gen_ai.client.inference.operation.details" => details(trace, &place, log),
            name if name.starts_with("gen_ai.") && name.ends_with(".message") => input_message(trace, &place, log, name),
            "gen_ai.evaluation.result" => evaluation(trace, log),
            "app.user_feedback" => feedback(trace, log),
            _ => {}
        }
    }
}

fn set(trace: &mut Trace, node: usize, name: &'static str, value: Value, key: &str) {
    trace.nodes[node].findings.complete(name, || Found { value, key: key.into(), rank: usize::MAX });
}

fn choice(trace: &mut Trace, place: &Place, log: &LogRecord) {
    let body = log.body.to_json();
    if let Some(reason) = body.get("finish_reason").and_then(Value::as_str)
        && let Some(node) = place.node
    {
        set(trace, node, "finish_reason", finish::canonical(reason).into(), "gen_ai.choice/finish_reason");
    }
    if let (Some(call), Some(said)) = (place.call, body.get("message")) {
        // Without content capture the message holds a role and nothing else.
        let message = message::list(said).into_iter().next();
        if said.get("content").is_some() || said.get("tool_calls").is_some() {
            trace.model_calls[call].output = trace.model_calls[call].output.take().or(message);
        }
    }
}

fn details(trace: &mut Trace, place: &Place, log: &LogRecord) {
    let Some(call) = place.call else { return };
    let named = |name: &str| log.attributes.iter().find(|(key, _)| key == name).and_then(|(_, value)| mapping::json(value));
    if let Some(input) = named("gen_ai.input.messages")
        && trace.model_calls[call].input.is_empty()
    {
        trace.model_calls[call].input = message::list(&input);
    }
    if let Some(output) = named("gen_ai.output.messages")
        && trace.model_calls[call].output.is_none()
    {
        trace.model_calls[call].output = message::list(&output).into_iter().next();
    }
}

fn input_message(trace: &mut Trace, place: &Place, log: &LogRecord, name: &str) {
    let Some(call) = place.call else { return };
    let body = log.body.to_json();
    let mut message = message::list(&Value::Array(vec![body.clone()])).into_iter().next().unwrap_or_default();
    message.role = name.trim_start_matches("gen_ai.").trim_end_matches(".message").to_string();
    if message.role == "tool" {
        message.answers = body.get("id").and_then(Value::as_str).map(str::to_string);
    }
    trace.model_calls[call].input.push(message);
}

fn attribute(log: &LogRecord, name: &str) -> Option<String> {
    log.attributes.iter().find(|(key, _)| key == name).and_then(|(_, value)| mapping::text(value))
}

fn evaluation(trace: &mut Trace, log: &LogRecord) {
    let name = attribute(log, "gen_ai.evaluation.name").unwrap_or_else(|| "unnamed".into());
    let score = log.attributes.iter().find(|(key, _)| key == "gen_ai.evaluation.score.value").and_then(|(_, value)| mapping::number(value));
    let label = attribute(log, "gen_ai.evaluation.score.label").unwrap_or_default().to_lowercase();
    let key = || "gen_ai.evaluation.result".to_string();
    match name.as_str() {
        "user_feedback" => {
            trace.complaint =
                Some(matches!(label.as_str(), "complaint" | "negative" | "bad" | "down") || score.is_some_and(|score| score <= 0.0));
            trace.beside.insert("feedback", (label.into(), key()));
        }
        "human_review" => {
            trace.review = Some(label.clone());
            trace.beside.insert("review", (label.into(), key()));
        }
        _ => {
            let Some(score) = score else { return };
            trace.scores.insert(name, score);
            trace.beside.insert("score", (score.into(), key()));
        }
    }
}

fn feedback(trace: &mut Trace, log: &LogRecord) {
    let thumb = attribute(log, "app.feedback.thumb").or_else(|| attribute(log, "app.feedback")).unwrap_or_default();
    trace.complaint = Some(matches!(thumb.as_str(), "down" | "bad" | "negative" | "complaint"));
    trace.beside.insert("feedback", (thumb.into(), "app.feedback.thumb".into()));
}
