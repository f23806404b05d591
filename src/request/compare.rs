//! Telemetry against the wire: what it hides, and what it says wrongly.

use super::outcome::{finish_of, of_wire, told};
use super::{Clock, Hidden, Request, micro};
use crate::mapping::Kind;
use crate::signal::Datum;
use crate::trace::{ModelCall, Node, Trace};
use crate::verdict::Contradiction;
use crate::wire::call::Attempt;
use crate::wire::summary::{LogicalCall, Summary};
use serde_json::Value;

/// A told time to the first token is wrong, not merely measured elsewhere, if it differs by this many seconds and twofold.
const FIRST_TOKEN_SLACK: f64 = 0.5;

#[derive(Default)]
struct Findings {
    hidden: Vec<Hidden>,
    contradictions: Vec<Contradiction>,
}

impl Findings {
    fn hide(&mut self, field: &str, wire: impl Into<Value>) {
        if !self.hidden.iter().any(|hidden| hidden.field == field) {
            self.hidden.push(Hidden { field: field.into(), wire: wire.into() });
        }
    }

    fn contradict(&mut self, field: &str, told: impl Into<Value>, wire: impl Into<Value>) {
        self.contradictions.push(Contradiction { field: field.into(), told: told.into(), wire: wire.into() });
    }
}

/// Compares the telemetry of a request with its wire, where it has both.
pub(super) fn compare(request: &mut Request, pairs: &[Option<usize>]) {
    let (Some(trace), Some(wire)) = (&request.trace, &request.wire) else { return };
    let mut findings = Findings::default();
    // Some SDKs never export the span of a call that failed.
    if trace.model_calls.len() < wire.calls.len() {
        findings.hide("calls.model", wire.calls.len());
    }
    compare_retries(trace, wire, &mut findings);
    for (call, told) in wire.calls.iter().zip(pairs) {
        if let Some(told) = told.and_then(|told| trace.model_calls.get(told)) {
            compare_call(call, told, trace, &mut findings);
            compare_first_token(trace.model_node(told), call.last().first_token.map(micro), request.clock, &mut findings);
        } else if trace.model_calls.is_empty() {
            hide_call(call.last(), &mut findings);
        }
    }
    compare_refusals(trace, wire, &mut findings);
    compare_arguments(trace, wire, &mut findings);
    compare_outcome(trace, wire, &mut findings);
    request.hidden = findings.hidden;
    request.contradictions = findings.contradictions;
}

fn compare_retries(trace: &Trace, wire: &Summary, findings: &mut Findings) {
    let told: Vec<f64> = trace.nodes.iter().filter_map(|node| node.number("retries.count")).collect();
    let (sum, known) = (told.iter().sum::<f64>(), wire.retries());
    if told.is_empty() && known > 0 {
        findings.hide("retries.count", known);
    } else if !told.is_empty() && sum != known as f64 {
        findings.contradict("retries.count", number(sum), known);
    }
}

fn compare_call(call: &LogicalCall, told: &ModelCall, trace: &Trace, findings: &mut Findings) {
    let (last, node) = (call.last(), trace.model_node(told));
    compare_finish(node, last, findings);
    compare_models(node, last, findings);
    compare_number(node, "usage.input_tokens", last.usage.input, findings);
    compare_number(node, "usage.output_tokens", last.usage.output, findings);
    compare_tools(told, node, last, findings);
    // Most leave the status unset; one that says OK of an answer that never came whole is wrong.
    if node.said_ok && node.error.is_none() && !last.finished() {
        findings.contradict("error.type", "OK", failure(last));
    }
}

/// All that the wire knows of a call where the telemetry has none.
fn hide_call(last: &Attempt, findings: &mut Findings) {
    let text = |text: &Option<String>| text.clone().map(Value::from);
    let known = [
        ("finish_reason", finish_of(last).map(Value::from)),
        ("model.requested", text(&last.model_requested)),
        ("model.responded", text(&last.model_responded)),
        ("usage.input_tokens", last.usage.input.map(Value::from)),
        ("usage.output_tokens", last.usage.output.map(Value::from)),
        ("latency.first_token", last.first_token.map(|seconds| micro(seconds).into())),
    ];
    for (field, wire) in known {
        wire.into_iter().for_each(|wire| findings.hide(field, wire));
    }
}

