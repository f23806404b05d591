//! One request on one screen, and as JSON.

use crate::field::{self, State};
use crate::inert;
use crate::request::{Request, Stage};
use crate::verdict::Contradiction;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
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
    conventions: &'a [String],
    fields: Map<String, Value>,
    signals: Value,
    stages: Vec<Stage>,
    hidden: Vec<Value>,
    contradictions: Vec<Value>,
    input: Option<&'a str>,
    output: Option<&'a str>,
    diagnostics: Vec<&'a str>,
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
    let own = trace.map(|trace| trace.diagnostics.as_slice()).unwrap_or_default();
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
        input: request.input.as_deref(),
        output: request.answer.as_deref(),
        diagnostics: diagnostics.iter().chain(own).map(String::as_str).collect(),
    }
}

fn contradiction(found: &Contradiction) -> Value {
    json!({"field": found.field, "told": found.told, "wire": found.wire})
}

fn state(state: &State) -> Value {
    match state {
        State::Present { value, span, key } => json!({"state": "present", "value": value, "span": span, "key": &**key}),
        State::Absent { looked, add } => {
            json!({"state": "absent", "looked": looked.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), "add": add})
        }
        State::Indeterminate { reason, add } => json!({"state": "indeterminate", "reason": reason, "add": add}),
        State::ConditionNotMet => json!({"state": "condition-not-met"}),
    }
}

/// Width of the waterfall's bars, in columns.
const BAR: usize = 28;

/// Writes one request for a person.
pub fn screen(request: &Request, width: usize, out: &mut impl io::Write) -> io::Result<()> {
    let mut text = String::new();
    identity(request, &mut text);
    waterfall(request, &mut text);
    totals(request, &mut text);
    gaps(request, &mut text);
    for line in text.lines() {
        let shown: String = inert::visible(line).chars().take(width.max(40)).collect();
        writeln!(out, "{}", inert::workflow_safe(shown.trim_end()))?;
    }
    Ok(())
}

fn value(request: &Request, name: &str) -> String {
    match request.fields.get(name) {
        Some(State::Present { value, .. }) => value.as_str().map_or_else(|| value.to_string(), str::to_string),
        _ => "—".into(),
    }
}

fn identity(request: &Request, text: &mut String) {
    if let Some(trace) = &request.trace {
        let _ = writeln!(text, "trace {}  ({})", trace.id, trace.conventions.join(", "));
    } else {
        text.push_str("no telemetry, the wire only\n");
    }
    let named = |label: &str, name: &str| format!("{label} {}", value(request, name));
    let _ = writeln!(text, "  {}   {}   {}", named("feature", "feature"), named("request", "request.id"), named("session", "session.id"));
    let _ = writeln!(
        text,
        "  model {} → {}   prompt {}",
        value(request, "model.requested"),
        value(request, "model.responded"),
        value(request, "prompt.version")
    );
    for (label, said) in [("asked", &request.input), ("said", &request.answer)] {
        if let Some(said) = said {
            let _ = writeln!(text, "  {label:<5} {}", inert::clip(&inert::one_line(said), 400));
        }
    }
    text.push('\n');
}

fn waterfall(request: &Request, text: &mut String) {
    let stages = request.stages();
    let end = stages.iter().map(|stage| stage.start + stage.duration.unwrap_or(0.0)).fold(0.0, f64::max);
    let total = request.signals.read("latency.total").number().unwrap_or(end).max(end);
    if total <= 0.0 || stages.is_empty() {
        return;
    }
    for stage in &stages {
        let column = |seconds: f64| ((seconds / total) * BAR as f64).round() as usize;
        let from = column(stage.start).min(BAR - 1);
        let length = column(stage.duration.unwrap_or(0.0)).clamp(1, BAR - from);
        let bar = format!("{}{}{}", " ".repeat(from), "█".repeat(length), " ".repeat(BAR - from - length));
        let lasted = stage.duration.map_or_else(|| "no end".to_string(), seconds);
        let error = stage.error.as_ref().map(|error| format!("  ✗ {error}")).unwrap_or_default();
        let _ = writeln!(text, "  {:<9} {:<22} {bar} {lasted:>8}{error}", stage.kind, inert::clip(&stage.name, 22));
    }
    text.push('\n');
}

fn seconds(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

fn totals(request: &Request, text: &mut String) {
    let number = |name: &str| request.signals.read(name).number().map_or_else(|| "?".to_string(), |number| number.to_string());
    let time = |name: &str| request.signals.read(name).number().map_or_else(|| "?".to_string(), seconds);
    let cost = request.signals.read("cost.usd").number().map(|cost| format!("   cost ${cost:.6}")).unwrap_or_default();
    let _ = writeln!(
        text,
        "  outcome {}   total {}   first token {}   retries {}",
        request.signals.read("outcome").text().unwrap_or("unknown"),
        time("latency.total"),
        time("latency.first_token"),
        number("retries.count")
    );
    let _ = writeln!(
        text,
        "  tokens {} in, {} out   model calls {}   tool calls {}   documents {}{cost}",
        number("tokens.input"),
        number("tokens.output"),
        number("calls.model"),
        number("calls.tool"),
        number("retrieval.documents")
    );
}

fn gaps(request: &Request, text: &mut String) {
    let mut lines: Vec<String> = Vec::new();
    for definition in field::minimum() {
        match request.fields.get(definition.name) {
            Some(State::Absent { add, .. }) => lines.push(format!("  missing        {:<20} add {add}", definition.name)),
            Some(State::Indeterminate { reason, add }) => {
                lines.push(format!("  indeterminate  {:<20} {}: add {add}", definition.name, reason.replace('-', " ")));
            }
            _ => {}
        }
    }
    lines.extend(request.hidden.iter().map(|hidden| format!("  hidden         {:<20} the wire says {}", hidden.field, hidden.wire)));
    for found in &request.contradictions {
        lines.push(format!("  contradiction  {:<20} told {}, the wire says {}", found.field, found.told, found.wire));
    }
    let diagnostics = request.trace.iter().flat_map(|trace| &trace.diagnostics);
    lines.extend(diagnostics.map(|diagnostic| format!("  odd            {diagnostic}")));
    if !lines.is_empty() {
        let _ = write!(text, "\n{}\n", lines.join("\n"));
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
