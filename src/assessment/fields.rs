//! Required fields of a candidate's telemetry: the project's profile and the postmortem's own.

use super::Standard;
use crate::case::Case;
use crate::field::{self, On, State};
use crate::project::{Require, Waiver};
use crate::request::Request;
use crate::verdict::{Change, FieldReport, Regression, Verdict};

/// How the required fields went.
pub(super) struct Fields {
    pub(super) reports: Vec<FieldReport>,
    /// The worst of them; none when all is well.
    pub(super) verdict: Option<Verdict>,
    /// The line of the worst, in the postmortem.
    pub(super) line: Option<u32>,
    /// Required fields that are not there.
    pub(super) missing: Vec<String>,
    pub(super) notes: Vec<String>,
}

struct Requirement {
    field: String,
    on: On,
    line: Option<u32>,
}

/// Holds every required field against the candidate.
pub(super) fn assess(case: &Case, request: &Request, standard: Standard<'_>) -> Fields {
    let mut fields = Fields { reports: Vec::new(), verdict: None, line: None, missing: Vec::new(), notes: Vec::new() };
    let requirements = requirements(case, request, standard);
    for requirement in &requirements {
        let report = assess_one(requirement, request, standard, &mut fields);
        fields.reports.push(report);
    }
    contradicted(&requirements, request, &mut fields);
    fields
}

/// The postmortem's own requirements first, then what the profile adds where there is telemetry to ask.
fn requirements(case: &Case, request: &Request, standard: Standard<'_>) -> Vec<Requirement> {
    let own = case.fields.iter().map(|required| Requirement {
        field: required.field.clone(),
        on: On::parse(&required.on).unwrap_or_default(),
        line: Some(required.line),
    });
    let mut requirements: Vec<Requirement> = own.collect();
    if request.trace.is_none() {
        return requirements;
    }
    let profile: Vec<String> = match &standard.telemetry.require {
        Require::Minimum => field::minimum().map(|definition| definition.name.to_string()).collect(),
        Require::Fields(fields) => fields.iter().map(|field| field.value.clone()).collect(),
    };
    for field in profile {
        if !requirements.iter().any(|known| known.field == field && known.on == On::Any) {
            requirements.push(Requirement { field, on: On::Any, line: None });
        }
    }
    requirements
}

fn assess_one(requirement: &Requirement, request: &Request, standard: Standard<'_>, fields: &mut Fields) -> FieldReport {
    let Requirement { field, on, line } = requirement;
    let mut report = FieldReport {
        field: field.clone(),
        on: on.to_string(),
        state: "not-applicable".into(),
        held: None,
        message: "relapse itself ran the conversation".into(),
        line: *line,
        waived: None,
    };
    if request.trace.is_none() {
        return report;
    }
    let state = match (on, line) {
        // A profile asks only where its condition is met; a postmortem asks always.
        (On::Any, None) => request.fields.get(field.as_str()).cloned().unwrap_or(State::ConditionNotMet),
        _ => request.state(field, *on, standard.mapping),
    };
    report.state = state.word().into();
    report.message = message(field, &state);
    report.held = match &state {
        State::Present { .. } => Some(true),
        State::ConditionNotMet => None,
        State::Absent { .. } | State::Indeterminate { .. } => Some(false),
    };
    let waiver = standard.telemetry.waive.iter().find(|waiver| waiver.field.value == *field && !is_over(waiver, standard.now));
    match (waiver, report.held) {
        (Some(waiver), Some(false)) => {
            report.waived = Some(waiver.why.clone());
            report.held = None;
        }
        (Some(waiver), Some(true)) => {
            report.waived = Some(waiver.why.clone());
            report.message = format!("{}; the waiver is not needed any more: take it out of relapse.yaml", report.message);
            fields.notes.push(format!("`{field}` is there, so its waiver is not needed any more: take it out of relapse.yaml"));
            worsen(fields, Verdict::Changed(Change::Different), *line);
        }
        (None, Some(false)) => {
            fields.missing.push(field.clone());
            worsen(fields, Verdict::Regressed(Regression::MissingTelemetry), *line);
        }
        _ => {}
    }
    report
}

fn is_over(waiver: &Waiver, now: i64) -> bool {
    waiver.until.is_some_and(|until| until.is_past(now))
}

fn worsen(fields: &mut Fields, verdict: Verdict, line: Option<u32>) {
    if fields.verdict.is_none_or(|known| verdict > known) {
        fields.verdict = Some(verdict);
        fields.line = line;
    }
}

/// A contradiction regresses the case when its field is required.
fn contradicted(requirements: &[Requirement], request: &Request, fields: &mut Fields) {
    for contradiction in &request.contradictions {
        let requirement = requirements.iter().find(|requirement| requirement.field == contradiction.field);
        let Some(requirement) = requirement else { continue };
        let waived = fields.reports.iter().any(|report| report.field == contradiction.field && report.waived.is_some());
        if !waived {
            worsen(fields, Verdict::Regressed(Regression::Contradiction), requirement.line);
        }
    }
}

fn message(field: &str, state: &State) -> String {
    match state {
        // It is another one in every run, and says nothing: two reports of the same would differ.
        State::Present { key, .. } if field == "request.id" => format!("present at {key}"),
        State::Present { value, key, .. } => format!("{} at {key}", crate::inert::clip(&value.to_string(), 80)),
        State::Absent { add, .. } => format!("add {add}"),
        State::Indeterminate { reason, add } => format!("{}: add {add}", reason.replace('-', " ")),
        State::ConditionNotMet => "nothing here could carry it".into(),
    }
}
