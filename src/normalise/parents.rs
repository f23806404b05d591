//! The tree of a request: which span is whose parent, and which is the root.

use crate::mapping::Kind;
use crate::otlp::Span;
use crate::trace::Trace;
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// Links every span to its parent, where it was exported; a link that leads back to its span is cut.
pub(super) fn link(trace: &mut Trace, spans: &[&Span]) {
    let by_id: HashMap<(&str, &str), usize, RandomState> =
        spans.iter().enumerate().map(|(index, span)| ((span.trace_id.as_str(), span.span_id.as_str()), index)).collect();
    for (index, span) in spans.iter().enumerate() {
        let Some(parent) = span.parent.as_deref() else { continue };
        match by_id.get(&(span.trace_id.as_str(), parent)) {
            Some(parent) if *parent == index => {
                trace.diagnostics.push(format!("span {}: it is its own parent; taken as a root", span.span_id))
            }
            Some(parent) => trace.nodes[index].parent = Some(*parent),
            None => trace.nodes[index].orphan = true,
        }
    }
    for index in cycles(trace) {
        let parent = spans[index].parent.as_deref().unwrap_or_default();
        trace.diagnostics.push(format!("span {}: its parent {parent} leads back to it; taken as a root", spans[index].span_id));
        trace.nodes[index].parent = None;
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Seen {
    No,
    OnThisPath,
    Before,
}

/// The earliest span of every cycle.
fn cycles(trace: &Trace) -> Vec<usize> {
    let mut seen = vec![Seen::No; trace.nodes.len()];
    let mut found = Vec::new();
    for start in 0..trace.nodes.len() {
        let mut path = Vec::new();
        let mut next = Some(start);
        while let Some(index) = next.filter(|index| seen[*index] == Seen::No) {
            seen[index] = Seen::OnThisPath;
            path.push(index);
            next = trace.nodes[index].parent;
        }
        if let Some(again) = next.filter(|index| seen[*index] == Seen::OnThisPath) {
            let members = path.iter().skip_while(|index| **index != again);
            found.extend(members.min().copied());
        }
        path.into_iter().for_each(|index| seen[index] = Seen::Before);
    }
    found
}

/// The root: a span without a parent, what is no stage first, then what has spans below it, then the earliest.
pub(super) fn root(trace: &Trace) -> Option<usize> {
    let mut has_children = vec![false; trace.nodes.len()];
    trace.nodes.iter().filter_map(|node| node.parent).for_each(|parent| has_children[parent] = true);
    let rootlike = |index: &usize| {
        let node = &trace.nodes[*index];
        // A stage is the root only where nothing better is: then its time is all that is known of the request's.
        !matches!(node.kind, Kind::Model | Kind::Tool | Kind::Retrieval | Kind::Embedding | Kind::Http | Kind::Guardrail)
    };
    let candidates = (0..trace.nodes.len()).filter(|index| trace.nodes[*index].parent.is_none());
    let counts = |index: &usize| rootlike(index) || !trace.nodes[*index].orphan;
    candidates.filter(counts).min_by_key(|index| {
        let node = &trace.nodes[*index];
        (!rootlike(index), !has_children[*index], node.orphan, node.start_ns)
    })
}
