//! Which model spans of a request are one call, and which are attempts.

use crate::mapping::Kind;
use crate::trace::{Node, Trace};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// How many earlier siblings a model span is compared with: more never run at the same time in practice.
const SIBLINGS: usize = 64;

/// The logical model calls among the model spans.
pub(super) struct Leaves {
    /// The span of each call, by start.
    pub(super) calls: Vec<usize>,
    /// Spans that are attempts which failed and were tried again, by start.
    pub(super) retried: Vec<usize>,
}

/// Model spans less wrappers, less the second span of two instrumentations, less attempts that were tried again.
pub(super) fn of(trace: &mut Trace) -> Leaves {
    let mut calls = outermost(trace);
    calls = without_answers(trace, &calls);
    calls = without_doubles(trace, &calls);
    let retried = retried(trace, &calls);
    let mut again = vec![false; trace.nodes.len()];
    retried.iter().for_each(|index| again[*index] = true);
    calls.retain(|call| !again[*call]);
    Leaves { calls, retried }
}

/// Model spans that lie in no other one; what an inner one says besides is kept on the outermost.
fn outermost(trace: &mut Trace) -> Vec<usize> {
    let above = trace.nearest_above(|node| node.kind == Kind::Model);
    let models: Vec<usize> = (0..trace.nodes.len()).filter(|index| trace.nodes[*index].kind == Kind::Model).collect();
    let outer: Vec<usize> = models.iter().copied().filter(|index| above[*index].is_none()).collect();
    if outer.len() == models.len() {
        return outer;
    }
    let mut top: Vec<usize> = (0..trace.nodes.len()).collect();
    let mut inner = Vec::new();
    for index in trace.parents_first() {
        if let Some(above) = above[index].filter(|_| trace.nodes[index].kind == Kind::Model) {
            top[index] = top[above];
            inner.push(index);
        }
    }
    inner.into_iter().for_each(|index| merge(trace, top[index], index));
    outer
}

/// Logfire tells of a stream's answer in a record of its own once the stream has ended: a span without a length that asks
/// what the call before it asked. It knows better than the call's span, which ended as the stream began.
fn without_answers(trace: &mut Trace, spans: &[usize]) -> Vec<usize> {
    let mut calls: Vec<usize> = Vec::new();
    for index in spans.iter().copied() {
        let is_point = trace.nodes[index].start_ns == trace.nodes[index].end_ns;
        match calls.iter().rev().take(SIBLINGS).copied().find(|call| is_point && is_answer_of(&trace.nodes[index], &trace.nodes[*call])) {
            Some(call) => complete(trace, call, index),
            None => calls.push(index),
        }
    }
    calls
}

fn is_answer_of(answer: &Node, call: &Node) -> bool {
    let alike = answer.parent == call.parent && answer.convention == call.convention && answer.start_ns >= call.end_ns;
    let is_open = call.start_ns < call.end_ns && call.error.is_none() && !call.findings.contains_key("finish_reason");
    let says = ["finish_reason", "messages.output", "response.id"].iter().any(|name| answer.findings.contains_key(name));
    alike && is_open && says && asks(answer).is_some() && asks(answer) == asks(call)
}

/// A call with what its answer says, which lasts until the answer was told.
fn complete(trace: &mut Trace, call: usize, answer: usize) {
    let (findings, end_ns) = (trace.nodes[answer].findings.clone(), trace.nodes[answer].end_ns);
    let node = &mut trace.nodes[call];
    findings.iter().for_each(|(name, found)| node.findings.insert(name, found.clone()));
    node.end_ns = end_ns;
    trace.nodes[answer].kind = Kind::Other;
}

/// Two instrumentations tell of one call twice: by one response id, or beside each other at the same time.
fn without_doubles(trace: &mut Trace, spans: &[usize]) -> Vec<usize> {
    let mut calls: Vec<usize> = Vec::new();
    let mut by_response: HashMap<String, usize> = HashMap::new();
    let mut by_parent: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for index in spans.iter().copied() {
        let id = trace.nodes[index].text("response.id").map(str::to_string);
        let of_response = id.as_ref().and_then(|id| by_response.get(id)).copied();
        let siblings = by_parent.entry(trace.nodes[index].parent).or_default();
        let beside = || siblings.iter().rev().take(SIBLINGS).copied().find(|kept| runs_beside(&trace.nodes[*kept], &trace.nodes[index]));
        let double = of_response.filter(|kept| trace.nodes[*kept].convention != trace.nodes[index].convention).or_else(beside);
        if let Some(kept) = double {
            merge(trace, kept, index);
            continue;
        }
        siblings.push(index);
        calls.push(index);
        if let Some(id) = id {
            by_response.entry(id).or_insert(index);
        }
    }
    calls
}

/// Whether two siblings of two instrumentations ran at the same time, and nothing says that they are two calls.
fn runs_beside(one: &Node, other: &Node) -> bool {
    let differ = |field: &str| one.text(field).zip(other.text(field)).is_some_and(|(one, other)| one != other);
    one.convention != other.convention && !differ("response.id") && !differ("model.requested") && overlap(one, other) > 0.9
}

fn overlap(one: &Node, other: &Node) -> f64 {
    let shared = one.end_ns.min(other.end_ns).saturating_sub(one.start_ns.max(other.start_ns));
    let longer = (one.end_ns.saturating_sub(one.start_ns)).max(other.end_ns.saturating_sub(other.start_ns));
    if longer == 0 { 0.0 } else { shared as f64 / longer as f64 }
}

/// What only the second span says is kept on the first.
fn merge(trace: &mut Trace, kept: usize, index: usize) {
    let extra = trace.nodes[index].findings.clone();
    trace.nodes[kept].findings.complete_from(&extra);
    // Retries are counted over all spans.
    trace.nodes[index].findings.remove("retries.count");
    let error = trace.nodes[index].error.clone();
    let node = &mut trace.nodes[kept];
    node.error = node.error.take().or(error);
}

/// Failed model spans that a sibling follows which asks the same: attempts, where each is a span of its own.
fn retried(trace: &Trace, calls: &[usize]) -> Vec<usize> {
    let mut by_parent: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    calls.iter().for_each(|call| by_parent.entry(trace.nodes[*call].parent).or_default().push(*call));
    let pairs = by_parent.values().flat_map(|siblings| siblings.windows(2));
    let mut attempts: Vec<usize> =
        pairs.filter(|pair| tries_again(&trace.nodes[pair[0]], &trace.nodes[pair[1]])).map(|pair| pair[0]).collect();
    attempts.sort_unstable();
    attempts
}

fn tries_again(first: &Node, second: &Node) -> bool {
    let alike = first.convention == second.convention && first.name == second.name;
    alike && first.error.is_some() && first.end_ns <= second.start_ns && asks(first).is_some() && asks(first) == asks(second)
}

/// What went into a call, as it was written.
fn asks(node: &Node) -> Option<&Value> {
    node.findings.get("messages.input").map(|found| &found.value)
}
