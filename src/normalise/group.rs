//! Which spans are one request, and which of its model spans are one call.

use crate::mapping::{Kind, Mapping};
use crate::otlp::Span;
use crate::trace::{Node, Trace};
use std::collections::{BTreeMap, HashMap};

/// The spans without those that were sent twice; of two versions the later, fuller one is kept.
pub(super) fn without_duplicates(spans: Vec<Span>) -> (Vec<Span>, Vec<String>) {
    let mut kept: Vec<Span> = Vec::with_capacity(spans.len());
    let mut by_id: HashMap<(String, String), usize> = HashMap::new();
    let mut diagnostics = Vec::new();
    for span in spans {
        match by_id.get(&(span.trace_id.clone(), span.span_id.clone())) {
            Some(index) if kept[*index] == span => {}
            Some(index) => {
                diagnostics.push(format!("span {}: sent twice with different content; the fuller one is kept", span.span_id));
                let older = &kept[*index];
                if (span.end_ns, span.attributes.len()) > (older.end_ns, older.attributes.len()) {
                    kept[*index] = span;
                }
            }
            None => {
                by_id.insert((span.trace_id.clone(), span.span_id.clone()), kept.len());
                kept.push(span);
            }
        }
    }
    (kept, diagnostics)
}

/// Sets of spans, each one request: traces, joined by links and by one request id.
pub(super) fn by_request<'a>(spans: &'a [Span], mapping: &Mapping) -> Vec<Vec<&'a Span>> {
    let mut groups = Groups::default();
    let mut by_request_id: HashMap<String, &str> = HashMap::new();
    for span in spans {
        groups.add(&span.trace_id);
        for link in &span.links {
            if spans.iter().any(|other| other.trace_id == link.trace_id) {
                groups.join(&span.trace_id, &link.trace_id);
            }
        }
        let kind = crate::mapping::kind(span);
        let found = mapping.findings_of(span, kind, "request.id");
        if let Some(id) = found {
            match by_request_id.get(&id) {
                Some(trace) => groups.join(&span.trace_id, trace),
                None => {
                    by_request_id.insert(id, &span.trace_id);
                }
            }
        }
    }
    let mut members: BTreeMap<String, Vec<&Span>> = BTreeMap::new();
    for span in spans {
        members.entry(groups.root(&span.trace_id)).or_default().push(span);
    }
    members.into_values().flat_map(by_server_root).map(sorted).collect()
}

fn sorted(mut members: Vec<&Span>) -> Vec<&Span> {
    members.sort_by(|a, b| (a.start_ns, b.end_ns, &a.span_id).cmp(&(b.start_ns, a.end_ns, &b.span_id)));
    members
}

/// A caller's trace may hold several requests to one server: each server span without a parent here is a request of its own.
fn by_server_root(members: Vec<&Span>) -> Vec<Vec<&Span>> {
    let parents: HashMap<&str, Option<&str>> = members.iter().map(|span| (span.span_id.as_str(), span.parent.as_deref())).collect();
    let is_root = |span: &&&Span| span.parent.as_deref().is_none_or(|parent| !parents.contains_key(parent));
    let servers: Vec<&str> = members.iter().filter(is_root).filter(|span| span.kind == 2).map(|span| span.span_id.as_str()).collect();
    if servers.len() < 2 {
        return vec![members];
    }
    let mut split: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
    for span in members {
        let root = top(&parents, &span.span_id);
        // What hangs below no server belongs to the first one: it was not exported whole.
        let owner = servers.iter().find(|server| **server == root).unwrap_or(&servers[0]);
        split.entry(owner).or_default().push(span);
    }
    split.into_values().collect()
}

fn top<'a>(parents: &HashMap<&'a str, Option<&'a str>>, id: &'a str) -> &'a str {
    let mut current = id;
    for _ in 0..parents.len() {
        match parents.get(current).copied().flatten() {
            Some(parent) if parents.contains_key(parent) => current = parent,
            _ => break,
        }
    }
    current
}

#[derive(Default)]
struct Groups {
    parent: HashMap<String, String>,
}

