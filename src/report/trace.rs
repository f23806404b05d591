//! Requests as JSON, and the gate on their fields.

use crate::field::{self, State};
use crate::inert;
use crate::request::{Request, Stage};
use crate::verdict::Contradiction;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::io;

#[derive(Serialize)]
struct Page<'a> {
    /// The version of the shape.
    format: u32,
    traces: Vec<One<'a>>,
}

#[derive(Serialize)]
struct One<'a> {
    trace_id: &'a str,
    conventions: &'a [&'static str],
    fields: Map<String, Value>,
    signals: Value,
    stages: Vec<Stage>,
    hidden: Vec<Value>,
    contradictions: Vec<Value>,
    input: Option<Cow<'a, str>>,
    output: Option<&'a str>,
    diagnostics: Vec<String>,
}

/// Writes requests in the machine form; the diagnostics of the files go to the first one.
pub fn json(requests: &[Request], diagnostics: &[String], out: &mut impl io::Write) -> io::Result<()> {
    let traces = requests.iter().enumerate().map(|(index, request)| one(request, if index == 0 { diagnostics } else { &[] })).collect();
    let text = serde_json::to_string_pretty(&Page { format: 1, traces })?;
    writeln!(out, "{}", inert::json(&text))
}

/// Writes one of many requests that are not held together; `before` says how many came before it.
pub fn json_item(request: &Request, before: usize, out: &mut impl io::Write) -> io::Result<()> {
    let text = serde_json::to_string_pretty(&one(request, &[]))?;
    let separator = if before == 0 { "{\"format\": 1, \"traces\": [\n" } else { ",\n" };
    write!(out, "{separator}{}", inert::json(&text))
}

/// What ends the list that [`json_item`] wrote.
pub fn json_end(count: usize) -> &'static str {
    if count == 0 { "{\"format\": 1, \"traces\": []}\n" } else { "\n]}\n" }
}

fn one<'a>(request: &'a Request, diagnostics: &'a [String]) -> One<'a> {
    let trace = request.trace.as_ref();
    let own = trace.into_iter().flat_map(|trace| trace.oddities());
    One {
        trace_id: trace.map(|trace| trace.id.as_str()).unwrap_or_default(),
        conventions: trace.map(|trace| trace.conventions.as_slice()).unwrap_or_default(),
        fields: field::ALL
            .iter()
            .filter_map(|definition| Some((definition.name.to_string(), state(request.fields.get(definition.name)?))))
            .collect(),
        signals: request.signals.to_json(),
        stages: request.stages(),
        hidden: request.hidden.iter().map(|hidden| json!({"field": hidden.field, "wire": hidden.wire})).collect(),
        contradictions: request.contradictions.iter().map(contradiction).collect(),
        input: request.input(),
        output: request.answer.as_deref(),
        diagnostics: diagnostics.iter().cloned().chain(own).collect(),
    }
}

fn contradiction(found: &Contradiction) -> Value {
    json!({"field": found.field, "told": found.told, "wire": found.wire})
}

fn state(state: &State) -> Value {
    match state {
        State::Present { value, span, key } => json!({"state": "present", "value": value, "span": span, "key": &**key}),
        State::Absent { looked, add } => {
            json!({"state": "absent", "looked": looked.iter().map(|key| &**key).collect::<Vec<&str>>(), "add": add})
        }
        State::Indeterminate { reason, add } => json!({"state": "indeterminate", "reason": reason, "add": add}),
        State::ConditionNotMet => json!({"state": "condition-not-met"}),
    }
}

/// The fields of a gate that a request does not carry, each with what to add.
pub fn missing(request: &Request, required: &[String]) -> Vec<String> {
    let lacks = |name: &String| match request.fields.get(name.as_str()) {
        Some(State::Absent { add, .. }) => Some(format!("{name} is missing: add {add}")),
        Some(State::Indeterminate { reason, add }) => Some(format!("{name} is indeterminate ({}): add {add}", reason.replace('-', " "))),
        None => Some(format!("{name} is missing: there is no telemetry")),
        Some(State::Present { .. } | State::ConditionNotMet) => None,
    };
    required.iter().filter_map(lacks).collect()
}
