//! Evidence: which files hold the incident and the healthy run.

use crate::disk::Reference;
use crate::fault::{Fault, Faults};
use crate::yaml::{Map, Node, Once, Spanned};
use camino::Utf8Path;

/// Files of the incident, and files of healthy runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pair {
    /// Of the incident.
    pub incident: Vec<Reference>,
    /// Of healthy runs.
    pub healthy: Vec<Reference>,
}

/// What was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// Traces: OTLP or a vendor's export.
    pub traces: Pair,
    /// HTTP exchanges.
    pub wire: Pair,
    /// The trace id of the incident request that the case is about; none means the earliest.
    pub pick: Option<Spanned<String>>,
}

impl Evidence {
    /// Every file, incident before healthy, traces before the wire.
    pub fn files(&self) -> impl Iterator<Item = &Reference> {
        [&self.traces, &self.wire].into_iter().flat_map(|pair| pair.incident.iter().chain(&pair.healthy))
    }

    pub(super) fn read(page: Map<'_>, base: &Utf8Path, is_withdrawn: bool, faults: &mut Faults) -> Self {
        let Some(node) = page.get("evidence") else {
            if !is_withdrawn {
                page.require("evidence", faults);
            }
            return Self::default();
        };
        let Some(map) = node.as_map(&["incident", "healthy", "wire", "pick"], faults) else { return Self::default() };
        let wire = map.get("wire").and_then(|node| node.as_map(&["incident", "healthy"], faults));
        let wire = wire.map(|wire| pair(wire, base, faults)).unwrap_or_default();
        if map.get("incident").is_none() && !map.misspells("incident") && wire.incident.is_empty() && !is_withdrawn {
            let fault = Fault::new("key `incident` is missing").at(map.place.clone());
            faults.push(fault.help("add `incident: incident.otlp.jsonl`, the trace of the request that went wrong"));
        }
        Self { traces: pair(map, base, faults), wire, pick: map.text("pick", faults) }
    }
}

fn pair(map: Map<'_>, base: &Utf8Path, faults: &mut Faults) -> Pair {
    Pair { incident: files(map.get("incident"), base, faults), healthy: files(map.get("healthy"), base, faults) }
}

fn files(node: Option<&Node>, base: &Utf8Path, faults: &mut Faults) -> Vec<Reference> {
    let (mut files, mut once) = (Vec::new(), Once::default());
    for node in node.map(Node::one_or_more).unwrap_or_default() {
        let Some(file) = node.as_reference(base, faults) else { continue };
        if once.is_first(file.path.as_str(), &file.place, faults) {
            files.push(file);
        }
    }
    files
}
