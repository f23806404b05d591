//! Requests as trees, whatever their spans say of parents and times.

use proptest::prelude::*;
use relapse::mapping::Mapping;
use relapse::normalise;
use relapse::otlp::{AnyValue, Event, Span, Status};
use relapse::request::Request;
use relapse::trace::Trace;
use std::collections::BTreeMap;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const BEGIN: u64 = 1_000_000_000_000_000_000;

/// A span that runs from one microsecond to another.
fn span(id: u64, parent: Option<u64>, from: u64, to: u64, operation: &str) -> Span {
    Span {
        trace_id: TRACE.into(),
        span_id: format!("{:016x}", id + 1),
        parent: parent.map(|parent| format!("{:016x}", parent + 1)),
        name: format!("span {id}"),
        start_ns: BEGIN + from * 1000,
        end_ns: BEGIN + to * 1000,
        attributes: vec![("gen_ai.operation.name".into(), AnyValue::Text(operation.into()))],
        ..Span::default()
    }
}

fn traces(spans: Vec<Span>) -> Vec<Trace> {
    normalise::requests(spans, &[], Mapping::built_in())
}

fn only(spans: Vec<Span>) -> Trace {
    let mut traces = traces(spans);
    assert_eq!(traces.len(), 1);
    traces.remove(0)
}

fn signals(trace: Trace) -> BTreeMap<String, f64> {
    let request = Request::new(Some(trace), Vec::new(), Mapping::built_in());
    let numbers = request.signals.known().filter_map(|(name, datum)| Some((name.to_string(), datum.number()?)));
    numbers.collect()
}

const DEEP: u64 = 20_000;

#[test]
fn a_chain_of_any_depth_is_read_whichever_end_comes_first() {
    for operation in ["chat", "execute_tool", "retrieval", "invoke_agent"] {
        let down = (0..DEEP).map(|id| span(id, id.checked_sub(1), id, 2 * DEEP - id, operation));
        let trace = only(down.collect());
        assert_eq!(trace.root_node().unwrap().name, "span 0");
        assert!(trace.diagnostics.is_empty());
        assert!(trace.model_calls.len() <= 1 && trace.retrievals.len() <= 1);
        let up = (0..DEEP).map(|id| span(id, Some(id + 1).filter(|parent| *parent < DEEP), DEEP - id, DEEP + id + 1, operation));
        assert_eq!(only(up.collect()).root_node().unwrap().name, format!("span {}", DEEP - 1));
    }
}

#[test]
fn a_cycle_is_cut_at_its_earliest_span_and_named() {
    let trace = only((0..DEEP).map(|id| span(id, Some((id + 1) % DEEP), id, DEEP, "chat")).collect());
    assert_eq!(trace.root_node().unwrap().name, "span 0");
    assert_eq!(trace.diagnostics, ["span 0000000000000001: its parent 0000000000000002 leads back to it; taken as a root"]);
    let trace = only(vec![span(0, Some(0), 0, 9, "chat")]);
    assert_eq!(trace.diagnostics, ["span 0000000000000001: it is its own parent; taken as a root"]);
}

#[test]
fn spans_that_run_beside_each_other_in_thousands_take_no_time_twice() {
    let root = span(0, None, 0, 100_000, "invoke_agent");
    let beside = (1..DEEP).map(|id| span(id, Some(0), id, 50_000 + id, "chat"));
    let signals = signals(only(std::iter::once(root).chain(beside).collect()));
    assert_eq!((signals["calls.model"], signals["latency.total"]), ((DEEP - 1) as f64, 0.1));
    assert_eq!(signals["latency.model"], (50_000.0 + DEEP as f64 - 1.0 - 1.0) / 1e6);
}

#[test]
fn a_root_that_comes_last_is_the_root_and_one_that_never_comes_leaves_counts_unknown() {
    let children = || vec![span(1, Some(0), 5, 9, "chat"), span(2, Some(0), 10, 20, "chat")];
    let mut spans = children();
    spans.push(span(0, None, 0, 30, "invoke_agent"));
    let whole = signals(only(spans));
    assert_eq!((whole["calls.model"], whole["latency.total"]), (2.0, 0.00003));
    let lost = signals(only(children()));
    assert!(!lost.contains_key("calls.model") && !lost.contains_key("latency.total"));
}

#[test]
fn a_span_that_was_sent_twice_counts_once_and_the_fuller_one_is_kept() {
    let whole = span(0, None, 0, 30, "chat");
    let half = Span { end_ns: 0, ..whole.clone() };
    let trace = only(vec![half, whole.clone(), whole]);
    assert_eq!((trace.nodes.len(), trace.nodes[0].duration()), (1, Some(0.00003)));
    assert_eq!(trace.diagnostics, ["span 0000000000000001: sent twice with different content; the fuller one is kept"]);
}

#[test]
fn a_first_token_after_dropped_events_is_unknown() {
    let chunk = Event { name: "gen_ai.content.completion.chunk".into(), time_ns: BEGIN + 7000, ..Event::default() };
    let streamed = |dropped| Span { events: vec![chunk.clone()], dropped_events: dropped, ..span(0, None, 0, 30, "chat") };
    assert_eq!(signals(only(vec![streamed(0)])).get("latency.first_token"), Some(&0.000_007));
    assert_eq!(signals(only(vec![streamed(3)])).get("latency.first_token"), None);
}

/// Spans with any parent, also a wrong one, any times, also reversed or absent, that may have failed.
fn any_spans() -> impl Strategy<Value = Vec<Span>> {
    let operation = prop::sample::select(vec!["chat", "chat", "execute_tool", "retrieval", "embeddings", "invoke_agent", "other"]);
    let one = (prop::option::of(0u64..12), 0u64..400, 0u64..400, operation, prop::bool::ANY, 0u64..20);
    prop::collection::vec(one, 1..12).prop_map(|list| {
        let spans = list.into_iter().enumerate().map(|(id, (parent, from, lasted, operation, failed, odd))| {
            let to = if odd == 0 { from.saturating_sub(lasted) } else { from + lasted };
            let mut span = span(id as u64, parent, from, to, operation);
            span.attributes.push(("gen_ai.input.messages".into(), AnyValue::Text("[]".into())));
            span.status = Status { code: if failed { 2 } else { 0 }, message: String::new() };
            if odd == 1 {
                span.end_ns = 0;
            }
            span
        });
        spans.collect()
    })
}

proptest! {
    #[test]
    fn the_times_of_the_stages_are_exclusive_and_sum_to_the_total(spans in any_spans()) {
        for trace in traces(spans) {
            let signals = signals(trace);
            let micros = |name: &str| signals.get(name).map_or(0, |seconds| (seconds * 1e6).round() as i64);
            let parts = ["latency.model", "latency.retrieval", "latency.tools", "latency.retries", "latency.gap"];
            prop_assert!(parts.iter().all(|part| micros(part) >= 0));
            prop_assert_eq!(parts.iter().map(|part| micros(part)).sum::<i64>(), micros("latency.total"));
        }
    }

    #[test]
    fn no_span_is_lost_or_told_twice(spans in any_spans()) {
        let count = spans.len();
        let traces = traces(spans);
        prop_assert_eq!(traces.iter().map(|trace| trace.nodes.len()).sum::<usize>(), count);
        for trace in &traces {
            let mut order = trace.parents_first();
            for (place, index) in order.iter().enumerate() {
                let parent = trace.nodes[*index].parent;
                prop_assert!(parent.is_none_or(|parent| order[..place].contains(&parent)));
            }
            order.sort_unstable();
            prop_assert!(order.iter().enumerate().all(|(place, index)| place == *index));
        }
    }
}
