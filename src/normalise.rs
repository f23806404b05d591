//! From spans and log records to traces: one for each request.

mod adoption;
mod attempts;
mod calls;
mod enrich;
pub mod finish;
mod group;
mod message;
mod opinion;
mod parents;
mod plain;
mod record;
mod wrappers;

use crate::mapping::{self, Kind, Mapping, Told};
use crate::otlp::{Attributes, LogRecord, Span};
use crate::trace::{ModelCall, Node, Retrieval, ToolCall, Trace};
use std::collections::BTreeSet;

/// The requests that some telemetry tells of, by start.
///
/// Spans that were sent twice are merged, traces that belong together are one request, and only leaf model calls count.
pub fn requests(spans: Vec<Span>, logs: &[LogRecord], mapping: &Mapping) -> Vec<Trace> {
    let (mut spans, diagnostics) = group::without_duplicates(spans);
    adoption::adopt(&mut spans, mapping);
    let groups = group::without_preparations(group::by_request(&spans, mapping));
    let shares = group::logs(&groups, logs);
    let mut traces: Vec<Trace> = groups.iter().zip(&shares).map(|(members, logs)| build(members, logs, mapping)).collect();
    traces.sort_by(|a, b| (a.start_ns(), &a.id).cmp(&(b.start_ns(), &b.id)));
    if let Some(first) = traces.first_mut() {
        first.diagnostics.extend(diagnostics);
    }
    traces
}

/// All of some telemetry as one request: what one process exported that was asked one question.
///
/// Instrumentation without a root exports every call as a trace of its own, and what happens in the background is one too.
pub fn request(spans: Vec<Span>, logs: &[LogRecord], mapping: &Mapping) -> Trace {
    let (spans, diagnostics) = group::without_duplicates(spans);
    let mut trace = build(&group::sorted(spans.iter().collect()), &logs.iter().collect::<Vec<_>>(), mapping);
    trace.diagnostics.extend(diagnostics);
    trace
}

fn build(spans: &[&Span], logs: &[&LogRecord], mapping: &Mapping) -> Trace {
    let mut trace = Trace { nodes: spans.iter().map(|span| node(span, mapping)).collect(), ..Trace::default() };
    parents::link(&mut trace, spans);
    trace.root = parents::root(&trace);
    trace.id = trace.root_node().or(trace.nodes.first()).map(|node| node.trace_id.clone()).unwrap_or_default();
    let conventions: BTreeSet<&'static str> = trace.nodes.iter().filter_map(|node| node.convention).collect();
    trace.conventions = conventions.into_iter().collect();
    trace.nodes.iter_mut().filter(|node| node.kind == Kind::Model).for_each(enrich::drop_zeros);
    wrappers::unwrap(&mut trace, spans, mapping);
    collect_calls(&mut trace, spans);
    attempts::count(&mut trace);
    record::join(&mut trace, spans, logs);
    opinion::on_spans(&mut trace, spans);
    enrich::fields(&mut trace);
    trace.tools = enrich::tools(&trace, spans);
    trace.may_lack_calls = may_lack_calls(&trace, spans);
    trace.case = case(spans);
    trace
}

/// A request that failed although no model span did, under an instrumentation that drops the spans of failed calls.
fn may_lack_calls(trace: &Trace, spans: &[&Span]) -> bool {
    let failed = trace.root_node().is_some_and(|root| root.error.is_some());
    let of_models = || trace.model_calls.iter().map(|call| call.node);
    failed
        && of_models().all(|index| trace.nodes[index].error.is_none())
        && of_models().any(|index| {
            let scope = &spans[index].scope.name;
            mapping::loses_failed_calls(scope) || (mapping::loses_failed_streams(scope) && ends_with_a_tool(trace))
        })
}

/// Whether a tool ran and answered after the last model call, of which a model was still to be told.
fn ends_with_a_tool(trace: &Trace) -> bool {
    let last = trace.model_calls.iter().map(|call| trace.model_node(call).start_ns).max();
    trace.tool_calls.iter().any(|tool| tool.error.is_none() && Some(trace.nodes[tool.node].start_ns) > last)
}

/// The case that a run was for: a span's `relapse.case`, else the resource's, which `OTEL_RESOURCE_ATTRIBUTES` sets.
fn case(spans: &[&Span]) -> Option<String> {
    let named =
        |attributes: &Attributes| attributes.iter().find(|(key, _)| key == "relapse.case").and_then(|(_, value)| mapping::text(value));
    spans.iter().find_map(|span| named(&span.attributes)).or_else(|| spans.iter().find_map(|span| named(&span.resource)))
}

fn node(span: &Span, mapping: &Mapping) -> Node {
    let Told { kind, convention, findings } = mapping.read(span);
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
        said_ok: span.status.code == 1,
        findings,
        attributes_dropped: span.dropped_attributes > 0,
        events_dropped: span.dropped_events > 0,
    }
}

/// The error of a failed span: its type, else the exception's, else the status message.
fn error(span: &Span) -> Option<String> {
    if span.status.code != 2 && !failed_by_event(span) {
        return None;
    }
    let named =
        |attributes: &Attributes, name: &str| attributes.iter().find(|(key, _)| key == name).and_then(|(_, value)| mapping::text(value));
    let of_exception = || span.events.iter().find_map(|event| named(&event.attributes, "exception.type"));
    let message = (!span.status.message.is_empty()).then(|| span.status.message.clone());
    named(&span.attributes, "error.type").or_else(of_exception).or(message).or_else(|| Some("error".into()))
}

fn failed_by_event(span: &Span) -> bool {
    mapping::fails_by_event(&span.scope.name) && span.events.iter().any(|event| event.name == "exception")
}

fn collect_calls(trace: &mut Trace, spans: &[&Span]) {
    let leaves = calls::of(trace);
    trace.model_calls = leaves
        .calls
        .into_iter()
        .map(|node| ModelCall {
            node,
            input: enrich::input(&mut trace.nodes[node], spans[node]),
            output: enrich::output(&trace.nodes[node], spans[node]),
        })
        .collect();
    trace.retried = leaves.retried;
    let tools = trace.nearest_above(|node| node.kind == Kind::Tool);
    let retrievals = trace.nearest_above(|node| node.kind == Kind::Retrieval);
    for (index, span) in spans.iter().enumerate() {
        match trace.nodes[index].kind {
            Kind::Tool if !is_inner_tool(trace, index, tools[index]) => trace.tool_calls.push(tool_call(trace, index)),
            Kind::Retrieval if retrievals[index].is_none() => trace.retrievals.push(retrieval(trace, index, span)),
            _ => {}
        }
    }
}

/// An MCP client and server both tell of one call: the outer span is the call.
fn is_inner_tool(trace: &Trace, index: usize, above: Option<usize>) -> bool {
    let name = |index: usize| trace.nodes[index].text("tool.name");
    above.is_some_and(|above| name(above) == name(index))
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
