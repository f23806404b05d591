//! Attempts of model calls that HTTP spans tell of.

use crate::mapping::{Found, Kind};
use crate::trace::{Node, Trace};
use std::collections::BTreeMap;

/// Clocks inside one process differ by less than this, in nanoseconds.
const SKEW: u64 = 1_000_000;

/// Counts the HTTP requests of each model call: those below its span or, where the span was not the current one, beside
/// it during its time. Only where every call has some, because an HTTP client that is not instrumented tells nothing.
pub(super) fn count(trace: &mut Trace) {
    let mut by_parent: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for (index, node) in trace.nodes.iter().enumerate().filter(|(_, node)| node.kind == Kind::Http) {
        by_parent.entry(node.parent).or_default().push(index);
    }
    if by_parent.is_empty() || overlap(trace) {
        return;
    }
    let attempts = |index: usize| {
        let node = &trace.nodes[index];
        let below = by_parent.get(&Some(index)).map_or(0, Vec::len);
        if below > 0 { below } else { by_parent.get(&node.parent).map_or(0, |beside| during(trace, node, beside)) }
    };
    let counted: Vec<(usize, usize)> = trace.model_calls.iter().map(|call| (call.node, attempts(call.node))).collect();
    if counted.iter().any(|(_, attempts)| *attempts == 0) {
        return;
    }
    for (index, attempts) in counted {
        let retries = Found { value: (attempts - 1).into(), key: "HTTP spans".into(), rank: usize::MAX };
        trace.nodes[index].findings.complete("retries.count", || retries);
    }
}

/// Whether model calls run at the same time, so that requests beside them may be anyone's.
fn overlap(trace: &Trace) -> bool {
    let calls: Vec<&Node> = trace.model_calls.iter().map(|call| trace.model_node(call)).collect();
    calls.windows(2).any(|pair| pair[1].start_ns < pair[0].end_ns)
}

/// Requests that began and ended while a span ran; they are in order of their start.
fn during(trace: &Trace, node: &Node, requests: &[usize]) -> usize {
    let from = requests.partition_point(|index| trace.nodes[*index].start_ns + SKEW < node.start_ns);
    let inside = requests[from..].iter().take_while(|index| trace.nodes[**index].start_ns <= node.end_ns);
    inside.filter(|index| trace.nodes[**index].end_ns <= node.end_ns + SKEW).count()
}
