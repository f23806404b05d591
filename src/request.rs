//! A request: what one user's question did, from telemetry and wire together.

mod compare;
mod stages;

use crate::field::{self, On, State};
use crate::mapping::Mapping;
use crate::normalise::finish;
use crate::signal::{Datum, Signals};
use crate::trace::{Document, Trace};
use crate::verdict::Contradiction;
use crate::wire::Exchange;
use crate::wire::call::Attempt;
use crate::wire::summary::Summary;
use serde_json::Value;
use std::collections::BTreeMap;

pub use stages::Stage;

/// A field of which the telemetry says nothing though the wire knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Hidden {
    /// The field.
    pub field: String,
    /// What the wire knows.
    pub wire: Value,
}

/// A tool that the model asked for, from the wire where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolUse {
    /// The call's id.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as they were sent.
    pub arguments: String,
    /// Whether the wire said so; telemetry may have mended them.
    pub from_wire: bool,
}

/// What one user's question did.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The telemetry; none where relapse itself ran the conversation.
    pub trace: Option<Trace>,
    /// What the wire knows; none without one.
    pub wire: Option<Summary>,
    /// The exchanges of this request.
    pub exchanges: Vec<Exchange>,
    /// The signals.
    pub signals: Signals,
    /// The state of every field.
    pub fields: BTreeMap<&'static str, State>,
    /// What the telemetry does not tell.
    pub hidden: Vec<Hidden>,
    /// What the telemetry tells wrongly.
    pub contradictions: Vec<Contradiction>,
    /// What the user asked.
    pub input: Option<String>,
    /// What the user got.
    pub answer: Option<String>,
    /// The tools that were asked for; none when nothing says.
    pub tool_uses: Option<Vec<ToolUse>>,
    /// The passages that were found; none when nothing says.
    pub documents: Option<Vec<Document>>,
}

impl Request {
    /// Joins one trace with its exchanges.
    pub fn new(trace: Option<Trace>, exchanges: Vec<Exchange>, mapping: &Mapping) -> Self {
        let summary = Summary::of(&exchanges);
        let wire = (!summary.calls.is_empty()).then_some(summary);
        let mut request = Self { trace, wire, exchanges, ..Self::default() };
        request.read_content();
        request.read_fields(mapping);
        request.measure();
        compare::compare(&mut request);
        let contradictions = request.wire.is_some().then_some(request.contradictions.len() as f64);
        request.signals.set_number("contradictions", contradictions);
        request
    }

    /// The state of a field where a requirement says it must be.
    pub fn state(&self, field: &str, on: On, mapping: &Mapping) -> State {
        match &self.trace {
            Some(trace) => trace.state(field, on, mapping),
            None => State::ConditionNotMet,
        }
    }

    /// The stages of the waterfall, by start.
    pub fn stages(&self) -> Vec<Stage> {
        self.trace.as_ref().map(stages::of).unwrap_or_default()
    }

    fn read_content(&mut self) {
        let of_trace = self.trace.as_ref();
        let last = self.wire.as_ref().and_then(Summary::last);
        let of_wire = last
            .filter(|attempt| attempt.tool_calls.is_empty())
            .and_then(|attempt| attempt.text.clone().or_else(|| attempt.refusal.clone()));
        self.input = of_trace.and_then(|trace| trace.input.clone()).or_else(|| self.exchanges.iter().find_map(question));
        // What the application told its user comes before what the model told the application.
        self.answer = of_trace
            .and_then(|trace| trace.answer.clone())
            .filter(|answer| !answer.is_empty())
            .or(of_wire)
            .or_else(|| of_trace.and_then(|trace| trace.answer.clone()));
        self.tool_uses = self.wire.as_ref().map(wire_tools).or_else(|| of_trace.and_then(told_tools));
        self.documents = of_trace.and_then(found_documents);
    }

    fn read_fields(&mut self, mapping: &Mapping) {
        let Some(trace) = &self.trace else { return };
        self.fields = field::ALL.iter().map(|definition| (definition.name, trace.state_in_profile(definition, mapping))).collect();
    }