/// What went wrong with an attempt: the provider's word, else how its stream ended.
fn failure(attempt: &Attempt) -> String {
    let error = attempt.error.as_ref().map(|error| error.kind.clone());
    error.or_else(|| attempt.end.map(|end| end.word().to_string())).unwrap_or_else(|| "unanswered".into())
}

/// A span that says it does not know, or that the call broke off, says nothing wrong.
fn compare_finish(node: &Node, last: &Attempt, findings: &mut Findings) {
    match (node.text("finish_reason"), finish_of(last)) {
        // Where an API has no reason of its own for a refusal, this says more than its `stop`; that a filter stopped it does not.
        (Some("refusal"), Some(_)) if last.refused() => {}
        (None, Some(known)) => findings.hide("finish_reason", known),
        (Some("error" | "unknown" | "interrupted" | "other"), None) => {}
        (Some(told), None) => findings.contradict("finish_reason", told, Value::Null),
        (Some(told), Some(known)) if told != known => findings.contradict("finish_reason", told, known),
        _ => {}
    }
}

/// A span with one name for both models is right with either of them, and hides the other.
fn compare_models(node: &Node, last: &Attempt, findings: &mut Findings) {
    let known = [("model.requested", &last.model_requested), ("model.responded", &last.model_responded)];
    let key = |(field, _): &(&str, _)| node.findings.get(field).map(|found| &found.key);
    let one_name = key(&known[0]).is_some() && key(&known[0]) == key(&known[1]);
    let is_either =
        |told: &str| one_name && known.iter().any(|(_, known)| known.as_deref().is_some_and(|known| is_same_model(told, known)));
    for (field, known) in known {
        match (node.text(field), known.as_deref()) {
            (None, Some(known)) => findings.hide(field, known),
            (Some(told), Some(known)) if is_same_model(told, known) => {}
            (Some(told), Some(known)) if is_either(told) => findings.hide(field, known),
            (Some(told), Some(known)) => findings.contradict(field, told, known),
            _ => {}
        }
    }
}

/// Whether two names are of one model; gateways and SDKs put the provider before it, as in `openai/gpt-4o`.
fn is_same_model(told: &str, known: &str) -> bool {
    let ends = |long: &str, short: &str| long.strip_suffix(short).is_some_and(|before| before.ends_with('/'));
    told == known || ends(told, known) || ends(known, told)
}

fn compare_number(node: &Node, field: &str, known: Option<u64>, findings: &mut Findings) {
    match (node.number(field), known) {
        (None, Some(known)) => findings.hide(field, known),
        (Some(told), Some(known)) if told != known as f64 => findings.contradict(field, number(told), known),
        _ => {}
    }
}

fn compare_first_token(node: &Node, known: Option<f64>, clock: Clock, findings: &mut Findings) {
    let Some(known) = known else { return };
    match node.number("latency.first_token") {
        None => findings.hide("latency.first_token", known),
        Some(told) if clock == Clock::Real && (told - known).abs() > FIRST_TOKEN_SLACK && told.max(known) > 2.0 * told.min(known) => {
            findings.contradict("latency.first_token", told, known);
        }
        Some(_) => {}
    }
}

/// Tools that were asked for, where neither messages nor a finish reason tell of them.
fn compare_tools(told: &ModelCall, node: &Node, attempt: &Attempt, findings: &mut Findings) {
    let names: Vec<&str> = attempt.tool_calls.iter().map(|call| call.name.as_str()).collect();
    let told = told.output.as_ref().is_some_and(|output| !output.tool_requests.is_empty());
    if !names.is_empty() && !told && !node.findings.contains_key("tool.requested") {
        findings.hide("tool.requested", names);
    }
}

fn compare_refusals(trace: &Trace, wire: &Summary, findings: &mut Findings) {
    let refusal = wire.calls.iter().map(LogicalCall::last).find(|attempt| attempt.refused());
    let told = trace.nodes.iter().any(|node| node.findings.contains_key("refusal"));
    if let Some(attempt) = refusal.filter(|_| !told) {
        findings.hide("refusal", attempt.refusal.clone().unwrap_or_else(|| "refused".into()));
    }
}