impl Groups {
    fn add(&mut self, trace: &str) {
        self.parent.entry(trace.to_string()).or_insert_with(|| trace.to_string());
    }

    fn root(&self, trace: &str) -> String {
        let mut current = trace;
        while let Some(next) = self.parent.get(current) {
            if next == current {
                break;
            }
            current = next;
        }
        current.to_string()
    }

    fn join(&mut self, one: &str, other: &str) {
        self.add(one);
        self.add(other);
        let (one, other) = (self.root(one), self.root(other));
        if one != other {
            let (low, high) = if one < other { (one, other) } else { (other, one) };
            self.parent.insert(high, low);
        }
    }
}

/// The logical model calls among the model spans.
pub(super) struct Leaves {
    /// The span of each call, by start.
    pub(super) calls: Vec<usize>,
    /// Spans that are attempts which failed and were tried again; none when no attempt is a span of its own.
    pub(super) retried: Option<Vec<usize>>,
}

/// Model spans less wrappers, less the second span of two instrumentations, less attempts that were tried again.
pub(super) fn model_calls(trace: &mut Trace) -> Leaves {
    let mut calls: Vec<usize> = Vec::new();
    let models: Vec<usize> = (0..trace.nodes.len()).filter(|index| trace.nodes[*index].kind == Kind::Model).collect();
    for index in models {
        match calls.iter().find(|kept| same_call(trace, **kept, index)).copied() {
            Some(kept) => merge(trace, kept, index),
            None => calls.push(index),
        }
    }
    let attempts = retried(trace, &calls);
    calls.retain(|call| !attempts.contains(call));
    Leaves { calls, retried: (!attempts.is_empty()).then_some(attempts) }
}

/// Whether two model spans tell of one call: nested, or of one response, or beside each other at the same time by two instrumentations.
fn same_call(trace: &Trace, kept: usize, index: usize) -> bool {
    let (one, other) = (&trace.nodes[kept], &trace.nodes[index]);
    if is_above(trace, kept, index) {
        return true;
    }
    if let (Some(a), Some(b)) = (one.text("response.id"), other.text("response.id")) {
        return a == b && one.convention != other.convention;
    }
    one.parent == other.parent && one.convention != other.convention && overlap(one, other) > 0.9
}

fn is_above(trace: &Trace, above: usize, index: usize) -> bool {
    let mut next = trace.nodes[index].parent;
    while let Some(parent) = next {
        if parent == above {
            return true;
        }
        next = trace.nodes[parent].parent;
    }
    false
}

fn overlap(one: &Node, other: &Node) -> f64 {
    let shared = one.end_ns.min(other.end_ns).saturating_sub(one.start_ns.max(other.start_ns));
    let longer = (one.end_ns.saturating_sub(one.start_ns)).max(other.end_ns.saturating_sub(other.start_ns));
    if longer == 0 { 0.0 } else { shared as f64 / longer as f64 }
}

/// What only the second span says is kept on the first.
fn merge(trace: &mut Trace, kept: usize, index: usize) {
    let extra = trace.nodes[index].findings.clone();
    for (name, found) in extra {
        trace.nodes[kept].findings.entry(name).or_insert(found);
    }
    let error = trace.nodes[index].error.clone();
    let node = &mut trace.nodes[kept];
    node.error = node.error.take().or(error);
}

/// Failed model spans directly followed by a sibling that asks the same: attempts, where each is a span of its own.
fn retried(trace: &Trace, calls: &[usize]) -> Vec<usize> {
    let asks = |index: usize| trace.nodes[index].findings.get("messages.input").map(|found| &found.value);
    let mut attempts = Vec::new();
    for pair in calls.windows(2) {
        let (first, second) = (&trace.nodes[pair[0]], &trace.nodes[pair[1]]);
        let same = first.parent == second.parent && first.convention == second.convention && first.name == second.name;
        let again = asks(pair[0]).is_some() && asks(pair[0]) == asks(pair[1]);
        if same && again && first.error.is_some() && first.end_ns <= second.start_ns {
            attempts.push(pair[0]);
        }
    }
    attempts
}
