//! Stages: where the time of a request went, each moment counted once.

use super::{Request, micro};
use crate::mapping::Kind;
use crate::trace::{Node, Trace};
use serde::Serialize;

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
    let calls: Vec<usize> = trace.model_calls.iter().map(|call| call.node).chain(trace.retried.iter().flatten().copied()).collect();
    let shown = |index: &usize| trace.nodes[*index].kind != Kind::Model || calls.contains(index);
    (0..trace.nodes.len()).filter(shown).filter_map(|index| stage(&trace.nodes[index], begin)).collect()
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

/// Exclusive times: cut at every span's boundary, each slice given to the innermost active span; they sum to the total.
pub(super) fn measure(request: &mut Request) {
    let Some(trace) = &request.trace else { return };
    let Some(root) = trace.root_node().filter(|root| root.duration().is_some()) else { return };
    let (mut model, mut tools, mut retrieval, mut gap) = (0u64, 0u64, 0u64, 0u64);
    for (length, kind) in slices(trace, root) {
        match kind {
            Kind::Model => model += length,
            Kind::Tool => tools += length,
            Kind::Retrieval | Kind::Rerank | Kind::Embedding => retrieval += length,
            _ => gap += length,
        }
    }
    let seconds = |nanos: u64| micro(nanos as f64 / 1e9);
    let retries = retry_time(request).map(|time| time.min(seconds(model)));
    request.signals.set_number("latency.model", Some(micro(seconds(model) - retries.unwrap_or(0.0))));
    request.signals.set_number("latency.tools", Some(seconds(tools)));
    request.signals.set_number("latency.retrieval", Some(seconds(retrieval)));
    request.signals.set_number("latency.gap", Some(seconds(gap)));
    request.signals.set_number("latency.retries", retries.map(micro));
}

/// Slices of the root's time with the kind of the innermost active span; of several, the one that ends last.
fn slices(trace: &Trace, root: &Node) -> Vec<(u64, Kind)> {
    let timed = trace.nodes.iter().enumerate().filter(|(index, node)| Some(*index) != trace.root && node.start_ns > 0);
    let clipped = timed.map(|(index, node)| (index, node.start_ns.max(root.start_ns), node.end_ns.min(root.end_ns)));
    let mut waiting: Vec<(usize, u64, u64)> = clipped.filter(|(_, start, end)| start < end).collect();
    let mut cuts: Vec<u64> = waiting.iter().flat_map(|(_, start, end)| [*start, *end]).chain([root.start_ns, root.end_ns]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    waiting.sort_by_key(|span| std::cmp::Reverse(span.1));
    let mut active: Vec<(usize, u64, u64)> = Vec::new();
    let mut slices = Vec::with_capacity(cuts.len());
    for pair in cuts.windows(2) {
        while waiting.last().is_some_and(|span| span.1 <= pair[0]) {
            active.extend(waiting.pop());
        }
        active.retain(|span| span.2 > pair[0]);
        slices.push((pair[1] - pair[0], innermost(trace, &active)));
    }
    slices
}

fn innermost(trace: &Trace, active: &[(usize, u64, u64)]) -> Kind {
    let has_active_child = |index: usize| active.iter().any(|(other, ..)| trace.nodes[*other].parent == Some(index));
    let leaf = active.iter().filter(|(index, ..)| !has_active_child(*index)).max_by_key(|(index, _, end)| (*end, *index));
    leaf.map_or(Kind::Other, |(index, ..)| stage_kind(trace, *index))
}

/// A plain span inside a stage, as an HTTP request inside a model call, is part of that stage.
fn stage_kind(trace: &Trace, index: usize) -> Kind {
    let mut next = Some(index);
    while let Some(current) = next {
        let kind = trace.nodes[current].kind;
        if word(kind).is_some() {
            return kind;
        }
        if kind == Kind::Agent {
            return Kind::Other;
        }
        next = trace.nodes[current].parent;
    }
    Kind::Other
}

/// Seconds that retries took, waiting included: what a model span lasted beyond the attempt that counted, or spans that failed.
fn retry_time(request: &Request) -> Option<f64> {
    let trace = request.trace.as_ref()?;
    if let Some(retried) = &trace.retried {
        return Some(spans_with_waits(trace, retried));
    }
    let wire = request.wire.as_ref()?;
    if wire.retries() == 0 {
        return Some(0.0);
    }
    if wire.calls.len() != trace.model_calls.len() {
        return wire.wasted();
    }
    let pairs = wire.calls.iter().zip(&trace.model_calls).filter(|(call, _)| call.attempts.len() > 1);
    pairs.map(|(call, told)| Some((trace.model_node(told).duration()? - call.last().total?).max(0.0))).sum()
}

fn spans_with_waits(trace: &Trace, retried: &[usize]) -> f64 {
    let starts =
        |end: u64| trace.nodes.iter().filter(move |node| node.kind == Kind::Model && node.start_ns >= end).map(|node| node.start_ns).min();
    let lasted = |index: &usize| {
        let node = &trace.nodes[*index];
        starts(node.end_ns).unwrap_or(node.end_ns).saturating_sub(node.start_ns) as f64 / 1e9
    };
    retried.iter().map(lasted).sum()
}