/// Arguments that a tool span shows differently although the wire's were no JSON: the SDK mended them.
fn compare_arguments(trace: &Trace, wire: &Summary, findings: &mut Findings) {
    for call in wire.calls.iter().flat_map(|call| &call.last().tool_calls) {
        if serde_json::from_str::<Value>(&call.arguments).is_ok() {
            continue;
        }
        let ran =
            trace.tool_calls.iter().find(|tool| tool.id.as_deref() == Some(&call.id) || (tool.id.is_none() && tool.name == call.name));
        if let Some(told) = ran.and_then(|tool| tool.arguments.as_deref()).filter(|told| *told != call.arguments) {
            findings.contradict("tool.requested", told, call.arguments.as_str());
        }
    }
}

/// An end that is no success: told as one it is contradicted, and hidden where neither application nor any span says so.
fn compare_outcome(trace: &Trace, wire: &Summary, findings: &mut Findings) {
    let Some(known) = of_wire(Some(wire)).filter(|word| *word != "success") else { return };
    match told(trace) {
        Some("success") => findings.contradict("outcome", "success", known),
        None if !says_that_it_failed(trace) => findings.hide("outcome", known),
        _ => {}
    }
}

fn says_that_it_failed(trace: &Trace) -> bool {
    let finish = trace.model_calls.last().and_then(|call| trace.model_node(call).text("finish_reason"));
    let cut = finish.is_some_and(|reason| !matches!(reason, "stop" | "tool_call"));
    cut || trace.nodes.iter().any(|node| node.error.is_some() && node.kind != Kind::Tool)
}

/// A count without a fraction is written as one.
fn number(number: f64) -> Value {
    Datum::Number(number).to_json()
}

#[cfg(test)]
mod tests {
    use super::super::Clock;
    use super::*;
    use crate::mapping::Mapping;
    use crate::normalise;
    use crate::otlp::{AnyValue, Span};
    use crate::wire;
    use serde_json::json;

    /// What the telemetry of one model call says, against an answer that took a hundredth of a second.
    fn compared(told: (&str, AnyValue), message: Value, clock: Clock) -> Request {
        let mapping = Mapping::built_in();
        let span = Span {
            trace_id: "a".repeat(32),
            span_id: "b".repeat(16),
            name: "chat m".into(),
            start_ns: 1,
            end_ns: 2_200_000_000,
            attributes: vec![("gen_ai.operation.name".into(), AnyValue::Text("chat".into())), (told.0.into(), told.1)],
            ..Span::default()
        };
        let events =
            json!([{"t_ms": 10.0, "data": json!({"choices": [{"index": 0, "delta": message, "finish_reason": "stop"}]}).to_string()}]);
        let line = json!({"ms": 11.0, "request": {"method": "POST", "path": "/v1/chat/completions", "body": {"stream": true}}, "response": {"status": 200, "sse": events, "end": "complete"}});
        let trace = normalise::request(vec![span], &[], mapping);
        Request::timed(clock, Some(trace), vec![wire::read_line(&line.to_string()).unwrap()], mapping)
    }

    fn contradicted(request: &Request) -> Vec<&str> {
        request.contradictions.iter().map(|contradiction| contradiction.field.as_str()).collect()
    }

    #[test]
    fn a_played_answer_came_when_no_clock_says() {
        let told = ("gen_ai.response.time_to_first_chunk", AnyValue::Double(2.1));
        let answer = json!({"content": "Hi"});
        assert_eq!(contradicted(&compared(told.clone(), answer.clone(), Clock::Real)), ["latency.first_token"]);
        let played = compared(told, answer, Clock::Virtual);
        assert!(contradicted(&played).is_empty());
        assert_eq!(played.signals.read("latency.model").number(), Some(0.011));
    }

    #[test]
    fn a_refusal_told_as_the_reason_to_finish_is_told() {
        let told = |reason: &str| ("gen_ai.response.finish_reasons", AnyValue::List(vec![AnyValue::Text(reason.into())]));
        let refusal = json!({"refusal": "No."});
        assert!(contradicted(&compared(told("refusal"), refusal.clone(), Clock::Real)).is_empty());
        assert_eq!(contradicted(&compared(told("content_filter"), refusal, Clock::Real)), ["finish_reason"]);
    }
}
