//! Which spans and log records are one request.

use crate::mapping::Mapping;
use crate::otlp::{LogRecord, Span};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The spans without those that were sent twice; of two versions the later, fuller one is kept.
pub(super) fn without_duplicates(spans: Vec<Span>) -> (Vec<Span>, Vec<String>) {
    let mut diagnostics = Vec::new();
    let firsts = firsts(&spans);
    if firsts.iter().enumerate().all(|(place, first)| *first == place) {
        return (spans, diagnostics);
    }
    let mut kept: Vec<Option<Span>> = Vec::with_capacity(spans.len());
    for (place, (span, first)) in spans.into_iter().zip(firsts).enumerate() {
        if let Some(older) = Some(first).filter(|first| *first != place).and_then(|first| kept[first].as_mut()) {
            if *older != span {
                diagnostics.push(format!("span {}: sent twice with different content; the fuller one is kept", span.span_id));
                if (span.end_ns, span.attributes.len()) > (older.end_ns, older.attributes.len()) {
                    *older = span;
                }
            }
            kept.push(None);
        } else {
            kept.push(Some(span));
        }
    }
    (kept.into_iter().flatten().collect(), diagnostics)
}

/// For every span the place of the first one of its ids.
fn firsts(spans: &[Span]) -> Vec<usize> {
    let mut by_id: HashMap<(&str, &str), usize, RandomState> = HashMap::with_capacity_and_hasher(spans.len(), RandomState::default());
    spans.iter().enumerate().map(|(place, span)| *by_id.entry((&span.trace_id, &span.span_id)).or_insert(place)).collect()
}

/// Whether all spans are of one trace, as they are where a stream is told trace by trace.
pub(super) fn is_one_trace(spans: &[Span]) -> bool {
    spans.windows(2).all(|pair| pair[0].trace_id == pair[1].trace_id)
}

/// Sets of spans, each one request: traces, joined by links and by one request id.
pub(super) fn by_request<'a>(spans: &'a [Span], mapping: &Mapping) -> Vec<Vec<&'a Span>> {
    if is_one_trace(spans) {
        return by_server_root(spans.iter().collect()).into_iter().map(sorted).collect();
    }
    let mut groups = Groups::default();
    let mut by_request_id: HashMap<String, &str> = HashMap::new();
    let known: HashSet<&str> = spans.iter().map(|span| span.trace_id.as_str()).collect();
    for span in spans {
        groups.add(&span.trace_id);
        for link in span.links.iter().filter(|link| known.contains(link.trace_id.as_str())) {
            groups.join(&span.trace_id, &link.trace_id);
        }
        if let Some(id) = mapping.text_of(span, "request.id") {
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

/// Without the traces that only make an agent ready, as a program does before the first request; unless there are no others.
pub(super) fn without_preparations(groups: Vec<Vec<&Span>>) -> Vec<Vec<&Span>> {
    let prepares = |members: &Vec<&Span>| members.iter().all(|span| crate::mapping::prepares(span));
    let (preparations, requests): (Vec<_>, Vec<_>) = groups.into_iter().partition(prepares);
    if requests.is_empty() { preparations } else { requests }
}

pub(super) fn sorted(mut members: Vec<&Span>) -> Vec<&Span> {
    members.sort_by(|a, b| (a.start_ns, b.end_ns, &a.span_id).cmp(&(b.start_ns, a.end_ns, &b.span_id)));
    members
}

/// The kind of a span that answers a request.
const SERVER: u8 = 2;

/// A caller's trace may hold several requests to one server: each server span without a parent here is a request of its own.
fn by_server_root(members: Vec<&Span>) -> Vec<Vec<&Span>> {
    if members.iter().filter(|span| span.kind == SERVER).count() < 2 {
        return if members.is_empty() { Vec::new() } else { vec![members] };
    }
    let by_id: HashMap<&str, usize> = members.iter().enumerate().map(|(index, span)| (span.span_id.as_str(), index)).collect();
    let parent = |index: usize| members[index].parent.as_deref().and_then(|parent| by_id.get(parent)).copied();
    let servers: Vec<usize> = (0..members.len()).filter(|index| members[*index].kind == SERVER && parent(*index).is_none()).collect();
    let Some(first) = servers.first().filter(|_| servers.len() > 1) else { return vec![members] };
    let mut split: BTreeMap<usize, Vec<&Span>> = servers.iter().map(|server| (*server, Vec::new())).collect();
    for (index, top) in tops(members.len(), parent).into_iter().enumerate() {
        // What hangs below no server belongs to the first one: it was not exported whole.
        let owner = if split.contains_key(&top) { top } else { *first };
        split.entry(owner).or_default().push(members[index]);
    }
    split.into_values().collect()
}

/// The topmost ancestor of each span; a cycle's is any of its members.
fn tops(count: usize, parent: impl Fn(usize) -> Option<usize>) -> Vec<usize> {
    let mut tops: Vec<Option<usize>> = vec![None; count];
    for start in 0..count {
        let mut path = vec![start];
        let mut current = start;
        while tops[current].is_none()
            && let Some(next) = parent(current)
        {
            // Marked while the path is walked, so that a cycle ends it.
            tops[current] = Some(current);
            path.push(next);
            current = next;
        }
        let top = tops[current].unwrap_or(current);
        path.into_iter().for_each(|index| tops[index] = Some(top));
    }
    tops.into_iter().enumerate().map(|(index, top)| top.unwrap_or(index)).collect()
}

/// The log records of each request: those of its spans; one without a known span goes to the first request of its trace.
pub(super) fn logs<'a>(groups: &[Vec<&Span>], logs: &'a [LogRecord]) -> Vec<Vec<&'a LogRecord>> {
    let mut shares: Vec<Vec<&LogRecord>> = vec![Vec::new(); groups.len()];
    if logs.is_empty() {
        return shares;
    }
    let mut of_span: HashMap<(&str, &str), usize> = HashMap::new();
    let mut of_trace: HashMap<&str, usize> = HashMap::new();
    for (group, span) in groups.iter().enumerate().flat_map(|(group, members)| members.iter().map(move |span| (group, span))) {
        of_span.insert((&span.trace_id, &span.span_id), group);
        of_trace.entry(&span.trace_id).or_insert(group);
    }
    for log in logs {
        let Some(trace) = log.trace_id.as_deref() else { continue };
        let by_span = log.span_id.as_deref().and_then(|span| of_span.get(&(trace, span)));
        if let Some(group) = by_span.or_else(|| of_trace.get(trace)) {
            shares[*group].push(log);
        }
    }
    shares
}

#[derive(Default)]
struct Groups {
    parent: HashMap<String, String>,
}

impl Groups {
    fn add(&mut self, trace: &str) {
        self.parent.entry(trace.to_string()).or_insert_with(|| trace.to_string());
    }

    /// The group's name; the way to it is shortened for the next one who asks.
    fn root(&mut self, trace: &str) -> String {
        let mut path = Vec::new();
        let mut current = trace.to_string();
        while let Some(next) = self.parent.get(&current).filter(|next| **next != current).cloned() {
            path.push(std::mem::replace(&mut current, next));
        }
        for below in path {
            self.parent.insert(below, current.clone());
        }
        current
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
