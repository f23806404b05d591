//! A draft: the postmortem that a pair of recordings suggests, for a person to correct.

use crate::check::{Check, Observation};
use crate::evidence::Evidence;
use crate::fault::{Fault, Faults, Place};
use crate::field::{self, On, State};
use crate::mapping::Mapping;
use crate::project::{Require, Telemetry};
use crate::request::Request;
use crate::signal::{self, Datum, Kind, Signals, Worse};
use crate::yaml::Node;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// The texts of the recordings, redacted.
#[derive(Debug, Default)]
pub struct Sources {
    /// Telemetry of the incident.
    pub incident: Vec<String>,
    /// Telemetry when healthy.
    pub healthy: Vec<String>,
    /// The incident's wire.
    pub wire_incident: Vec<String>,
    /// The healthy wire.
    pub wire_healthy: Vec<String>,
}

impl Sources {
    /// The files to write below `postmortems/<id>/`, with their texts.
    pub fn files(&self) -> impl Iterator<Item = (String, &str)> {
        let sets = [
            ("incident.otlp", &self.incident),
            ("healthy.otlp", &self.healthy),
            ("incident.http", &self.wire_incident),
            ("healthy.http", &self.wire_healthy),
        ];
        sets.into_iter().flat_map(|(stem, texts)| texts.iter().enumerate().map(move |(index, text)| (name(stem, index), text.as_str())))
    }

    fn requests(traces: &[String], wire: &[String], mapping: &Mapping) -> Result<Vec<Request>, Faults> {
        let mut evidence = Evidence::default();
        for text in traces {
            evidence.take_traces(text.as_bytes(), "--incident or --healthy")?;
        }
        for text in wire {
            evidence.take_wire(text, "--wire-incident or --wire-healthy")?;
        }
        Ok(evidence.requests(mapping))
    }
}

fn name(stem: &str, index: usize) -> String {
    if index == 0 { format!("{stem}.jsonl") } else { format!("{stem}.{}.jsonl", index + 1) }
}

/// A prefilled postmortem.
#[derive(Debug)]
pub struct Draft {
    text: String,
    tests: usize,
    missing: Vec<String>,
    missing_in_both: Vec<(String, String)>,
}

impl Draft {
    /// Compares the pair and writes the page.
    ///
    /// # Errors
    /// Recordings in which no request is found.
    pub fn new(title: &str, class: Option<&str>, sources: &Sources, mapping: &Mapping) -> Result<Self, Faults> {
        let incidents = Sources::requests(&sources.incident, &sources.wire_incident, mapping)?;
        let healthy = Sources::requests(&sources.healthy, &sources.wire_healthy, mapping)?;
        let Some(incident) = incidents.first() else {
            return Err(Fault::new("the incident's recording holds no request").into());
        };
        let tests = tests(incident, &healthy);
        let (missing, missing_in_both) = fields(incident, &healthy, mapping);
        let class = class.map_or_else(|| propose_class(incident, healthy.first()).to_string(), str::to_string);
        let text = page(title, &class, sources, (incident, &tests, &missing));
        Ok(Self { text, tests: tests.len(), missing, missing_in_both })
    }

    /// The page.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many tests are proposed.
    pub fn tests(&self) -> usize {
        self.tests
    }

    /// How many missing fields are named.
    pub fn fields(&self) -> usize {
        self.missing.len()
    }

    /// Lines for `telemetry.waive`: what the project requires and even the healthy recording lacks.
    pub fn waivers(&self, telemetry: &Telemetry) -> Vec<String> {
        let required = |field: &str| match &telemetry.require {
            Require::Minimum => field::minimum().any(|definition| definition.name == field),
            Require::Fields(fields) => fields.iter().any(|known| known.value == field),
        };
        let waived = |field: &str| telemetry.waive.iter().any(|waiver| waiver.field.value == field);
        let lacking = self.missing_in_both.iter().filter(|(field, _)| required(field) && !waived(field));
        lacking.map(|(field, add)| format!("{{field: {field}, why: \"…\"}} under telemetry.waive, or add {add}")).collect()
    }
}

/// A proposed test: name, and the value of `expect`.
type Proposal = (String, Value);

