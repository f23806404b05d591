//! The signals of a request: what its telemetry tells, and over it what its wire knows.

use super::{Clock, Request, canonical_arguments, found_documents, micro, outcome, policy, stages};
use crate::signal::{Datum, Signals};
use crate::trace::Trace;
use crate::wire::call::{Attempt, Usage};
use crate::wire::summary::{LogicalCall, Summary};
use serde_json::Value;
use std::collections::BTreeMap;

/// One count of tokens: its signal, its field in the telemetry and its place on the wire.
struct Tokens {
    signal: &'static str,
    field: &'static str,
    of: fn(&Usage) -> Option<u64>,
}

const TOKENS: &[Tokens] = &[
    Tokens { signal: "tokens.input", field: "usage.input_tokens", of: |usage| usage.input },
    Tokens { signal: "tokens.output", field: "usage.output_tokens", of: |usage| usage.output },
    Tokens { signal: "tokens.cached", field: "usage.cached_tokens", of: |usage| usage.cached },
    Tokens { signal: "tokens.reasoning", field: "usage.reasoning_tokens", of: |usage| usage.reasoning },
];

/// Measures everything but the contradictions; `pairs` says which model call tells of which call on the wire.
pub(super) fn measure(request: &mut Request, pairs: &[Option<usize>]) {
    let mut signals = Signals::new();
    if let Some(trace) = &request.trace {
        measure_trace(trace, &mut signals);
    }
    measure_content(request, &mut signals);
    if let Some(wire) = &request.wire {
        measure_wire(request, wire, pairs, &mut signals);
    }
    policy::measure(request, &mut signals);
    let total = signals.read("tokens.input").number().zip(signals.read("tokens.output").number());
    signals.set_number("tokens.total", total.map(|(input, output)| input + output));
    stages::measure(request, pairs, &mut signals);
    if let Some(wire) = request.wire.as_ref().filter(|_| request.clock == Clock::Virtual) {
        measure_played(wire, &mut signals);
    }
    let word = outcome::of(request, &signals);
    signals.set("outcome", Datum::Text(word.into()));
    request.signals = signals;
}

fn measure_trace(trace: &Trace, signals: &mut Signals) {
    let nodes: Vec<_> = trace.model_calls.iter().map(|call| trace.model_node(call)).collect();
    // A call that says nothing of its tokens, or one whose span was lost, makes the sum unknown.
    let whole = !trace.is_incomplete();
    let sum = |field: &str| -> Option<f64> {
        let told = nodes.iter().map(|node| node.number(field));
        if nodes.is_empty() || !whole { None } else { told.sum() }
    };
    if !trace.model_calls.is_empty() && whole {
        signals.set_number("calls.model", Some(trace.model_calls.len() as f64));
    }
    TOKENS.iter().for_each(|tokens| signals.set_number(tokens.signal, sum(tokens.field)));
    signals.set_number("cost.usd", sum("cost"));
    signals.set_number("latency.total", trace.root_node().and_then(crate::trace::Node::duration).map(micro));
    signals.set_number("latency.first_token", nodes.first().and_then(|node| node.number("latency.first_token")));
    let retries: Vec<f64> = trace.nodes.iter().filter_map(|node| node.number("retries.count")).collect();
    if !retries.is_empty() {
        set_retries(signals, retries.iter().sum(), trace.model_calls.len() as f64);
    }
    if let Some(reason) = nodes.last().filter(|_| whole).and_then(|node| node.text("finish_reason")) {
        signals.set_flag("output.truncated", is_truncation(reason));
        signals.set_flag("policy.blocked", is_truncation(reason).map(|_| reason == "content_filter"));
    }
    measure_stages(trace, signals);
    measure_quality(trace, signals);
}

/// Whether a finish reason says that the answer was cut; none when it says neither.
fn is_truncation(reason: &str) -> Option<bool> {
    match reason {
        "length" | "interrupted" => Some(true),
        "stop" | "tool_call" | "content_filter" | "refusal" => Some(false),
        _ => None,
    }
}

fn measure_quality(trace: &Trace, signals: &mut Signals) {
    for (name, score) in &trace.scores {
        signals.set_number(format!("score.{name}"), Some(*score));
    }
    signals.set_flag("feedback.complaint", trace.complaint);
    if let Some(review) = trace.review.as_deref().filter(|word| crate::signal::REVIEWS.contains(word)) {
        signals.set("review.outcome", Datum::Text(review.into()));
    }
    let refused: Vec<bool> =
        trace.nodes.iter().filter_map(|node| node.findings.get("refusal")).map(|found| found.value != Value::Bool(false)).collect();
    if !refused.is_empty() {
        signals.set_flag("output.refused", Some(refused.contains(&true)));
    }
}

