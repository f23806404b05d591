//! A stage: how a span becomes a part of the architecture, and what share of a change in time it explains.

use crate::fault::Faults;
use crate::mapping::Kind;
use crate::request::{self, Request};
use crate::trace::{Node as Span, Trace};
use crate::yaml::Node;
use globset::{Glob, GlobMatcher};
use std::collections::BTreeMap;

/// The kinds of spans by the words in a runbook.
const KINDS: [(&str, Kind); 9] = [
    ("model", Kind::Model),
    ("embedding", Kind::Embedding),
    ("agent", Kind::Agent),
    ("chain", Kind::Chain),
    ("tool", Kind::Tool),
    ("retrieval", Kind::Retrieval),
    ("rerank", Kind::Rerank),
    ("guardrail", Kind::Guardrail),
    ("http", Kind::Http),
];

/// The stages that signals know, with the signals that hold their exclusive times.
const STAGES: [(&str, &str); 5] = [
    ("model", "latency.model"),
    ("retries", "latency.retries"),
    ("retrieval", "latency.retrieval"),
    ("tools", "latency.tools"),
    (GAP, "latency.gap"),
];

/// Time in which no span is active but the root.
const GAP: &str = "gap";

/// One rule: spans that fit it are of this stage.
#[derive(Debug)]
pub struct Stage {
    /// The stage's name.
    pub name: String,
    kind: Option<Kind>,
    span: Option<GlobMatcher>,
}

impl Stage {
    pub(super) fn read(node: &Node, faults: &mut Faults) -> Option<Self> {
        let map = node.as_map(&["name", "kind", "span"], faults)?;
        let name = map.require("name", faults).and_then(|node| node.as_text(faults));
        let kind = map.get("kind").and_then(|node| node.as_choice(&KINDS, faults));
        let span = map.get("span").and_then(|node| glob(node, faults));
        if map.get("kind").is_none() && map.get("span").is_none() {
            faults.push(node.fault("a stage needs `kind` or `span`").help("write `{name: rerank, span: \"*rerank*\"}`"));
        }
        Some(Self { name: name?.to_string(), kind, span })
    }

    fn fits(&self, span: &Span) -> bool {
        self.kind.is_none_or(|kind| kind == span.kind) && self.span.as_ref().is_none_or(|glob| glob.is_match(&span.name))
    }
}

fn glob(node: &Node, faults: &mut Faults) -> Option<GlobMatcher> {
    let written = node.as_text(faults)?;
    let glob = Glob::new(written).map_err(|error| node.fault(format!("not a pattern: {}", error.kind())).help("write `*rerank*`"));
    faults.take(glob).map(|glob| glob.compile_matcher())
}

/// Exclusive seconds by stage: what the signals say, with spans that a rule names otherwise moved to their stage.
pub(super) fn times(stages: &[Stage], request: &Request) -> BTreeMap<String, f64> {
    let of_signals = STAGES.iter().filter_map(|(stage, signal)| Some((stage.to_string(), request.signals.read(signal).number()?)));
    let mut times: BTreeMap<String, f64> = of_signals.collect();
    let Some(trace) = &request.trace else { return times };
    for (index, nanos) in request::exclusive(trace).into_iter().enumerate() {
        let (told, named) = (usual(trace, index), stage_of(stages, trace, index));
        if let Some(named) = named.filter(|named| *named != told) {
            *times.entry(told.to_string()).or_default() -= nanos as f64 / 1e9;
            *times.entry(named.to_string()).or_default() += nanos as f64 / 1e9;
        }
    }
    times
}

/// A span and those above it, up to the root.
fn upwards(trace: &Trace, index: usize) -> impl Iterator<Item = (usize, &Span)> {
    let above = |index: &usize| trace.nodes[*index].parent;
    let spans = std::iter::successors(Some(index), above).take_while(|index| Some(*index) != trace.root);
    spans.map(|index| (index, &trace.nodes[index]))
}

/// The stage that the signals count a span's own time to.
fn usual(trace: &Trace, index: usize) -> &'static str {
    for (index, span) in upwards(trace, index) {
        match span.kind {
            Kind::Model if trace.retried.contains(&index) => return "retries",
            Kind::Model => return "model",
            Kind::Tool => return "tools",
            Kind::Retrieval | Kind::Rerank | Kind::Embedding => return "retrieval",
            Kind::Agent | Kind::Guardrail => return GAP,
            _ => {}
        }
    }
    GAP
}

/// The stage that a rule names for a span, or for the nearest span above it.
fn stage_of<'a>(stages: &'a [Stage], trace: &Trace, index: usize) -> Option<&'a str> {
    if trace.retried.contains(&index) {
        return None;
    }
    upwards(trace, index).find_map(|(_, span)| stages.iter().find(|stage| stage.fits(span))).map(|stage| stage.name.as_str())
}
