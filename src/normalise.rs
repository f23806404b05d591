//! From spans and log records to traces: one for each request.

mod enrich;
pub mod finish;
mod group;
mod message;
mod record;

use crate::mapping::{self, Kind, Mapping};
use crate::otlp::{Attributes, LogRecord, Span};
use crate::trace::{ModelCall, Node, Retrieval, ToolCall, Trace};
use std::collections::{BTreeSet, HashMap};

/// The requests that some telemetry tells of, by start.
///
/// Spans that were sent twice are merged, traces that belong together are one request, and only leaf model calls count.
pub fn requests(spans: Vec<Span>, logs: &[LogRecord], mapping: &Mapping) -> Vec<Trace> {
    let (spans, diagnostics) = group::without_duplicates(spans);
    let groups = group::by_request(&spans, mapping);
    let mut traces: Vec<Trace> = groups.into_iter().map(|members| build(&members, logs, mapping)).collect();
    traces.sort_by(|a, b| (a.start_ns(), &a.id).cmp(&(b.start_ns(), &b.id)));
    if let Some(first) = traces.first_mut() {
        first.diagnostics.extend(diagnostics);
    }
    traces
}

fn build(spans: &[&Span], logs: &[LogRecord], mapping: &Mapping) -> Trace {
    let mut trace = Trace { nodes: spans.iter().map(|span| node(span, mapping)).collect(), ..Trace::default() };
    link_parents(&mut trace, spans);
    trace.root = root(&trace);
    trace.id = trace.root_node().or(trace.nodes.first()).map(|node| node.trace_id.clone()).unwrap_or_default();
    trace.conventions =
        trace.nodes.iter().filter_map(|node| node.convention).map(str::to_string).collect::<BTreeSet<_>>().into_iter().collect();
    collect_calls(&mut trace, spans);
    record::join(&mut trace, logs);
    enrich::fields(&mut trace);
    enrich::conversation(&mut trace, spans);
    trace.case = case(spans);
    trace
}

/// The case that a run was for: a span's `relapse.case`, else the resource's, which `OTEL_RESOURCE_ATTRIBUTES` sets.
fn case(spans: &[&Span]) -> Option<String> {
    let named =
        |attributes: &Attributes| attributes.iter().find(|(key, _)| key == "relapse.case").and_then(|(_, value)| mapping::text(value));
    spans.iter().find_map(|span| named(&span.attributes)).or_else(|| spans.iter().find_map(|span| named(&span.resource)))
}

fn node(span: &Span, mapping: &Mapping) -> Node {
    let kind = mapping::kind(span);
    let convention = mapping::convention(span);
    Node {
        trace_id: span.trace_id.clone(),
        span_id: span.span_id.clone(),
        parent: None,
        orphan: false,
        name: span.name.clone(),
        kind,
        convention,
        start_ns: span.start_ns,
        end_ns: span.end_ns,
        error: error(span),
        findings: mapping.findings(span, kind, convention),
        attributes_dropped: span.dropped_attributes > 0,
        events_dropped: span.dropped_events > 0,
    }
}

/// The error of a failed span: its type, else the exception's, else the status message.
fn error(span: &Span) -> Option<String> {
    if span.status.code != 2 {
        return None;
    }
    let named =
        |attributes: &Attributes, name: &str| attributes.iter().find(|(key, _)| key == name).and_then(|(_, value)| mapping::text(value));
    let of_exception = || span.events.iter().find_map(|event| named(&event.attributes, "exception.type"));
    let message = (!span.status.message.is_empty()).then(|| span.status.message.clone());
    named(&span.attributes, "error.type").or_else(of_exception).or(message).or_else(|| Some("error".into()))
}

fn link_parents(trace: &mut Trace, spans: &[&Span]) {
    let by_id: HashMap<(&str, &str), usize> =
        spans.iter().enumerate().map(|(index, span)| ((span.trace_id.as_str(), span.span_id.as_str()), index)).collect();
    for (index, span) in spans.iter().enumerate() {
        let Some(parent) = span.parent.as_deref() else { continue };
        match by_id.get(&(span.trace_id.as_str(), parent)) {
            Some(parent) if *parent != index && !leads_to(trace, *parent, index) => trace.nodes[index].parent = Some(*parent),
            Some(_) => trace.diagnostics.push(format!("span {}: its parent {parent} leads back to it; taken as a root", span.span_id)),
            None => trace.nodes[index].orphan = true,
        }
    }
}

fn leads_to(trace: &Trace, from: usize, to: usize) -> bool {
    let mut next = Some(from);
    while let Some(index) = next {
        if index == to {
            return true;
        }
        next = trace.nodes[index].parent;
    }
    false
}

