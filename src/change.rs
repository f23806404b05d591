//! A change: what can be measured between two requests, by the names that a runbook uses after `change.`.

use crate::signal::{Definition, Kind, Worse};

const fn number(name: &'static str, unit: &'static str, needs: &'static [&'static str]) -> Definition {
    Definition { name, unit, kind: Kind::Number, worse: Worse::Up, needs }
}

const fn flag(name: &'static str, needs: &'static [&'static str]) -> Definition {
    Definition { name, unit: "", kind: Kind::Flag, worse: Worse::Neither, needs }
}

/// Every measure with a fixed name; `change.<signal>` is besides the difference of any numeric signal.
///
/// Counts named without a comparison (`tools.unknown`) are those of now beyond those of the baseline, never below 0.
/// Each measure names the telemetry fields that would make it known.
pub const ALL: &[Definition] = &[
    // What was asked.
    flag("question", &["input"]),
    flag("prompt", &["input"]),
    number("prompt.removed", "lines", &["input"]),
    number("prompt.added", "lines", &["input"]),
    number("prompt.unfilled", "", &["input"]),
    flag("tools", &["input"]),
    number("tools.breaking", "", &["input"]),
    flag("params", &["input"]),
    flag("model.requested", &["model.requested"]),
    flag("model.responded", &["model.responded"]),
    flag("model.fallback", &["model.responded"]),
    // Time: shares of the change, and ratios of the attempt that counts.
    flag("slower", &["latency.total"]),
    number("share.model", "ratio", &["latency.total"]),
    number("share.retries", "ratio", &["retries.count"]),
    number("share.retrieval", "ratio", &["latency.total"]),
    number("share.tools", "ratio", &["latency.total"]),
    number("share.gap", "ratio", &["latency.total"]),
    number("first_token", "ratio", &["latency.first_token"]),
    number("pace", "ratio", &["latency.first_token", "usage.output_tokens"]),
    number("attempts.failed", "", &["retries.count", "error.type"]),
    number("attempts.unanswered", "", &["retries.count", "error.type"]),
    number("attempts.early", "", &["retries.count"]),
    // Tokens: shares of the input's growth, by part.
    number("growth.system", "ratio", &["input"]),
    number("growth.tools", "ratio", &["input"]),
    number("growth.history", "ratio", &["input"]),
    number("growth.retrieved", "ratio", &["input"]),
    number("growth.user", "ratio", &["input"]),
    number("growth.tool_results", "ratio", &["input"]),
    number("truncation", "ratio", &["usage.input_tokens", "input"]),
    number("cache.broken", "", &["usage.cached_tokens"]),
    number("prefix", "ratio", &["input"]),
    // Context.
    flag("window.exceeded", &["error.type"]),
    number("history.dropped", "messages", &["input"]),
    number("history.orphans", "", &["input"]),
    number("fields.lost", "", &[]),
    // Retrieval.
    flag("retrieval.emptied", &["retrieval.documents"]),
    flag("retrieval.failed", &["retrieval.documents"]),
    number("retrieval.overlap", "ratio", &["retrieval.documents"]),
    number("retrieval.kept", "ratio", &["retrieval.documents"]),
    number("retrieval.rbo", "ratio", &["retrieval.documents"]),
    number("retrieval.fill", "ratio", &["retrieval.documents"]),
    number("retrieval.duplicates", "ratio", &["retrieval.documents"]),
    number("retrieval.score", "ratio", &["retrieval.documents"]),
    flag("index", &["index.version"]),
    // Policy.
    flag("policy.flipped", &["policy.verdict", "finish_reason"]),
    flag("refusal.flipped", &["refusal"]),
    // Tools.
    number("tools.invalid", "", &["tool.requested"]),
    number("tools.unknown", "", &["tool.requested"]),
    number("tools.failed", "", &["tool.returned"]),
    number("tools.repeated", "", &["tool.requested"]),
    number("tools.new", "", &["tool.requested"]),
    number("tools.other", "", &["tool.requested"]),
    number("tools.dropped", "", &["tool.requested"]),
    // The answer.
    flag("answer", &["output"]),
    number("answer.similarity", "ratio", &["output"]),
    flag("answer.uncited", &["output"]),
    number("answer.stray_citations", "", &["output", "retrieval.documents"]),
    number("answer.unsupported_numbers", "", &["output", "input"]),
    flag("answer.json_broken", &["output"]),
    number("answer.foreign", "ratio", &["output"]),
    number("answer.repetition", "ratio", &["output"]),
    flag("finish", &["finish_reason"]),
    flag("finish.unknown", &["finish_reason"]),
    flag("finish.at_limit", &["finish_reason"]),
    flag("stream.broken", &["finish_reason"]),
];

/// The definition of a measure with a fixed name.
pub fn definition(name: &str) -> Option<&'static Definition> {
    ALL.iter().find(|definition| definition.name == name)
}