    fn measure(&mut self) {
        let mut signals = Signals::new();
        if let Some(trace) = &self.trace {
            measure_trace(trace, &mut signals);
        }
        measure_content(self, &mut signals);
        if let Some(wire) = &self.wire {
            measure_wire(wire, &mut signals);
        }
        let total = signals.read("tokens.input").number().zip(signals.read("tokens.output").number());
        signals.set_number("tokens.total", total.map(|(input, output)| input + output));
        self.signals = signals;
        stages::measure(self);
        let outcome = outcome(self);
        self.signals.set("outcome", Datum::Text(outcome.into()));
    }
}

/// The last message of the user in a request's body.
fn question(exchange: &Exchange) -> Option<String> {
    let body = &exchange.request.body;
    let items = body.get("messages").or_else(|| body.get("input"))?;
    if let Some(text) = items.as_str() {
        return Some(text.to_string());
    }
    let of_user = items.as_array()?.iter().rev().filter(|item| item.get("role").and_then(Value::as_str) == Some("user"));
    of_user.filter_map(|item| content_text(item.get("content")?)).find(|text| !text.is_empty())
}

fn content_text(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => Some(parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()),
        _ => None,
    }
}

fn wire_tools(wire: &Summary) -> Vec<ToolUse> {
    let calls = wire.calls.iter().flat_map(|call| &call.last().tool_calls);
    calls.map(|call| ToolUse { id: call.id.clone(), name: call.name.clone(), arguments: call.arguments.clone(), from_wire: true }).collect()
}

fn told_tools(trace: &Trace) -> Option<Vec<ToolUse>> {
    let mut uses = Vec::new();
    let captured = !trace.model_calls.is_empty()
        && trace.model_calls.iter().all(|call| call.output.is_some() || trace.model_node(call).error.is_some());
    for call in &trace.model_calls {
        for request in call.output.iter().flat_map(|output| &output.tool_requests) {
            uses.push(ToolUse {
                id: request.id.clone(),
                name: request.name.clone(),
                arguments: request.arguments.clone(),
                from_wire: false,
            });
        }
    }
    if captured {
        return Some(uses);
    }
    // Without content the tools that ran still say what was asked for.
    let ran = trace.tool_calls.iter().map(|call| ToolUse {
        id: call.id.clone().unwrap_or_default(),
        name: call.name.clone(),
        arguments: call.arguments.clone().unwrap_or_default(),
        from_wire: false,
    });
    (!trace.tool_calls.is_empty()).then(|| ran.collect())
}

fn found_documents(trace: &Trace) -> Option<Vec<Document>> {
    let known: Option<Vec<&Vec<Document>>> = trace.retrievals.iter().map(|retrieval| retrieval.documents.as_ref()).collect();
    known.filter(|lists| !lists.is_empty()).map(|lists| lists.into_iter().flatten().cloned().collect())
}

fn measure_trace(trace: &Trace, signals: &mut Signals) {
    let nodes: Vec<_> = trace.model_calls.iter().map(|call| trace.model_node(call)).collect();
    // A call that says nothing of its tokens, or one whose span was lost, makes the sum unknown.
    let whole = !trace.is_incomplete();
    let sum = |field: &str| -> Option<f64> {
        let told: Vec<Option<f64>> = nodes.iter().map(|node| node.number(field)).collect();
        if told.is_empty() || !whole { None } else { told.into_iter().sum() }
    };
    if !trace.model_calls.is_empty() && whole {
        signals.set_number("calls.model", Some(trace.model_calls.len() as f64));
    }
    for (signal, field) in [
        ("tokens.input", "usage.input_tokens"),
        ("tokens.output", "usage.output_tokens"),
        ("tokens.cached", "usage.cached_tokens"),
        ("tokens.reasoning", "usage.reasoning_tokens"),
        ("cost.usd", "cost"),
    ] {
        signals.set_number(signal, sum(field));
    }
    signals.set_number("latency.total", trace.root_node().and_then(crate::trace::Node::duration).map(micro));
    signals.set_number("latency.first_token", nodes.first().and_then(|node| node.number("latency.first_token")));
    let retries: Vec<f64> = trace.nodes.iter().filter_map(|node| node.number("retries.count")).collect();
    if !retries.is_empty() {
        set_retries(signals, retries.iter().sum(), trace.model_calls.len() as f64);
    }
    if let Some(reason) = nodes.last().and_then(|node| node.text("finish_reason")) {
        signals.set_flag("output.truncated", Some(reason == "length"));
        signals.set_flag("policy.blocked", Some(reason == "content_filter"));
    }
    measure_stages(trace, signals);
    for (name, score) in &trace.scores {
        signals.set_number(&format!("score.{name}"), Some(*score));
    }
    signals.set_flag("feedback.complaint", trace.complaint);
    if let Some(review) = trace.review.as_deref().filter(|word| crate::signal::REVIEWS.contains(word)) {
        signals.set("review.outcome", Datum::Text(review.into()));
    }
    let verdicts: Vec<bool> =
        trace.nodes.iter().filter_map(|node| node.findings.get("policy.verdict")).map(|found| denies(&found.value)).collect();
    if !verdicts.is_empty() {
        signals.set_flag("policy.blocked", Some(verdicts.contains(&true)));
    }
    let refused: Vec<bool> =
        trace.nodes.iter().filter_map(|node| node.findings.get("refusal")).map(|found| found.value != Value::Bool(false)).collect();
    if !refused.is_empty() {
        signals.set_flag("output.refused", Some(refused.contains(&true)));
    }
}