/// Tests that fail on the incident and hold on every healthy request; without healthy ones, those that fail on the incident.
fn tests(incident: &Request, healthy: &[Request]) -> Vec<Proposal> {
    let median = Signals::median(&healthy.iter().map(|request| request.signals.clone()).collect::<Vec<_>>());
    let mut kept: Vec<Proposal> = Vec::new();
    for (name, expect) in candidates(incident, &median) {
        let mut faults = Faults::new();
        let place = Place::default();
        let loader = |_: &str, _: &Place| Err(Fault::new("no files here"));
        let Some(check) = Check::parse(&Node::from_json(&expect, &place), &loader, &mut faults) else { continue };
        let held = |request: &Request| check.evaluate(&observation(request, &median, &incident.signals)).held;
        if held(incident) == Some(false) && healthy.iter().all(|request| held(request) == Some(true)) {
            kept.push((name, expect));
        }
    }
    kept
}

fn observation<'a>(request: &'a Request, healthy: &'a Signals, incident: &'a Signals) -> Observation<'a> {
    static NO_FIELDS: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    Observation {
        answer: request.answer.as_deref(),
        signals: &request.signals,
        healthy,
        incident,
        accepted: healthy,
        fields: request.trace.is_some().then_some(&request.fields),
        healthy_fields: &NO_FIELDS,
        tool_uses: request.tool_uses.as_deref(),
        documents: request.documents.as_deref(),
        grades: None,
    }
}

fn candidates(incident: &Request, healthy: &Signals) -> Vec<Proposal> {
    let mut candidates = vec![
        ("succeeds".to_string(), Value::from("outcome == 'success'")),
        ("cites-what-it-found".to_string(), json!({"cites": "documents"})),
    ];
    for definition in signal::ALL {
        let name = definition.name.replace(['.', '_'], "-");
        match (definition.kind, definition.worse, incident.signals.read(definition.name), healthy.read(definition.name)) {
            (Kind::Flag, Worse::Up, Datum::Flag(true), _) => {
                candidates.push((format!("not-{name}"), format!("not {}", definition.name).into()))
            }
            (Kind::Number, Worse::Up, Datum::Number(now), Datum::Number(then))
                if *then > 0.0 && *now > 2.0 * then && !definition.name.starts_with("latency.") =>
            {
                candidates.push((format!("{name}-budget"), format!("{} <= 2 * healthy.{}", definition.name, definition.name).into()));
            }
            (Kind::Number, Worse::Up, Datum::Number(now), Datum::Number(then)) if *then == 0.0 && *now > 0.0 && definition.unit != "s" => {
                candidates.push((format!("no-{name}"), format!("{} == 0", definition.name).into()));
            }
            _ => {}
        }
    }
    candidates
}

/// Fields that the incident lacks and a healthy request has, and those that both lack with the attribute to add.
fn fields(incident: &Request, healthy: &[Request], mapping: &Mapping) -> (Vec<String>, Vec<(String, String)>) {
    let (mut missing, mut both) = (Vec::new(), Vec::new());
    if incident.trace.is_none() {
        return (missing, both);
    }
    for definition in field::minimum() {
        let state = incident.fields.get(definition.name);
        let lacks = |state: Option<&State>| matches!(state, Some(State::Absent { .. } | State::Indeterminate { .. }));
        // A stage that did not take place in the incident is no missing field, but one that hid is.
        let hidden = incident.state(definition.name, On::Any, mapping);
        let gone = lacks(state)
            || (definition.name == "retrieval.documents"
                && lacks(Some(&hidden))
                && incident.trace.as_ref().is_some_and(|trace| !trace.retrievals.is_empty()));
        if !gone {
            continue;
        }
        let present = |request: &Request| request.fields.get(definition.name).is_some_and(State::is_present);
        if !healthy.is_empty() && healthy.iter().all(present) {
            missing.push(definition.name.to_string());
        } else if let Some(State::Absent { add, .. } | State::Indeterminate { add, .. }) = state {
            both.push((definition.name.to_string(), add.to_string()));
        }
    }
    (missing, both)
}

