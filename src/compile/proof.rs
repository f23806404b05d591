//! The proof: each claim held against the incident and against every healthy request.

use super::{Claim, Read, field_of_signal, late, parse_check};
use crate::case::{self, FieldRequirement, LateSignal, Test, Trial};
use crate::check::{Check, Finding, Observation, show};
use crate::disk::{Reference, Root};
use crate::fault::{Fault, Faults, Place};
use crate::field::{On, State};
use crate::grade::{Grades, Question};
use crate::inert;
use crate::judge::Scene;
use crate::judgement::{Inquiry, Judgements, Panel};
use crate::mapping::Mapping;
use crate::postmortem::{self, MissingField, Postmortem};
use crate::request::Request;
use crate::signal::Signals;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

#[derive(Default)]
pub(super) struct Proof {
    pub(super) fields: Vec<FieldRequirement>,
    pub(super) tests: Vec<Test>,
    pub(super) signals: Vec<LateSignal>,
    pub(super) claims: Vec<Claim>,
    /// Fields whose values some check compares.
    pub(super) compared_fields: Vec<String>,
    /// Files that checks name.
    pub(super) schemas: Vec<Reference>,
    /// What checks ask of graders, with the place of the check.
    pub(super) questions: Vec<(Question, Place)>,
}

/// What every evaluation of one postmortem shares.
struct Sides<'a> {
    incident: Signals,
    healthy: Signals,
    healthy_fields: Map<String, Value>,
    read: &'a Read,
    bench: Bench<'a>,
}

/// What graders have said of the evidence.
#[derive(Clone, Copy)]
pub(super) struct Bench<'a> {
    pub(super) panel: &'a Panel,
    pub(super) judgements: &'a Judgements,
    /// The input of the case.
    pub(super) input: &'a Value,
}

impl Bench<'_> {
    /// The recorded grades of a check on one request.
    fn grades(&self, check: &Check, request: &Request) -> Grades {
        let mut grades = Grades::default();
        let scene = Scene::new(self.input, request.documents.as_deref());
        for (question, answer) in check.questions().zip(std::iter::repeat(request.answer.as_deref())) {
            let Some(answer) = answer else { continue };
            grades.give(question.clone(), self.judgements.grade(self.panel, Inquiry { question, scene: &scene, answer }));
        }
        grades
    }
}

impl<'a> Sides<'a> {
    fn new(read: &'a Read, bench: Bench<'a>) -> Self {
        let median = |requests: &[Request]| Signals::median(&requests.iter().map(|request| request.signals.clone()).collect::<Vec<_>>());
        let healthy_fields = read.healthy.first().map(present_fields).unwrap_or_default();
        Self { incident: median(&read.incidents), healthy: median(&read.healthy), healthy_fields, read, bench }
    }

    fn evaluate(&self, check: &Check, request: &Request) -> Finding {
        check.evaluate(&Observation {
            answer: request.answer.as_deref(),
            signals: &request.signals,
            healthy: &self.healthy,
            incident: &self.incident,
            accepted: &self.healthy,
            fields: request.trace.is_some().then_some(&request.fields),
            healthy_fields: &self.healthy_fields,
            tool_uses: request.tool_uses.as_deref(),
            documents: request.documents.as_deref(),
            grades: Some(&self.bench.grades(check, request)),
        })
    }
}

fn present_fields(request: &Request) -> Map<String, Value> {
    request.fields.iter().filter_map(|(name, state)| Some((name.to_string(), state.value()?.clone()))).collect()
}

