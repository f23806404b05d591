//! Model spans that only wrap model calls.

use crate::mapping::{Kind, Mapping};
use crate::otlp::Span;
use crate::trace::{Node, Trace};
use std::collections::BTreeMap;

/// Makes agents of the model spans that wrap several calls, and of those that wrap one beside tools or retrieval.
///
/// What a wrapper says is of its one call or, where the calls say nothing themselves, of the last one, which came to say it last.
pub(super) fn unwrap(trace: &mut Trace, spans: &[&Span], mapping: &Mapping) {
    let above = trace.nearest_above(|node| node.kind == Kind::Model);
    let mut inner: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut has_stages = vec![false; trace.nodes.len()];
    for (index, node) in trace.nodes.iter().enumerate() {
        let Some(wrapper) = above[index] else { continue };
        match node.kind {
            Kind::Model if node.error.is_none() => inner.entry(wrapper).or_default().push(index),
            Kind::Tool | Kind::Retrieval => has_stages[wrapper] = true,
            _ => {}
        }
    }
    for (wrapper, calls) in inner {
        let several = after_one_another(trace, &calls);
        if several || has_stages[wrapper] {
            if let Some(last) = calls.last().filter(|last| !several || is_silent(&trace.nodes[**last])) {
                hand_down(trace, wrapper, *last);
            }
            let node = &mut trace.nodes[wrapper];
            node.kind = Kind::Agent;
            node.findings = mapping.read_as(spans[wrapper], Some(Kind::Agent)).findings;
        }
    }
}

/// Whether two of the calls ran one after the other, with answers of their own.
fn after_one_another(trace: &Trace, calls: &[usize]) -> bool {
    let differ = |one: &Node, other: &Node| one.text("response.id").is_none() || one.text("response.id") != other.text("response.id");
    let pair = |pair: &[usize]| {
        let (one, other) = (&trace.nodes[pair[0]], &trace.nodes[pair[1]]);
        one.end_ns <= other.start_ns && one.start_ns < one.end_ns && other.start_ns < other.end_ns && differ(one, other)
    };
    calls.windows(2).any(pair)
}

fn is_silent(call: &Node) -> bool {
    ["model.requested", "usage.input_tokens", "messages.output"].iter().all(|name| !call.findings.contains_key(name))
}

fn hand_down(trace: &mut Trace, wrapper: usize, call: usize) {
    let told = trace.nodes[wrapper].findings.clone();
    trace.nodes[call].findings.complete_from(&told);
}