fn denies(verdict: &Value) -> bool {
    let word = verdict.as_str().unwrap_or_default().to_lowercase();
    *verdict == Value::Bool(true) || matches!(word.as_str(), "deny" | "block" | "blocked" | "failed" | "true" | "tripwire")
}

fn set_retries(signals: &mut Signals, retries: f64, calls: f64) {
    signals.set_number("retries.count", Some(retries));
    signals.set_number("retries.amplification", (calls > 0.0).then(|| micro((retries + calls) / calls)));
}

fn measure_stages(trace: &Trace, signals: &mut Signals) {
    if !trace.tool_calls.is_empty() {
        signals.set_number("calls.tool", Some(trace.tool_calls.len() as f64));
        signals.set_number("calls.tool_errors", Some(trace.tool_calls.iter().filter(|call| call.error.is_some()).count() as f64));
    } else if trace.tool_requested() == Some(false) {
        signals.set_number("calls.tool", Some(0.0));
        signals.set_number("calls.tool_errors", Some(0.0));
    }
    if trace.retrievals.is_empty() {
        return;
    }
    signals.set_flag("retrieval.error", Some(trace.retrievals.iter().any(|retrieval| retrieval.error.is_some())));
    if let Some(documents) = found_documents(trace) {
        signals.set_number("retrieval.documents", Some(documents.len() as f64));
        signals.set_flag("retrieval.empty", Some(documents.is_empty()));
        signals.set_number("retrieval.top_score", documents.iter().filter_map(|document| document.score).max_by(f64::total_cmp));
    }
}

fn measure_content(request: &Request, signals: &mut Signals) {
    if let Some(answer) = &request.answer {
        signals.set_number("output.words", Some(answer.split_whitespace().count() as f64));
        signals.set_flag("output.empty", Some(answer.trim().is_empty()));
        signals.set_flag("output.json", Some(serde_json::from_str::<Value>(answer).is_ok()));
    }
    if let Some(uses) = &request.tool_uses {
        let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
        for tool in uses {
            *counts.entry((&tool.name, canonical_arguments(&tool.arguments))).or_default() += 1;
        }
        signals.set_number("calls.repeated", Some(counts.values().map(|count| count - 1).sum::<usize>() as f64));
    }
}

/// Arguments that mean the same are the same; what is no JSON is itself.
pub fn canonical_arguments(raw: &str) -> String {
    serde_json::from_str::<Value>(raw).map_or_else(|_| raw.to_string(), |value| crate::canonical::json(&value))
}

fn measure_wire(wire: &Summary, signals: &mut Signals) {
    signals.set_number("calls.model", Some(wire.calls.len() as f64));
    set_retries(signals, wire.retries() as f64, wire.calls.len() as f64);
    signals.set_number("retries.wasted", wire.wasted().map(micro));
    // What the wire does not say, the telemetry may.
    for (signal, known) in [
        ("latency.first_token", wire.first_token().map(micro)),
        ("tokens.input", wire.tokens(|usage| usage.input)),
        ("tokens.output", wire.tokens(|usage| usage.output)),
        ("tokens.cached", wire.tokens(|usage| usage.cached)),
        ("tokens.reasoning", wire.tokens(|usage| usage.reasoning)),
    ] {
        if known.is_some() {
            signals.set_number(signal, known);
        }
    }
    signals.set_flag("output.truncated", wire.last().map(Attempt::truncated));
    signals.set_flag("output.refused", Some(wire.calls.iter().any(|call| call.last().refused())));
    if wire.calls.iter().any(|call| call.last().blocked()) {
        signals.set_flag("policy.blocked", Some(true));
    } else if signals.read("policy.blocked").is_unknown() {
        signals.set_flag("policy.blocked", wire.last().and_then(|last| last.finish.as_ref()).map(|_| false));
    }
    if wire.calls.iter().all(|call| call.last().finish.is_some() && call.last().tool_calls.is_empty())
        && signals.read("calls.tool").is_unknown()
    {
        signals.set_number("calls.tool", Some(0.0));
        signals.set_number("calls.tool_errors", Some(0.0));
    }
}

