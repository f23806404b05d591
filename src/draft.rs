//! A draft: the postmortem that a pair of recordings suggests, for a person to correct.

use crate::check::{self, Check, Observation};
use crate::contrast::Contrast;
use crate::diagnosis::{Diagnosis, Judgement, Standing};
use crate::evidence::Evidence;
use crate::fault::{Fault, Faults, Place, suggest};
use crate::field::{self, On, State};
use crate::mapping::Mapping;
use crate::request::Request;
use crate::runbook::Runbook;
use crate::signal::{self, Datum, Kind, Signals, Worse};
use crate::waiver::{self, Lacking};
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
    lacking: Vec<Lacking>,
}

impl Draft {
    /// Compares the pair and writes the page.
    ///
    /// # Errors
    /// Recordings in which no request is found.
    pub fn new(title: &str, class: Option<&str>, sources: &Sources, (mapping, runbook): (&Mapping, &Runbook)) -> Result<Self, Faults> {
        let incidents = Sources::requests(&sources.incident, &sources.wire_incident, mapping)?;
        let healthy = Sources::requests(&sources.healthy, &sources.wire_healthy, mapping)?;
        let Some(incident) = incidents.first() else {
            return Err(Fault::new("the incident's recording holds no request").into());
        };
        let tests = tests(incident, &healthy);
        let missing = fields(incident, &healthy, mapping);
        let lacking = waiver::lacking(if healthy.is_empty() { &incidents[..1] } else { &healthy });
        let diagnosis = Contrast::new(&healthy, incident).map(|contrast| runbook.diagnose(&contrast, class));
        let class = classed(runbook, class, diagnosis.as_ref())?;
        let text = page(title, &class, sources, (incident, &tests, &missing));
        Ok(Self { text, tests: tests.len(), missing, lacking })
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

    /// What the healthy recording lacks; without one, what the incident does.
    pub fn lacking(&self) -> &[Lacking] {
        &self.lacking
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

/// Fields that the incident lacks and every healthy request has.
fn fields(incident: &Request, healthy: &[Request], mapping: &Mapping) -> Vec<String> {
    let lacks = |state: Option<&State>| state.is_some_and(State::is_lacking);
    let is_gone = |name: &str| {
        // A stage that did not take place in the incident is no missing field, but one that hid is.
        let took_place = name == "retrieval.documents" && incident.trace.as_ref().is_some_and(|trace| !trace.retrievals.is_empty());
        lacks(incident.fields.get(name)) || (took_place && lacks(Some(&incident.state(name, On::Any, mapping))))
    };
    let is_told = |name: &str| healthy.iter().all(|request| request.fields.get(name).is_some_and(State::is_present));
    let minimum = field::minimum().map(|definition| definition.name).filter(|_| incident.trace.is_some() && !healthy.is_empty());
    minimum.filter(|name| is_gone(name) && is_told(name)).map(str::to_string).collect()
}

/// The lines of a page that the runbook proposes: class, what it rules out, and what it could not see.
struct Classed {
    class: String,
    because: String,
    ruled_out: Vec<(String, String)>,
    blind: Vec<String>,
}

/// The class that was given or that the evidence enters; without a healthy recording a person must choose.
fn classed(runbook: &Runbook, given: Option<&str>, diagnosis: Option<&Diagnosis>) -> Result<Classed, Fault> {
    if let Some(given) = given.filter(|given| runbook.class(given).is_none()) {
        return Err(Fault::new(format!("no failure class `{given}` in the runbook")).help(suggest(given, runbook.class_names())));
    }
    let proposed = diagnosis.filter(|diagnosis| given.is_none() || diagnosis.class.as_deref() == given);
    let judged = proposed.map(|diagnosis| diagnosis.hypotheses.as_slice()).unwrap_or_default();
    let class = given.or(proposed.and_then(|diagnosis| diagnosis.class.as_deref()));
    let known = runbook.class_names().collect::<Vec<_>>().join(", ");
    let refuted = judged.iter().filter(|judged| judged.standing == Standing::Refuted);
    let told = |(name, datum): (&String, &Datum)| (!datum.is_unknown()).then(|| format!("{name} = {}", check::show(datum)));
    let because = |judged: &Judgement| judged.values.iter().filter_map(told).collect::<Vec<_>>().join(", ");
    let blind = judged.iter().filter(|judged| judged.standing == Standing::Blind);
    Ok(Classed {
        class: class.or_else(|| runbook.class_names().last()).unwrap_or_default().to_string(),
        because: match (given, proposed.filter(|diagnosis| diagnosis.class.is_some())) {
            (_, Some(diagnosis)) => diagnosis.look_first.clone(),
            (Some(_), None) => String::new(),
            (None, None) => format!("the evidence does not tell: choose one of {known}"),
        },
        ruled_out: refuted.map(|judged| (judged.hypothesis.clone(), because(judged))).collect(),
        blind: blind.flat_map(|judged| judged.add.iter().map(|missing| format!("{}: {}", judged.hypothesis, missing.add))).collect(),
    })
}

impl Classed {
    fn write_ruled_out(&self, page: &mut String) {
        if !self.ruled_out.is_empty() {
            page.push_str("ruled_out:                           # refuted by the runbook; compile holds it to that\n");
        }
        for (hypothesis, because) in &self.ruled_out {
            let _ = writeln!(page, "  - {{hypothesis: {hypothesis}, because: {}}}", Value::from(because.as_str()));
        }
        for blind in &self.blind {
            let _ = writeln!(page, "# blind, for want of telemetry:      {}", crate::inert::one_line(blind));
        }
    }
}

fn page(title: &str, class: &Classed, sources: &Sources, (incident, tests, missing): (&Request, &[Proposal], &[String])) -> String {
    let mut page = String::new();
    let title = serde_json::Value::from(title);
    let _ = write!(page, "---\ntitle: {title}\n");
    let because = if class.because.is_empty() { String::new() } else { format!("# {}", crate::inert::one_line(&class.because)) };
    let _ = writeln!(page, "{}", format!("{:<36} {because}", format!("class: {}", class.class)).trim_end());
    page.push_str("severity: sev3\nstatus: active\n");
    evidence(&mut page, sources);
    page.push_str("detected_by: user                    # user, alert, review, vendor, bill, chance\n");
    page.push_str("# cause:                             one line: what was wrong\n");
    class.write_ruled_out(&mut page);
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
    if let Some(input) = incident.input() {
        let _ = write!(page, "The user asked:\n\n{}\n\n", fenced(&input));
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
