//! Stages: where the time of a request went, each moment counted once.

use super::sweep::{self, Sweep};
use super::{Request, micro};
use crate::mapping::Kind;
use crate::signal::Signals;
use crate::trace::{Node, Trace};
use crate::wire::call::Attempt;
use crate::wire::summary::Summary;
use serde::Serialize;
use std::collections::HashSet;

/// One bar of the waterfall.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stage {
    /// `model`, `tool`, `retrieval`, `guardrail` or `embedding`.
    pub kind: &'static str,
    /// The model's, tool's or index's name.
    pub name: String,
    /// Seconds since the request began.
    pub start: f64,
    /// Seconds; none when the span has no end.
    pub duration: Option<f64>,
    /// Why it failed.
    pub error: Option<String>,
}

fn word(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Model => "model",
        Kind::Tool => "tool",
        Kind::Retrieval | Kind::Rerank => "retrieval",
        Kind::Embedding => "embedding",
        Kind::Guardrail => "guardrail",
        _ => return None,
    })
}

/// The stages of a trace, by start; attempts that were tried again are shown too.
pub(super) fn of(trace: &Trace) -> Vec<Stage> {
    let begin = trace.start_ns();
    let calls: HashSet<usize> = trace.model_calls.iter().map(|call| call.node).chain(trace.retried.iter().copied()).collect();
    let shown = |index: &usize| trace.nodes[*index].kind != Kind::Model || calls.contains(index);
    (0..trace.nodes.len()).filter(shown).filter_map(|index| stage(&trace.nodes[index], begin)).collect()
}

/// The attempts of a wire, each after the one before: a conversation that relapse held has no other clock.
pub(super) fn of_wire(wire: &Summary) -> Vec<Stage> {
    let mut start = 0.0;
    let attempts = wire.calls.iter().flat_map(|call| &call.attempts);
    let stage = |attempt: &Attempt| {
        let stage = Stage {
            kind: "model",
            name: attempt.model_requested.clone().unwrap_or_else(|| "model".into()),
            start: micro(start),
            duration: attempt.total.map(micro),
            error: attempt.failed().then(|| attempt.status.map_or_else(|| "unanswered".into(), |status| status.to_string())),
        };
        start += attempt.total.unwrap_or(0.0);
        stage
    };
    attempts.map(stage).collect()
}

fn stage(node: &Node, begin: u64) -> Option<Stage> {
    let kind = word(node.kind)?;
    let named = ["tool.name", "model.requested", "guardrail.name"].iter().find_map(|fact| node.text(fact));
    Some(Stage {
        kind,
        name: named.map_or_else(|| node.name.clone(), str::to_string),
        start: micro(node.start_ns.saturating_sub(begin) as f64 / 1e9),
        duration: node.duration().map(micro),
        error: node.error.clone(),
    })
}

/// Where the time of a request went, in nanoseconds; each moment of the root's time is counted once.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Times {
    model: u64,
    tools: u64,
    retrieval: u64,
    retries: u64,
}

/// Exclusive times: each moment belongs to the innermost span that runs; what is left of the total is the gap, so that
/// they sum to it.
pub(super) fn measure(request: &Request, pairs: &[Option<usize>], signals: &mut Signals) {
    let Some(trace) = &request.trace else { return };
    let Some(root) = trace.root_node().filter(|root| root.duration().is_some()) else { return };
    let sweep = sweep::of(trace, root);
    let times = sum(trace, &sweep);
    let inside = retries_inside(request, pairs, &sweep.exclusive).map(|nanos| nanos.min(times.model));
    let retries = inside.map(|inside| times.retries + inside);
    // Whole microseconds, rounded down, so that no part is left for the gap to take back.
    let whole = |nanos: u64| nanos / 1000;
    let total = (root.end_ns - root.start_ns + 500) / 1000;
    let (tools, retrieval) = (whole(times.tools), whole(times.retrieval));
    let (model, again) = (whole(times.model - inside.unwrap_or(0)), whole(retries.unwrap_or(0)));
    let seconds = |micros: u64| micro(micros as f64 / 1e6);
    signals.set_number("latency.total", Some(seconds(total)));
    signals.set_number("latency.model", Some(seconds(model)));
    signals.set_number("latency.tools", Some(seconds(tools)));
    signals.set_number("latency.retrieval", Some(seconds(retrieval)));
    signals.set_number("latency.retries", retries.map(|_| seconds(again)));
    signals.set_number("latency.gap", Some(seconds(total.saturating_sub(model + again + tools + retrieval))));
}

/// Nanoseconds of the root's time in which each span was the innermost that ran; empty without a timed root.
pub fn exclusive(trace: &Trace) -> Vec<u64> {
    let root = trace.root_node().filter(|root| root.duration().is_some());
    root.map(|root| sweep::of(trace, root).exclusive).unwrap_or_default()
}

fn sum(trace: &Trace, sweep: &Sweep) -> Times {
    let mut times = Times { retries: sweep.waits, ..Times::default() };
    let mut again = vec![false; trace.nodes.len()];
    trace.retried.iter().for_each(|index| again[*index] = true);
    for (index, owner) in owners(trace).into_iter().enumerate() {
        let nanos = sweep.exclusive[index];
        let Some(owner) = owner else { continue };
        match trace.nodes[owner].kind {
            _ if again[owner] => times.retries += nanos,
            Kind::Model => times.model += nanos,
            Kind::Tool => times.tools += nanos,
            Kind::Retrieval | Kind::Rerank | Kind::Embedding => times.retrieval += nanos,
            _ => {}
        }
    }
    times
}

/// The stage that a span's own time belongs to: a plain span inside a stage, as an HTTP request inside a model call, is
/// part of it; an agent and what it does by itself is none's.
fn owners(trace: &Trace) -> Vec<Option<usize>> {
    let mut owners = vec![None; trace.nodes.len()];
    for index in trace.parents_first() {
        let node = &trace.nodes[index];
        owners[index] = match node.kind {
            kind if word(kind).is_some() => Some(index),
            Kind::Agent => None,
            _ => node.parent.and_then(|parent| owners[parent]),
        };
    }
    owners
}

/// Nanoseconds that retries took inside of model spans, waiting included: what a span lasted beyond the attempt that
/// counted; none when nothing says.
fn retries_inside(request: &Request, pairs: &[Option<usize>], exclusive: &[u64]) -> Option<u64> {
    let trace = request.trace.as_ref()?;
    if !trace.retried.is_empty() {
        return Some(0);
    }
    let Some(wire) = request.wire.as_ref() else {
        let told: Vec<f64> = trace.nodes.iter().filter_map(|node| node.number("retries.count")).collect();
        return (!told.is_empty() && told.iter().all(|count| *count == 0.0)).then_some(0);
    };
    let nanos = |seconds: f64| (seconds.max(0.0) * 1e9) as u64;
    let mut total = 0;
    for (place, call) in wire.calls.iter().enumerate().filter(|(_, call)| call.attempts.len() > 1) {
        let Some(told) = pairs.get(place).copied().flatten() else { return wire.wasted().map(nanos) };
        let index = trace.model_calls[told].node;
        let node = &trace.nodes[index];
        let beyond = node.end_ns.saturating_sub(node.start_ns).saturating_sub(nanos(call.last().total?));
        total += beyond.min(exclusive[index]);
    }
    Some(total)
}