/// A first guess at the failure class, by the most telling signal; a person knows better.
fn propose_class(incident: &Request, healthy: Option<&Request>) -> &'static str {
    let flag = |name: &str| incident.signals.read(name).flag() == Some(true);
    let number = |name: &str| incident.signals.read(name).number().unwrap_or(0.0);
    let grown = |name: &str| {
        healthy.and_then(|healthy| healthy.signals.read(name).number()).is_some_and(|then| then > 0.0 && number(name) > 2.0 * then)
    };
    let model_changed = || {
        let value = |request: &Request| request.fields.get("model.responded").and_then(State::value).cloned();
        healthy.is_some_and(|healthy| value(healthy).is_some() && value(incident).is_some() && value(healthy) != value(incident))
    };
    if flag("policy.blocked") || flag("output.refused") {
        "policy"
    } else if number("retries.count") > 0.0 {
        "latency"
    } else if flag("retrieval.empty") || flag("retrieval.error") || retrieval_is_silent(incident) {
        "retrieval"
    } else if number("calls.tool_errors") > 0.0 || number("calls.repeated") > 1.0 {
        "tools"
    } else if grown("tokens.input") {
        "tokens"
    } else if flag("output.truncated") {
        "output-contract"
    } else if model_changed() {
        "model-change"
    } else if grown("latency.total") {
        "latency"
    } else {
        "prompt"
    }
}

/// A search that took place and says nothing of what it found.
fn retrieval_is_silent(incident: &Request) -> bool {
    matches!(incident.fields.get("retrieval.documents"), Some(State::Absent { .. }))
}

fn page(title: &str, class: &str, sources: &Sources, (incident, tests, missing): (&Request, &[Proposal], &[String])) -> String {
    let mut page = String::new();
    let title = serde_json::Value::from(title);
    let _ = write!(page, "---\ntitle: {title}\nclass: {class}\nseverity: sev3\nstatus: active\n");
    evidence(&mut page, sources);
    page.push_str("detected_by: user                    # user, alert, review, vendor, bill, chance\n");
    page.push_str("# cause:                             one line: what was wrong\n");
    if !missing.is_empty() {
        page.push_str("fields_missing:                      # absent in the incident, present when healthy\n");
        for field in missing {
            let _ = writeln!(page, "  - {field}");
        }
    }
    if tests.is_empty() {
        page.push_str("tests: []                            # nothing in the recordings tells them apart: say what must hold\n");
    } else {
        page.push_str("tests:                               # each fails on the incident and holds when healthy\n");
        for (name, expect) in tests {
            let expect = expect.as_str().map_or_else(|| expect.to_string(), |text| Value::from(text).to_string());
            let _ = write!(page, "  - name: {name}\n    expect: {expect}\n");
        }
    }
    page.push_str("---\n## What happened\n\n");
    if let Some(input) = &incident.input {
        let _ = write!(page, "The user asked:\n\n{}\n\n", fenced(input));
    }
    if let Some(answer) = &incident.answer {
        let _ = write!(page, "and got:\n\n{}\n", fenced(answer));
    }
    page
}

/// Recorded text in a fence that it cannot close.
fn fenced(text: &str) -> String {
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}", crate::inert::visible(text.trim_end()))
}

fn evidence(page: &mut String, sources: &Sources) {
    let list = |stem: &str, count: usize| {
        let names: Vec<String> = (0..count).map(|index| name(stem, index)).collect();
        if count == 1 { names[0].clone() } else { format!("[{}]", names.join(", ")) }
    };
    page.push_str("evidence:\n");
    for (key, stem, texts) in [("incident", "incident.otlp", &sources.incident), ("healthy", "healthy.otlp", &sources.healthy)] {
        if !texts.is_empty() {
            let _ = writeln!(page, "  {key}: {}", list(stem, texts.len()));
        }
    }
    let wires: Vec<String> = [("incident", "incident.http", &sources.wire_incident), ("healthy", "healthy.http", &sources.wire_healthy)]
        .into_iter()
        .filter(|(.., texts)| !texts.is_empty())
        .map(|(key, stem, texts)| format!("{key}: {}", list(stem, texts.len())))
        .collect();
    if !wires.is_empty() {
        let _ = writeln!(page, "  wire: {{{}}}", wires.join(", "));
    }
}
