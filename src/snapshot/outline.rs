//! The outline of a request: its steps in order, without what differs from run to run.

use crate::field::State;
use crate::project::Matching;
use crate::request::{Request, canonical_arguments};
use regex::Regex;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// Values that no two runs share, and what stands for them; the first match wins.
const VOLATILE: [(&str, &str); 4] = [
    (r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b", "<uuid>"),
    (r"\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?\b", "<time>"),
    (r"\b(call|toolu|chatcmpl|msg|resp|fc|run|req)[-_][A-Za-z0-9]{8,}\b", "<id>"),
    (r"\b[0-9a-fA-F]{24,}\b", "<hex>"),
];

static PATTERNS: LazyLock<Vec<(Regex, &str)>> =
    LazyLock::new(|| VOLATILE.iter().map(|(pattern, with)| (Regex::new(pattern).expect("a pattern of ours"), *with)).collect());

/// Placeholders for volatile values: ours, then those of the project's `match.replace`.
pub(super) fn without_volatile(text: &str, matching: &Matching) -> String {
    let mut text = text.to_string();
    for (pattern, with) in PATTERNS.iter() {
        text = pattern.replace_all(&text, *with).into_owned();
    }
    for replacement in &matching.replace {
        text = replacement.pattern.replace_all(&text, replacement.with.as_str()).into_owned();
    }
    text
}

/// Steps, documents, fields and outcome, one a line.
pub(super) fn of(request: &Request) -> String {
    let mut text = String::from("steps:");
    for step in steps(request) {
        let _ = write!(text, "\n  {step}");
    }
    if let Some(documents) = &request.documents {
        let ids: Vec<&str> = documents.iter().map(|document| document.id.as_str()).collect();
        let _ = write!(text, "\ndocuments: {}", if ids.is_empty() { "none".to_string() } else { ids.join(", ") });
    }
    let present = request.fields.iter().filter(|(_, state)| matches!(state, State::Present { .. })).map(|(field, _)| field);
    let present: Vec<&str> = present.collect();
    if !present.is_empty() {
        let _ = write!(text, "\nfields: {}", present.join(", "));
    }
    let _ = write!(text, "\noutcome: {}", request.signals.read("outcome").text().unwrap_or("unknown"));
    text
}

/// Model calls with how each ended, and the tools that each asked for: from the wire where there is one.
fn steps(request: &Request) -> Vec<String> {
    let Some(wire) = &request.wire else { return told_steps(request) };
    let mut steps = Vec::new();
    for call in &wire.calls {
        let attempt = call.last();
        steps.push(format!("model: {}", attempt.finish.as_deref().unwrap_or("no finish reason")));
        steps.extend(attempt.tool_calls.iter().map(|tool| format!("  {}({})", tool.name, canonical_arguments(&tool.arguments))));
    }
    steps
}

fn told_steps(request: &Request) -> Vec<String> {
    let Some(trace) = &request.trace else { return Vec::new() };
    let mut steps = Vec::new();
    for call in &trace.model_calls {
        let finish = trace.model_node(call).text("finish_reason").unwrap_or("no finish reason");
        steps.push(format!("model: {finish}"));
        let asked = call.output.iter().flat_map(|output| &output.tool_requests);
        steps.extend(asked.map(|tool| format!("  {}({})", tool.name, canonical_arguments(&tool.arguments))));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_a_placeholder() {
        let text = "ticket 0af76519-16cd-43dd-8448-eb211c80319c at 2026-11-28T03:14:15.5Z by call_0123456789 of 0af7651916cd43dd8448eb211c80319c, order A-1001 of 2026-03-14";
        let expected = "ticket <uuid> at <time> by <id> of <hex>, order A-1001 of 2026-03-14";
        assert_eq!(without_volatile(text, &Matching::default()), expected);
    }
}