/// The root: a span without a parent, servers first, then what has spans below it, then the earliest.
fn root(trace: &Trace) -> Option<usize> {
    let has_children: BTreeSet<usize> = trace.nodes.iter().filter_map(|node| node.parent).collect();
    let candidates = (0..trace.nodes.len()).filter(|index| trace.nodes[*index].parent.is_none());
    let rootlike = |index: &usize| {
        let node = &trace.nodes[*index];
        // A stage is the root only where nothing better is: then its time is all that is known of the request's.
        !matches!(node.kind, Kind::Model | Kind::Tool | Kind::Retrieval | Kind::Embedding | Kind::Http | Kind::Guardrail)
    };
    let counts = |index: &usize| rootlike(index) || !trace.nodes[*index].orphan;
    candidates.filter(counts).min_by_key(|index| {
        let node = &trace.nodes[*index];
        (!rootlike(index), !has_children.contains(index), node.orphan, node.start_ns)
    })
}

fn collect_calls(trace: &mut Trace, spans: &[&Span]) {
    let leaves = group::model_calls(trace);
    trace.model_calls = leaves
        .calls
        .into_iter()
        .map(|node| ModelCall {
            node,
            input: enrich::input(&trace.nodes[node], spans[node]),
            output: enrich::output(&trace.nodes[node], spans[node]),
        })
        .collect();
    trace.retried = leaves.retried;
    for (index, span) in spans.iter().enumerate() {
        match trace.nodes[index].kind {
            Kind::Tool if !has_tool_above(trace, index) => trace.tool_calls.push(tool_call(trace, index)),
            Kind::Retrieval if !has_retrieval_above(trace, index) => trace.retrievals.push(retrieval(trace, index, span)),
            _ => {}
        }
    }
}

fn above(trace: &Trace, index: usize, kind: Kind) -> bool {
    let mut next = trace.nodes[index].parent;
    while let Some(parent) = next {
        if trace.nodes[parent].kind == kind {
            return true;
        }
        next = trace.nodes[parent].parent;
    }
    false
}

/// An MCP client and server both tell of one call: the outer span is the call.
fn has_tool_above(trace: &Trace, index: usize) -> bool {
    let name = trace.nodes[index].text("tool.name");
    let mut next = trace.nodes[index].parent;
    while let Some(parent) = next {
        if trace.nodes[parent].kind == Kind::Tool && trace.nodes[parent].text("tool.name") == name {
            return true;
        }
        next = trace.nodes[parent].parent;
    }
    false
}

fn has_retrieval_above(trace: &Trace, index: usize) -> bool {
    above(trace, index, Kind::Retrieval)
}

fn tool_call(trace: &Trace, index: usize) -> ToolCall {
    let node = &trace.nodes[index];
    let fact = |name: &str| node.text(name).map(str::to_string);
    ToolCall {
        node: index,
        id: fact("tool.id"),
        name: fact("tool.name").unwrap_or_else(|| node.name.clone()),
        arguments: fact("tool.arguments"),
        result: fact("tool.result"),
        error: node.error.clone(),
    }
}

fn retrieval(trace: &Trace, index: usize, span: &Span) -> Retrieval {
    let node = &trace.nodes[index];
    let listed = node.findings.get("retrieval.documents").and_then(|found| message::documents(&found.value));
    let in_output = || node.findings.get("retrieval.output").and_then(|found| message::documents(&found.value));
    Retrieval {
        node: index,
        query: node.text("retrieval.query").map(str::to_string),
        documents: message::flattened_documents(&span.attributes).or(listed).or_else(in_output),
        error: node.error.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::read_all;

    fn case_of(resource: &str, span: &str) -> Option<String> {
        let named = |case: &str| match case {
            "" => String::new(),
            case => format!(r#"{{"key": "relapse.case", "value": {{"stringValue": "{case}"}}}}"#),
        };
        let text = format!(
            r#"{{"resourceSpans": [{{"resource": {{"attributes": [{}]}}, "scopeSpans": [{{"spans": [{{"traceId": "0af7651916cd43dd8448eb211c80319c",
            "spanId": "b7ad6b7169203331", "name": "POST /chat", "startTimeUnixNano": "1", "endTimeUnixNano": "2", "attributes": [{}]}}]}}]}}]}}"#,
            named(resource),
            named(span)
        );
        let telemetry = read_all(text.replace('\n', " ").as_bytes()).expect("telemetry");
        let traces = requests(telemetry.spans, &telemetry.logs, &Mapping::with_aliases(&std::collections::BTreeMap::new()).unwrap());
        traces.into_iter().next().unwrap().case
    }

    #[test]
    fn a_run_names_its_case_on_the_resource() {
        assert_eq!(case_of("empty-index", ""), Some("empty-index".into()));
        assert_eq!(case_of("", ""), None);
    }

    #[test]
    fn a_span_that_names_its_case_wins_over_the_resource() {
        assert_eq!(case_of("of-the-job", "of-the-request"), Some("of-the-request".into()));
    }
}