/// Seconds and ratios to a millionth.
pub(crate) fn micro(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

/// How the request ended, by the order of evidence: policy, refusal, what the application says, failures, cut-off answers.
fn outcome(request: &Request) -> &'static str {
    let signals = &request.signals;
    if signals.read("policy.blocked").flag() == Some(true) {
        return "blocked";
    }
    if signals.read("output.refused").flag() == Some(true) {
        return "refused";
    }
    let told = request.trace.as_ref().and_then(told_outcome);
    if let Some(word) = told.filter(|word| *word != "success") {
        return word;
    }
    if let Some(word) = root_error(request.trace.as_ref()) {
        return word;
    }
    match wire_outcome(request.wire.as_ref()) {
        Some("success") | None => {}
        Some(word) => return word,
    }
    if signals.read("output.truncated").flag() == Some(true) {
        return "truncated";
    }
    told.or_else(|| wire_outcome(request.wire.as_ref())).unwrap_or_else(|| implied(request.trace.as_ref()))
}

/// What the application says of itself, in relapse's words.
pub(crate) fn told_outcome(trace: &Trace) -> Option<&'static str> {
    let nodes = trace.root.into_iter().chain(0..trace.nodes.len());
    let word = nodes.filter_map(|index| trace.nodes[index].text("outcome")).next()?.to_lowercase();
    Some(match word.as_str() {
        "success" | "answered" | "ok" | "completed" | "done" | "resolved" => "success",
        "error" | "failed" | "failure" | "exception" => "error",
        "timeout" | "timed_out" => "timeout",
        "cancelled" | "canceled" => "cancelled",
        "blocked" | "filtered" => "blocked",
        "refused" | "declined" => "refused",
        "truncated" | "length" | "cut_off" => "truncated",
        _ => "unknown",
    })
}

fn root_error(trace: Option<&Trace>) -> Option<&'static str> {
    let error = trace?.root_node()?.error.as_deref()?.to_lowercase();
    Some(if error.contains("timeout") {
        "timeout"
    } else if error.contains("cancel") {
        "cancelled"
    } else {
        "error"
    })
}

/// What the last call on the wire makes of the request; none when it ended as it should but asked for a tool.
pub(crate) fn wire_outcome(wire: Option<&Summary>) -> Option<&'static str> {
    let last = wire?.last()?;
    if last.blocked() {
        return Some("blocked");
    }
    if last.refused() {
        return Some("refused");
    }
    if last.status.is_none() {
        return Some("timeout");
    }
    if last.status.is_some_and(|status| status >= 400) || last.error.is_some() {
        return Some("error");
    }
    if last.truncated() {
        return Some("truncated");
    }
    (last.finished() && last.tool_calls.is_empty()).then_some("success")
}

/// What the last model span implies, where nobody says.
fn implied(trace: Option<&Trace>) -> &'static str {
    let Some(last) = trace.and_then(|trace| trace.model_calls.last().map(|call| trace.model_node(call))) else { return "unknown" };
    if last.error.is_some() {
        return "error";
    }
    match last.text("finish_reason") {
        Some("stop") => "success",
        Some("length") => "truncated",
        Some("content_filter") => "blocked",
        Some("refusal") => "refused",
        Some("error") => "error",
        _ => "unknown",
    }
}

/// A finish reason of the wire in canonical words; a Responses answer that asks for tools says only "completed".
pub(crate) fn wire_finish(attempt: &Attempt) -> Option<String> {
    let raw = attempt.finish.as_deref()?;
    if raw == "completed" && !attempt.tool_calls.is_empty() {
        return Some("tool_call".into());
    }
    Some(finish::canonical(raw))
}