impl Proof {
    pub(super) fn of(
        root: &Root,
        postmortem: &Postmortem,
        read: &Read,
        (mapping, bench): (&Mapping, Bench<'_>),
        faults: &mut Faults,
    ) -> Self {
        let sides = Sides::new(read, bench);
        let mut proof = Self::default();
        for field in &postmortem.fields_missing {
            proof.prove_field(field, read, mapping, faults);
        }
        for test in &postmortem.tests {
            let (check, schemas) = parse_check(root, postmortem, &test.expect, faults);
            proof.schemas.extend(schemas);
            if let Some(check) = check {
                proof.questions.extend(check.questions().map(|question| (question.clone(), test.expect.place.clone())));
                proof.prove_test(test, &check, &sides, faults);
            }
        }
        for signal in &postmortem.signals_late {
            proof.prove_signal(signal, postmortem, read, faults);
        }
        proof
    }

    pub(super) fn proves_nothing(&self) -> bool {
        !self.claims.iter().any(|claim| claim.proof == case::Proof::Proved)
    }

    pub(super) fn warnings(&self) -> Vec<Fault> {
        let unproved = self.claims.iter().filter(|claim| matches!(claim.proof, case::Proof::Unproved | case::Proof::Blind));
        unproved
            .map(|claim| {
                Fault::new(format!("{} `{}` is {}: {}", claim.kind, claim.name, claim.proof.word(), claim.detail)).at(claim.place.clone())
            })
            .collect()
    }

    fn claim(&mut self, claim: Claim, help: &str, faults: &mut Faults) {
        if claim.proof.is_error() {
            let message = format!("{} `{}` is {}: {}", claim.kind, claim.name, claim.proof.word(), claim.detail);
            faults.push(Fault::new(message).at(claim.place.clone()).help(help));
        }
        self.claims.push(claim);
    }

    fn prove_field(&mut self, missing: &MissingField, read: &Read, mapping: &Mapping, faults: &mut Faults) {
        let name = &missing.field.value;
        let incident = state_in(read.incident(), name, missing.on, mapping);
        let healthy: Vec<State> = read.healthy.iter().map(|request| state_in(request, name, missing.on, mapping)).collect();
        let (proof, detail) = match (&incident, healthy.iter().all(State::is_present)) {
            (State::Present { key, .. }, _) => (case::Proof::Vacuous, format!("it was there all along, as {key}")),
            (State::ConditionNotMet, _) => (case::Proof::Vacuous, "the incident has nothing that could carry it".into()),
            (_, _) if healthy.is_empty() => {
                (case::Proof::Unproved, format!("{} in the incident; nothing healthy to compare with", incident.word()))
            }
            (_, true) => (case::Proof::Proved, format!("{} in the incident, present when healthy", incident.word())),
            (_, false) => (case::Proof::Unproved, "missing in both, incident and healthy".into()),
        };
        self.require(name, missing.on, missing.field.place.line, proof);
        let claim = Claim { kind: "field", name: format!("{name} ({})", missing.on), proof, detail, place: missing.field.place.clone() };
        self.claim(claim, "take it out of fields_missing: it was not missing", faults);
    }

    fn require(&mut self, field: &str, on: On, line: u32, proof: case::Proof) {
        let on = on.to_string();
        if !self.fields.iter().any(|known| known.field == field && known.on == on) {
            self.fields.push(FieldRequirement { field: field.to_string(), on, line, proof });
        }
    }

    fn prove_test(&mut self, test: &postmortem::Test, check: &Check, sides: &Sides<'_>, faults: &mut Faults) {
        let on_incident = sides.evaluate(check, sides.read.incident());
        let when_healthy: Vec<Finding> = sides.read.healthy.iter().map(|request| sides.evaluate(check, request)).collect();
        let (proof, detail) = verdict(&on_incident, &when_healthy);
        let needs = if proof == case::Proof::Blind { needed_fields(&on_incident) } else { Vec::new() };
        for field in &needs {
            self.require(field, On::Any, test.name.place.line, case::Proof::Blind);
        }
        for field in check.needs().fields {
            if !self.compared_fields.contains(&field) {
                self.compared_fields.push(field);
            }
        }
        self.tests.push(Test {
            name: test.name.value.clone(),
            expect: test.expect.to_json(),
            gate: test.gate.to_json(),
            trials: test.trials,
            measured: test.measured,
            line: test.name.place.line,
            proof,
            needs,
            incident: trial(&on_incident),
            healthy: when_healthy.first().map(trial),
        });
        let claim = Claim { kind: "test", name: test.name.value.clone(), proof, detail, place: test.name.place.clone() };
        let help = match proof {
            case::Proof::Vacuous => "make it stricter until it fails on the incident, or take it out: it would not have caught it",
            _ => "make it less strict until it holds when healthy",
        };
        self.claim(claim, help, faults);
    }

    fn prove_signal(&mut self, signal: &postmortem::LateSignal, postmortem: &Postmortem, read: &Read, faults: &mut Faults) {
        let node = crate::yaml::Node { place: signal.rule.place.clone(), value: crate::yaml::Yaml::Quoted(signal.rule.value.clone()) };
        let Some(rule) = crate::check::parse_expression(&signal.rule.value, &node, faults) else { return };
        let proved = late::prove(signal, &rule, postmortem.when.onset, read);
        self.signals.push(LateSignal {
            name: signal.name.value.clone(),
            rule: signal.rule.value.clone(),
            share: signal.share,
            over: signal.over.map(|over| over.as_secs_f64()),
            within: signal.within.map(|within| within.as_secs_f64()),
            min: signal.min,
            line: signal.name.place.line,
            proof: proved.proof,
            fires_at: proved.fires_at,
        });
        let claim = Claim {
            kind: "signal",
            name: signal.name.value.clone(),
            proof: proved.proof,
            detail: proved.detail,
            place: signal.name.place.clone(),
        };
        self.claim(claim, "loosen `share`, `over` or `min`, or allow more time in `within`", faults);
    }
}

fn state_in(request: &Request, field: &str, on: On, mapping: &Mapping) -> State {
    match &request.trace {
        Some(_) => request.state(field, on, mapping),
        None => State::Absent { looked: Vec::new().into(), add: crate::mapping::attribute_to_add(field).into() },
    }
}

fn trial(finding: &Finding) -> Trial {
    Trial { held: finding.held, values: finding.values.iter().map(|(name, datum)| (name.clone(), datum.to_json())).collect() }
}

/// What a test proved to be, and why.
fn verdict(incident: &Finding, healthy: &[Finding]) -> (case::Proof, String) {
    if let Some(failed) = healthy.iter().find(|finding| finding.held == Some(false)) {
        return (case::Proof::FalseAlarm, format!("fails when healthy: {}", seen(failed)));
    }
    let doubtful = [incident].into_iter().filter(|finding| finding.held.is_none()).chain(healthy).find(|finding| finding.doubt.is_some());
    if let Some(finding) = doubtful.filter(|_| incident.held != Some(true)) {
        return (
            case::Proof::Unproved,
            format!("{}: ask with `relapse compile --record`", inert::one_line(&inert::clip(&finding.actual, 120))),
        );
    }
    match incident.held {
        Some(true) => (case::Proof::Vacuous, format!("holds on the incident: {}", seen(incident))),
        None => (case::Proof::Blind, format!("unknown on the incident, for want of {}", wanted(incident))),
        Some(false) if healthy.is_empty() => {
            (case::Proof::Unproved, format!("fails on the incident; nothing healthy to compare with: {}", seen(incident)))
        }
        Some(false) => match healthy.iter().find(|finding| finding.held.is_none()) {
            Some(unknown) => (case::Proof::Unproved, format!("unknown when healthy, for want of {}", wanted(unknown))),
            None => (case::Proof::Proved, format!("incident: {} · healthy: {}", seen(incident), seen(&healthy[0]))),
        },
    }
}

fn seen(finding: &Finding) -> String {
    if finding.values.is_empty() {
        return inert::one_line(&inert::clip(&finding.actual, 120));
    }
    finding.values.iter().map(|(name, datum)| format!("{name} = {}", show(datum))).collect::<Vec<_>>().join(", ")
}

fn wanted(finding: &Finding) -> String {
    let names: Vec<&str> = finding.unknown.iter().map(String::as_str).collect();
    if names.is_empty() { "what it needs".into() } else { names.join(", ") }
}

/// The fields that would make what was unknown known.
fn needed_fields(finding: &Finding) -> Vec<String> {
    let mut fields = BTreeSet::new();
    for name in &finding.unknown {
        let field = match name.as_str() {
            "answer" => Some("output"),
            "tool calls" => Some("tool.requested"),
            "documents" => Some("retrieval.documents"),
            other => match other.strip_prefix("field('").and_then(|rest| rest.strip_suffix("')")) {
                Some(field) => crate::field::definition(field).map(|definition| definition.name),
                None => field_of_signal(other),
            },
        };
        fields.extend(field.map(str::to_string));
    }
    fields.into_iter().collect()
}

/// Whether a datum decides a flag; used by rules of signals.
pub(super) fn fires(datum: Option<bool>) -> bool {
    datum == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Datum;

    fn finding(held: Option<bool>) -> Finding {
        Finding { held, actual: "x".into(), values: [("tokens.input".to_string(), Datum::Number(1.0))].into(), ..Finding::default() }
    }

    #[test]
    fn the_table_of_proofs() {
        let cases = [
            (Some(false), vec![Some(true)], case::Proof::Proved),
            (Some(false), vec![Some(true), Some(false)], case::Proof::FalseAlarm),
            (Some(true), vec![Some(true)], case::Proof::Vacuous),
            (Some(true), vec![], case::Proof::Vacuous),
            (None, vec![Some(true)], case::Proof::Blind),
            (None, vec![Some(false)], case::Proof::FalseAlarm),
            (Some(false), vec![], case::Proof::Unproved),
            (Some(false), vec![None], case::Proof::Unproved),
        ];
        for (incident, healthy, expected) in cases {
            let healthy: Vec<Finding> = healthy.into_iter().map(finding).collect();
            assert_eq!(verdict(&finding(incident), &healthy).0, expected, "{incident:?} {healthy:?}");
        }
    }
}
