//! A report of one case on one target: every test and field, and what a reader needs to act.

use super::{Aside, Standing, Verdict, Waterfall};
use crate::diagnosis::Diagnosis;
use crate::fault::Place;
use crate::redact::Redactor;
use crate::signal::{Datum, Signals};
use std::collections::BTreeMap;

/// How one test went on one target.
#[derive(Debug, Clone, PartialEq)]
pub struct TestReport {
    /// The test's name.
    pub name: String,
    /// Whether it holds; none when nothing can be said.
    pub held: Option<bool>,
    /// False where the test would test relapse itself, as `retries.count` on a prompt target.
    pub applicable: bool,
    /// What was expected, as the postmortem says it.
    pub expected: String,
    /// What was seen, whole: each report clips it.
    pub actual: String,
    /// Every value that an expression used, by name.
    pub values: BTreeMap<String, Datum>,
    /// The test's line in the postmortem.
    pub line: u32,
    /// Trials run.
    pub trials: u32,
    /// Trials in which it held.
    pub trials_held: u32,
    /// Trials of which nothing can be said; they count neither for nor against it.
    pub trials_undecided: u32,
    /// Whether its trials were used up with the evidence against it, though not strong.
    pub suspect: bool,
    /// What its trials show, with the bounds of its gate; none where one trial decides.
    pub bounds: Option<String>,
    /// Why nothing can be said, and what to add.
    pub why: Option<String>,
}

/// How one required field went on one target.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldReport {
    /// The field's name.
    pub field: String,
    /// Where it must be, in words.
    pub on: String,
    /// `present`, `absent`, `indeterminate`, `condition-not-met` or `not-applicable`.
    pub state: String,
    /// Whether the requirement holds; none where it does not apply.
    pub held: Option<bool>,
    /// What was found or looked for, and what to add.
    pub message: String,
    /// The requirement's line in the postmortem; none when the project's profile requires it.
    pub line: Option<u32>,
    /// Why a person waived it, if one did.
    pub waived: Option<String>,
}

/// A behaviour that is not the accepted one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotReport {
    /// Where the accepted snapshot is, or would be, from the repository's root.
    pub path: String,
    /// What was accepted; none when nothing was yet.
    pub accepted: Option<String>,
    /// What the candidate did.
    pub candidate: String,
    /// The text of the pending file.
    pub pending: String,
}

/// A field about which telemetry and wire disagree.
#[derive(Debug, Clone, PartialEq)]
pub struct Contradiction {
    /// The field or signal.
    pub field: String,
    /// What the telemetry says.
    pub told: serde_json::Value,
    /// What the wire says.
    pub wire: serde_json::Value,
}

/// How one case went on one target.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseReport {
    /// The case.
    pub id: String,
    /// The target.
    pub target: String,
    /// The postmortem's title.
    pub title: String,
    /// The failure class.
    pub class: String,
    /// The postmortem's status: `open`, `active` or `muted`.
    pub status: String,
    /// What it means.
    pub verdict: Verdict,
    /// Whether it counts for the exit code; an `open` case that regresses and a muted one do not.
    pub gates: bool,
    /// The postmortem's file, and the line of the worst test or of the front matter.
    pub postmortem: Place,
    /// Every test.
    pub tests: Vec<TestReport>,
    /// Every required field.
    pub fields: Vec<FieldReport>,
    /// Where the telemetry lies.
    pub contradictions: Vec<Contradiction>,
    /// The candidate's signals.
    pub signals: Signals,
    /// The candidate's answer, if it was captured.
    pub answer: Option<String>,
    /// The candidate's stages.
    pub waterfall: Waterfall,
    /// What the runbook makes of it, where it failed and there is a baseline.
    pub diagnosis: Option<Diagnosis>,
    /// Why nothing can be said, in full (the nearest recording's difference).
    pub detail: Option<String>,
    /// What else a reader should know.
    pub notes: Vec<String>,
    /// The next command or edit.
    pub next: Option<String>,
    /// The behaviour that is not the accepted one, where all tests hold.
    pub snapshot: Option<SnapshotReport>,
    /// What the run of this case cost, in US dollars.
    pub cost_usd: f64,
    /// Requests sent to a live provider.
    pub live_requests: u64,
}

