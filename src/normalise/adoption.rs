//! Model spans that an SDK exports as traces of their own, while a span of another instrumentation around them is the call.

use super::group::is_one_trace;
use crate::mapping::{Kind, Mapping, Told};
use crate::otlp::Span;
use std::collections::HashMap;

/// How many spans that began before are looked at: more never run at the same time in practice.
const AROUND: usize = 64;

struct Host {
    index: usize,
    model: Option<String>,
}

/// Puts a model span that is alone in its trace below the one model span of another instrumentation that ran around it
/// and asked the same model; nobody's if several did.
pub(super) fn adopt(spans: &mut [Span], mapping: &Mapping) {
    if is_one_trace(spans) {
        return;
    }
    let mut sizes: HashMap<&str, usize> = HashMap::new();
    spans.iter().for_each(|span| *sizes.entry(&span.trace_id).or_default() += 1);
    if sizes.len() == spans.len() {
        return;
    }
    let is_alone = |span: &Span| span.parent.is_none() && sizes[span.trace_id.as_str()] == 1;
    let models = |alone: bool| -> Vec<Host> {
        let chosen = spans.iter().enumerate().filter(|(_, span)| is_alone(span) == alone);
        chosen.filter_map(|(index, span)| host(index, mapping.read(span))).collect()
    };
    let lone = models(true);
    let mut hosts = if lone.is_empty() { Vec::new() } else { models(false) };
    hosts.sort_by_key(|host| spans[host.index].start_ns);
    let mut found: Vec<(usize, usize)> = lone.iter().filter_map(|lone| Some((lone.index, around(lone, &hosts, spans)?))).collect();
    found.sort_by_key(|(lone, host)| (*host, *lone));
    for (lone, host) in found {
        let (trace, parent) = (spans[host].trace_id.clone(), spans[host].span_id.clone());
        spans[lone].trace_id = trace;
        spans[lone].parent = Some(parent);
    }
}

fn host(index: usize, told: Told) -> Option<Host> {
    let model = told.findings.get("model.requested").and_then(|found| found.value.as_str()).map(str::to_string);
    (told.kind == Kind::Model).then_some(Host { index, model })
}

fn around(lone: &Host, hosts: &[Host], spans: &[Span]) -> Option<usize> {
    let inner = &spans[lone.index];
    let began = hosts.partition_point(|host| spans[host.index].start_ns <= inner.start_ns);
    let mut fits = hosts[..began].iter().rev().take(AROUND).filter(|host| {
        let outer = &spans[host.index];
        inner.end_ns <= outer.end_ns && outer.scope.name != inner.scope.name && host.model.is_some() && host.model == lone.model
    });
    let first = fits.next()?;
    fits.next().is_none().then_some(first.index)
}
