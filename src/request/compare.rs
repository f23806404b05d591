//! Telemetry against the wire: what it hides, and what it says wrongly.

use super::{Hidden, Request, told_outcome, wire_finish, wire_outcome};
use crate::trace::{Node, Trace};
use crate::verdict::Contradiction;
use crate::wire::summary::{LogicalCall, Summary};
use serde_json::Value;

/// A told time to the first token is wrong, not merely measured elsewhere, beyond this many seconds and twice the wire's.
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
pub(super) fn compare(request: &mut Request) {
    let (Some(trace), Some(wire)) = (&request.trace, &request.wire) else { return };
    let mut findings = Findings::default();
    compare_retries(trace, wire, &mut findings);
    for (call, node) in pairs(trace, wire) {
        compare_call(call, node, &mut findings);
    }
    compare_refusals(trace, wire, &mut findings);
    compare_arguments(trace, wire, &mut findings);
    compare_outcome(trace, wire, &mut findings);
    request.hidden = findings.hidden;
    request.contradictions = findings.contradictions;
}

/// Calls with their spans: by response id, else by order where their numbers agree.
fn pairs<'a>(trace: &'a Trace, wire: &'a Summary) -> Vec<(&'a LogicalCall, &'a Node)> {
    let nodes: Vec<&Node> = trace.model_calls.iter().map(|call| trace.model_node(call)).collect();
    let by_id = |call: &LogicalCall| {
        let id = call.last().response_id.as_deref()?;
        nodes.iter().find(|node| node.text("response.id") == Some(id)).copied()
    };
    let by_order = nodes.len() == wire.calls.len();
    let pair = |(index, call)| by_id(call).or_else(|| by_order.then(|| nodes[index])).map(|node| (call, node));
    wire.calls.iter().enumerate().filter_map(pair).collect()
}

fn compare_retries(trace: &Trace, wire: &Summary, findings: &mut Findings) {
    let told: Vec<f64> = trace.nodes.iter().filter_map(|node| node.number("retries.count")).collect();
    let (sum, known) = (told.iter().sum::<f64>(), wire.retries());
    if told.is_empty() && known > 0 {
        findings.hide("retries.count", known);
    } else if !told.is_empty() && sum != known as f64 {
        findings.contradict("retries.count", sum, known);
    }
}

fn compare_call(call: &LogicalCall, node: &Node, findings: &mut Findings) {
    let last = call.last();
    compare_finish(node, wire_finish(last), findings);
    compare_text(node, "model.responded", last.model_responded.as_deref(), findings);
    compare_number(node, "usage.input_tokens", last.usage.input, findings);
    compare_number(node, "usage.output_tokens", last.usage.output, findings);
    let Some(known) = last.first_token else { return };
    match node.number("latency.first_token") {
        Some(told) if told > known + FIRST_TOKEN_SLACK && told > 2.0 * known => findings.contradict("latency.first_token", told, known),
        Some(_) => {}
        None => findings.hide("latency.first_token", known),
    }
}

/// A span that says it does not know, or that the call broke off, says nothing wrong.
fn compare_finish(node: &Node, known: Option<String>, findings: &mut Findings) {
    match (node.text("finish_reason"), known) {
        (None, Some(known)) => findings.hide("finish_reason", known),
        (Some("error" | "unknown" | "interrupted" | "other"), None) => {}
        (Some(told), None) => findings.contradict("finish_reason", told, Value::Null),
        (Some(told), Some(known)) if told != known => findings.contradict("finish_reason", told, known),
        _ => {}
    }
}

fn compare_text(node: &Node, field: &str, known: Option<&str>, findings: &mut Findings) {
    match (node.text(field), known) {
        (None, Some(known)) => findings.hide(field, known),
        (Some(told), Some(known)) if told != known => findings.contradict(field, told, known),
        _ => {}
    }
}

fn compare_number(node: &Node, field: &str, known: Option<u64>, findings: &mut Findings) {
    match (node.number(field), known) {
        (None, Some(known)) => findings.hide(field, known),
        (Some(told), Some(known)) if told != known as f64 => findings.contradict(field, told, known),
        _ => {}
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

fn compare_outcome(trace: &Trace, wire: &Summary, findings: &mut Findings) {
    let known = wire_outcome(Some(wire)).filter(|word| *word != "success");
    if let (Some("success"), Some(known)) = (told_outcome(trace), known) {
        findings.contradict("outcome", "success", known);
    }
}
