//! How a request ended, by the order of evidence.

use super::Request;
use crate::mapping::Kind;
use crate::normalise::finish;
use crate::signal::Signals;
use crate::trace::{Node, Trace};
use crate::wire::End;
use crate::wire::call::Attempt;
use crate::wire::summary::Summary;

/// The word: policy, refusal, what the application says, failures, cut-off answers, then what the last call implies.
pub(super) fn of(request: &Request, signals: &Signals) -> &'static str {
    if signals.read("policy.blocked").flag() == Some(true) {
        return "blocked";
    }
    if signals.read("output.refused").flag() == Some(true) {
        return "refused";
    }
    let trace = request.trace.as_ref();
    let (told, known) = (trace.and_then(told), of_wire(request.wire.as_ref()));
    let failure = match told {
        Some("success") => None,
        Some("error") => Some("error"),
        // A word of the application's own says no more than none.
        Some("unknown") | None => trace.and_then(failure),
        Some(word) => return word,
    };
    // "error" is the general word for what the exception or the wire may know better.
    if failure == Some("error") {
        let better = trace.and_then(timeout_or_cancelled).or(known.filter(|word| *word == "timeout"));
        return better.unwrap_or("error");
    }
    let of_run = failure.or_else(|| trace.and_then(root_error)).or(known.filter(|word| *word != "success"));
    if let Some(word) = of_run {
        return word;
    }
    if signals.read("output.truncated").flag() == Some(true) {
        return "truncated";
    }
    told.or(known).unwrap_or_else(|| trace.map_or("unknown", implied))
}

/// What the application says of itself, in relapse's words.
pub(super) fn told(trace: &Trace) -> Option<&'static str> {
    let nodes = trace.root.into_iter().chain(0..trace.nodes.len());
    let mut told = trace
        .stated
        .as_ref()
        .and_then(|stated| stated.outcome.as_deref())
        .into_iter()
        .chain(nodes.filter_map(|index| trace.nodes[index].text("outcome")));
    let word = told.next()?.to_lowercase();
    Some(match word.as_str() {
        "success" | "answered" | "ok" | "completed" | "done" | "resolved" => "success",
        "error" | "failed" | "failure" | "exception" => "error",
        "timeout" | "timed_out" => "timeout",
        "cancelled" | "canceled" => "cancelled",
        "blocked" | "filtered" => "blocked",
        "refused" | "declined" => "refused",
        "truncated" | "length" | "cut_off" | "interrupted" => "truncated",
        _ => "unknown",
    })
}

/// What the root's status says, else that of the last agent directly below it: frameworks may fail without their root.
fn failure(trace: &Trace) -> Option<&'static str> {
    root_error(trace).or_else(|| agent_error(trace))
}

fn root_error(trace: &Trace) -> Option<&'static str> {
    trace.root_node().and_then(error_word)
}

fn error_word(node: &Node) -> Option<&'static str> {
    let error = node.error.as_deref()?.to_lowercase();
    Some(if error.contains("timeout") || error.contains("timed out") {
        "timeout"
    } else if error.contains("cancel") {
        "cancelled"
    } else {
        "error"
    })
}

fn agent_error(trace: &Trace) -> Option<&'static str> {
    let agents = trace.nodes.iter().filter(|node| node.kind == Kind::Agent && node.parent.is_some() && node.parent == trace.root);
    agents.max_by_key(|node| node.start_ns).and_then(error_word)
}

/// The more telling word for an error, from the root or the last model call.
fn timeout_or_cancelled(trace: &Trace) -> Option<&'static str> {
    let last = trace.model_calls.last().map(|call| trace.model_node(call));
    trace.root_node().into_iter().chain(last).filter_map(error_word).find(|word| *word != "error")
}

/// What the last call on the wire makes of the request; none when it ended as it should but asked for a tool.
pub(super) fn of_wire(wire: Option<&Summary>) -> Option<&'static str> {
    let last = wire?.last()?;
    if last.blocked() {
        return Some("blocked");
    }
    if last.refused() {
        return Some("refused");
    }
    if last.status.is_none() || (last.end == Some(End::ClientGone) && last.first_token.is_none()) {
        return Some("timeout");
    }
    if last.failed() {
        return Some("error");
    }
    if last.truncated() {
        return Some("truncated");
    }
    (last.finished() && last.tool_calls.is_empty()).then_some("success")
}

/// What the last model span implies, where nobody says.
fn implied(trace: &Trace) -> &'static str {
    let Some(last) = trace.model_calls.last().map(|call| trace.model_node(call)) else { return "unknown" };
    if last.error.is_some() {
        return "error";
    }
    // Where spans were lost, the last one may not have been the last.
    if trace.is_incomplete() {
        return "unknown";
    }
    match last.text("finish_reason") {
        Some("stop") => "success",
        Some("length" | "interrupted") => "truncated",
        Some("content_filter") => "blocked",
        Some("refusal") => "refused",
        Some("error") => "error",
        _ => "unknown",
    }
}

/// A finish reason of the wire in canonical words; a Responses answer that asks for tools says only "completed".
pub(crate) fn finish_of(attempt: &Attempt) -> Option<String> {
    let raw = attempt.finish.as_deref()?;
    if raw == "completed" && !attempt.tool_calls.is_empty() {
        return Some("tool_call".into());
    }
    Some(finish::canonical(raw))
}