impl TestReport {
    /// Whether a value of the accepted run was used.
    pub fn uses_accepted(&self) -> bool {
        self.values.keys().any(|name| name.starts_with("accepted."))
    }

    /// Whether it holds though some of its trials failed.
    pub fn is_flaky(&self) -> bool {
        self.held == Some(true) && self.trials_held + self.trials_undecided < self.trials
    }
}

impl CaseReport {
    /// What a reader should know of a case that has no section of its own, one sentence each.
    pub fn remarks(&self) -> impl Iterator<Item = String> {
        let wrong = self.contradictions.iter().map(|Contradiction { field, told, wire }| {
            format!("the telemetry contradicts the wire on `{field}`: it tells {told}, and on the wire it is {wire}")
        });
        wrong.chain(self.notes.iter().cloned()).map(|remark| format!("{} [{}]: {remark}", self.id, self.target))
    }

    /// How the case stands in a run; `prove` says whether regressions were asked for.
    pub fn standing(&self, prove: bool) -> Standing {
        match (self.aside(prove), self.verdict) {
            (Some(aside), _) => Standing::Aside(aside),
            (None, Verdict::Undecided(doubt)) => Standing::Undecided(doubt),
            (None, Verdict::Regressed(_)) if prove => Standing::Passing,
            (None, Verdict::Regressed(_)) => Standing::Failing,
            (None, _) if prove => Standing::Failing,
            (None, Verdict::Changed(_)) => Standing::Changed,
            (None, Verdict::Passed) => Standing::Passing,
        }
    }

    /// Why the case does not count, if it does not. An `open` case counts in a proof: its regression is the point.
    fn aside(&self, prove: bool) -> Option<Aside> {
        if self.verdict == Verdict::Passed && self.is_empty_of_answers() {
            return Some(Aside::NotApplicable);
        }
        match (self.gates, self.status.as_str()) {
            (true, _) => None,
            (false, "open") => (!prove).then_some(Aside::Expected),
            (false, _) => Some(Aside::Muted),
        }
    }

    /// Whether there were questions and none of them applied on this target.
    fn is_empty_of_answers(&self) -> bool {
        let asked = !self.tests.is_empty() || !self.fields.is_empty();
        asked && !self.tests.iter().any(|test| test.applicable) && !self.fields.iter().any(|field| field.held.is_some())
    }
}

impl CaseReport {
    pub(super) fn redact(&mut self, redactor: &Redactor) {
        for test in &mut self.tests {
            redact_all([&mut test.name, &mut test.expected, &mut test.actual].into_iter().chain(&mut test.why), redactor);
            test.values.values_mut().for_each(|datum| datum.redact(redactor));
        }
        for field in &mut self.fields {
            redact_all([&mut field.message].into_iter().chain(&mut field.waived), redactor);
        }
        for contradiction in &mut self.contradictions {
            redact_value(&mut contradiction.told, redactor);
            redact_value(&mut contradiction.wire, redactor);
        }
        if let Some(diagnosis) = &mut self.diagnosis {
            diagnosis.redact(redactor);
        }
        let texts = [&mut self.title].into_iter().chain(&mut self.answer).chain(&mut self.detail).chain(&mut self.next);
        redact_all(texts.chain(&mut self.notes), redactor);
        if let Some(snapshot) = &mut self.snapshot {
            redact_all([&mut snapshot.candidate, &mut snapshot.pending].into_iter().chain(&mut snapshot.accepted), redactor);
        }
        redact_all(self.waterfall.bars.iter_mut().map(|bar| &mut bar.name), redactor);
    }
}

pub(super) fn redact_all<'a>(texts: impl IntoIterator<Item = &'a mut String>, redactor: &Redactor) {
    for text in texts {
        if let std::borrow::Cow::Owned(redacted) = redactor.redact(text) {
            *text = redacted;
        }
    }
}

fn redact_value(value: &mut serde_json::Value, redactor: &Redactor) {
    match value {
        serde_json::Value::String(text) => redact_all([text], redactor),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| redact_value(item, redactor)),
        serde_json::Value::Object(map) => map.values_mut().for_each(|item| redact_value(item, redactor)),
        _ => {}
    }
}