fn set_retries(signals: &mut Signals, retries: f64, calls: f64) {
    signals.set_number("retries.count", Some(retries));
    signals.set_number("retries.amplification", (calls > 0.0).then(|| micro((retries + calls) / calls)));
}

fn measure_stages(trace: &Trace, signals: &mut Signals) {
    if !trace.tool_calls.is_empty() {
        signals.set_number("calls.tool", Some(trace.tool_calls.len() as f64));
        signals.set_number("calls.tool_errors", Some(trace.tool_calls.iter().filter(|call| call.error.is_some()).count() as f64));
    } else if trace.tool_requested() == Some(false) {
        signals.set_number("calls.tool", Some(0.0));
        signals.set_number("calls.tool_errors", Some(0.0));
    }
    if trace.retrievals.is_empty() {
        return;
    }
    signals.set_flag("retrieval.error", Some(trace.retrievals.iter().any(|retrieval| retrieval.error.is_some())));
    if let Some(documents) = found_documents(trace) {
        signals.set_number("retrieval.documents", Some(documents.len() as f64));
        signals.set_flag("retrieval.empty", Some(documents.is_empty()));
        signals.set_number("retrieval.top_score", documents.iter().filter_map(|document| document.score).max_by(f64::total_cmp));
    }
}

/// How many words a text has, counted by their beginnings: splitting takes three times as long.
fn words(text: &str) -> usize {
    let mut between = true;
    text.chars().filter(|character| std::mem::replace(&mut between, character.is_whitespace()) && !between).count()
}

fn measure_content(request: &Request, signals: &mut Signals) {
    if let Some(answer) = &request.answer {
        signals.set_number("output.words", Some(words(answer) as f64));
        signals.set_flag("output.empty", Some(answer.trim().is_empty()));
        signals.set_flag("output.json", Some(serde_json::from_str::<Value>(answer).is_ok()));
    }
    if let Some(uses) = &request.tool_uses {
        let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
        for tool in uses {
            *counts.entry((&tool.name, canonical_arguments(&tool.arguments))).or_default() += 1;
        }
        signals.set_number("calls.repeated", Some(counts.values().map(|count| count - 1).sum::<usize>() as f64));
    }
}

/// The times of answers that were played: what passed meanwhile says nothing of the model.
fn measure_played(wire: &Summary, signals: &mut Signals) {
    let model: Option<f64> = wire.calls.iter().map(|call| call.last().total).sum();
    signals.set_number("latency.model", model.map(micro));
    signals.set_number("latency.retries", wire.wasted().map(micro));
}

fn measure_wire(request: &Request, wire: &Summary, pairs: &[Option<usize>], signals: &mut Signals) {
    signals.set_number("calls.model", Some(wire.calls.len() as f64));
    set_retries(signals, wire.retries() as f64, wire.calls.len() as f64);
    signals.set_number("retries.wasted", wire.wasted().map(micro));
    if let Some(known) = wire.first_token() {
        signals.set_number("latency.first_token", Some(micro(known)));
    }
    TOKENS.iter().for_each(|tokens| signals.set_number(tokens.signal, sum(request.trace.as_ref(), wire, pairs, tokens)));
    signals.set_flag("output.truncated", wire.last().map(Attempt::truncated));
    signals.set_flag("output.refused", Some(wire.calls.iter().any(|call| call.last().refused())));
    let finished = |call: &LogicalCall| call.last().finish.is_some() && call.last().tool_calls.is_empty();
    if wire.calls.iter().all(finished) && signals.read("calls.tool").is_unknown() {
        signals.set_number("calls.tool", Some(0.0));
        signals.set_number("calls.tool_errors", Some(0.0));
    }
}

/// Tokens over all calls that a provider answered: where the wire says nothing of a call, what its span says; none when
/// neither does, or no call was answered.
fn sum(trace: Option<&Trace>, wire: &Summary, pairs: &[Option<usize>], tokens: &Tokens) -> Option<f64> {
    let mut total = None;
    for (place, call) in wire.calls.iter().enumerate() {
        let last = call.last();
        if last.status.is_some_and(|status| status >= 400) {
            continue;
        }
        let told = || {
            let trace = trace?;
            let call = trace.model_calls.get(pairs.get(place).copied().flatten()?)?;
            trace.model_node(call).number(tokens.field)
        };
        let known = (tokens.of)(&last.usage).map(|count| count as f64).or_else(told)?;
        total = Some(total.unwrap_or(0.0) + known);
    }
    total
}
