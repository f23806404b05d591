//! A verdict: what one case on one target means, and what a run of many means to a build.

mod matrix;

pub use matrix::Column;

use crate::comparison::Comparison;
use crate::diagnosis::Diagnosis;
use crate::fault::Place;
use crate::redact::Redactor;
use crate::shard::Shard;
use crate::signal::{Datum, Signals};
use std::collections::BTreeMap;

/// What one case on one target means; the worst of its tests decides. Ordered from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Everything was decided and holds.
    Passed,
    /// A person must look.
    Changed(Change),
    /// Nothing can be said, and that is never green.
    Undecided(Doubt),
    /// The incident is back, or the telemetry that would show it is not there.
    Regressed(Regression),
}

/// Why a person must look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// No snapshot was accepted yet.
    New,
    /// The snapshot differs, or an `open` case passes.
    Different,
}

/// Why nothing can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// A request was not recorded.
    NeedsRecording,
    /// The provider, the network or the application let us down.
    Infrastructure,
    /// The judge gave no usable answer.
    Judge,
    /// The budget was used up.
    Budget,
    /// The telemetry lacks what a test needs.
    Blind,
    /// No trace belongs to the case.
    NoTrace,
}

/// How the incident came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Regression {
    /// A test does not hold.
    Test,
    /// A required field is missing.
    MissingTelemetry,
    /// The telemetry contradicts the wire on a required field.
    Contradiction,
}

impl Verdict {
    /// `passed`, `changed`, `undecided` or `regressed`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Changed(_) => "changed",
            Self::Undecided(_) => "undecided",
            Self::Regressed(_) => "regressed",
        }
    }

    /// The verdict that a word and a reason of a report stand for.
    pub fn from_words(word: &str, reason: Option<&str>) -> Option<Self> {
        let changes = [Change::New, Change::Different].map(Self::Changed);
        let doubts = [Doubt::NeedsRecording, Doubt::Infrastructure, Doubt::Judge, Doubt::Budget, Doubt::Blind, Doubt::NoTrace];
        let regressions = [Regression::Test, Regression::MissingTelemetry, Regression::Contradiction].map(Self::Regressed);
        let all = [Self::Passed].into_iter().chain(changes).chain(doubts.map(Self::Undecided)).chain(regressions);
        all.into_iter().find(|verdict| verdict.word() == word && verdict.reason() == reason)
    }

    /// The reason as reports write it; none for a pass.
    pub fn reason(self) -> Option<&'static str> {
        Some(match self {
            Self::Passed => return None,
            Self::Changed(Change::New) => "new",
            Self::Changed(Change::Different) => "different",
            Self::Undecided(Doubt::NeedsRecording) => "needs-recording",
            Self::Undecided(Doubt::Infrastructure) => "infrastructure",
            Self::Undecided(Doubt::Judge) => "judge",
            Self::Undecided(Doubt::Budget) => "budget",
            Self::Undecided(Doubt::Blind) => "blind",
            Self::Undecided(Doubt::NoTrace) => "no-trace",
            Self::Regressed(Regression::Test) => "regression",
            Self::Regressed(Regression::MissingTelemetry) => "missing-telemetry",
            Self::Regressed(Regression::Contradiction) => "contradiction",
        })
    }
}

/// What a run means to a build, with its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything selected was decided and passed, and at least one was (exit 0).
    Passed,
    /// `--changed-since` or `--shard` left nothing, though the suite has cases (exit 0).
    NotAffected,
    /// At least one case regressed (exit 1).
    Regressed,
    /// Flags or files are wrong, or a case is stale; nothing was sent (exit 2).
    Misconfigured,
    /// Something could not be decided for reasons outside the suite (exit 3).
    Infrastructure,
    /// The selection is empty (exit 4).
    NothingRan,
    /// A recording is missing, or a change waits for a person (exit 5).
    NeedsPerson,
    /// A bug in relapse (exit 70).
    Internal,
    /// A requested report could not be written (exit 74).
    Unreported,
    /// SIGINT; reports are written and marked incomplete (exit 130).
    Interrupted,
    /// SIGTERM; reports are written and marked incomplete (exit 143).
    Terminated,
}

impl Outcome {
    /// Every outcome with its word and exit code, worst first: of several at once the first wins.
    pub const ALL: [(Self, &'static str, u8); 11] = [
        (Self::Internal, "internal", 70),
        (Self::Interrupted, "interrupted", 130),
        (Self::Terminated, "interrupted", 143),
        (Self::Misconfigured, "misconfigured", 2),
        (Self::Regressed, "regressed", 1),
        (Self::Unreported, "unreported", 74),
        (Self::Infrastructure, "infrastructure", 3),
        (Self::NeedsPerson, "needs-person", 5),
        (Self::NothingRan, "nothing-ran", 4),
        (Self::NotAffected, "not-affected", 0),
        (Self::Passed, "passed", 0),
    ];

    /// The word in reports.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|row| row.0 == self).map_or("internal", |row| row.1)
    }

    /// The exit code.
    pub fn exit(self) -> u8 {
        Self::ALL.iter().find(|row| row.0 == self).map_or(70, |row| row.2)
    }

    /// Whether the run came to its own end, so that a report of it has every case.
    pub fn is_complete(self) -> bool {
        !matches!(self, Self::Internal | Self::Interrupted | Self::Terminated)
    }

    /// The graver of two outcomes.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        let rank = |outcome| Self::ALL.iter().position(|row| row.0 == outcome);
        if rank(self) <= rank(other) { self } else { other }
    }
}

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
    /// What was seen.
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

/// One stage of a request on its time scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// `model`, `tool`, `retrieval`, `guardrail` or `embedding`.
    pub kind: String,
    /// The model's, tool's or index's name.
    pub name: String,
    /// Seconds since the request began.
    pub start: f64,
    /// Seconds; none when the stage has no end.
    pub duration: Option<f64>,
    /// Whether it failed.
    pub failed: bool,
}

/// The stages of a request, by start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Waterfall {
    /// One bar a stage.
    pub bars: Vec<Bar>,
}

impl Waterfall {
    /// Seconds to the end of the last stage.
    pub fn total(&self) -> f64 {
        self.bars.iter().map(|bar| bar.start + bar.duration.unwrap_or(0.0)).fold(0.0, f64::max)
    }
}

/// What a report tells of a case besides its verdicts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Story {
    /// The postmortem's prose.
    pub prose: String,
    /// The incident.
    pub incident: Waterfall,
    /// The first healthy request; none without healthy evidence.
    pub healthy: Option<Waterfall>,
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

/// Which part of a run a summary is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The part.
    pub shard: Shard,
    /// The digest of the suite that the run selects from.
    pub suite: String,
}

/// A whole run: what every report is written from.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// What it means to a build.
    pub outcome: Outcome,
    /// Every case on every target, by id, then target.
    pub cases: Vec<CaseReport>,
    /// Whether `--prove` asked for regressions.
    pub prove: bool,
    /// Targets side by side, where several ran the same cases.
    pub comparisons: Vec<Comparison>,
    /// The part of a run that this is; none for a whole one.
    pub part: Option<Part>,
    /// What happened then, by case; empty unless a report shows it.
    pub stories: BTreeMap<String, Story>,
    /// What a reader should know about the run as a whole (waivers, warnings).
    pub notes: Vec<String>,
}

/// How a case stands in its run, from worst to best: what a reader must see first.
///
/// In a plain run this is the verdict. In a run with `--prove` a regression is what was wanted, so a case that did not
/// regress [fails](Self::Failing) and one that did [passes](Self::Passing).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It makes the run regressed.
    Failing,
    /// Nothing can be said.
    Undecided(Doubt),
    /// A person must look.
    Changed,
    /// It was run and is shown, but does not count.
    Aside(Aside),
    /// It is as it should be.
    Passing,
}

/// Why a case does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aside {
    /// An `open` case regresses: the fix has not landed.
    Expected,
    /// A person muted it until a date.
    Muted,
    /// Every test and field requirement would test relapse itself on this target.
    NotApplicable,
}

impl Aside {
    /// `expected`, `muted` or `not applicable`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Expected => "expected",
            Self::Muted => "muted",
            Self::NotApplicable => "not applicable",
        }
    }

    /// Why it does not count, as one sentence without its full stop.
    pub fn why(self) -> &'static str {
        match self {
            Self::Expected => "the postmortem is open, so a regression is expected until the fix lands",
            Self::Muted => "the postmortem is muted, so this case does not gate until its date",
            Self::NotApplicable => "nothing in this case can be decided on this target",
        }
    }
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

/// How many cases got which verdict; a case on two targets counts twice.
///
/// The four verdicts count only what gates, so `regressed` is above 0 exactly when a plain run is regressed; the rest is
/// in `aside`, and all five together are the number of cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Decided, and everything holds.
    pub passed: usize,
    /// The incident is back.
    pub regressed: usize,
    /// A person must look.
    pub changed: usize,
    /// Nothing can be said.
    pub undecided: usize,
    /// Run and shown, but not counted: expected, muted or not applicable.
    pub aside: usize,
}

impl Summary {
    /// Sums up the cases of a run.
    ///
    /// Cases are sorted by id, then target. In a plain run the gravest gating case decides: a regression makes it
    /// regressed, an undecided case infrastructure (needs-person when only a recording is missing), a change needs-person.
    ///
    /// With `prove` the run is the suite's own mutation test: the targets carry the incidents, so every case must
    /// regress on them. One that passes would not have caught its incident, and makes the run *regressed*; one that is
    /// undecided proves nothing, and stays undecided.
    ///
    /// Nothing undecided is green, and neither is nothing decided: a run in which no case gates (none selected, or all
    /// expected, muted or not applicable) is nothing-ran, with a note that says why. A caller that knows the selection
    /// was emptied by `--changed-since` or `--shard` sets [`Outcome::NotAffected`] itself.
    pub fn of(mut cases: Vec<CaseReport>, prove: bool, mut notes: Vec<String>) -> Self {
        cases.sort_by(|a, b| (&a.id, &a.target).cmp(&(&b.id, &b.target)));
        let outcomes = cases.iter().filter_map(|case| outcome_of(case.standing(prove)));
        let outcome = outcomes.reduce(Outcome::worst).unwrap_or(Outcome::NothingRan);
        if outcome == Outcome::NothingRan && !cases.is_empty() {
            notes.push("no case gates: all are expected, muted or not applicable, so nothing was shown to pass".to_string());
        }
        Self { outcome, cases, prove, comparisons: Vec::new(), stories: BTreeMap::new(), part: None, notes }
    }

    /// The same summary of a run to which something graver may have happened: a signal, a fault, an unwritten report.
    #[must_use]
    pub fn worsened(mut self, outcome: Outcome) -> Self {
        self.outcome = self.outcome.worst(outcome);
        self
    }

    /// How many cases got which verdict.
    pub fn counts(&self) -> Counts {
        self.count(&self.cases)
    }

    fn count<'a>(&self, cases: impl IntoIterator<Item = &'a CaseReport>) -> Counts {
        let mut counts = Counts::default();
        for case in cases {
            *match (case.standing(self.prove), case.verdict) {
                (Standing::Aside(_), _) => &mut counts.aside,
                (_, Verdict::Passed) => &mut counts.passed,
                (_, Verdict::Changed(_)) => &mut counts.changed,
                (_, Verdict::Undecided(_)) => &mut counts.undecided,
                (_, Verdict::Regressed(_)) => &mut counts.regressed,
            } += 1;
        }
        counts
    }

    /// The same summary without secrets in any text that was recorded or computed from a recording.
    ///
    /// Reports wrap and escape text, which would hide a secret from a redactor that came later.
    #[must_use]
    pub fn redacted(mut self, redactor: &Redactor) -> Self {
        for case in &mut self.cases {
            case.redact(redactor);
        }
        redact_all(&mut self.notes, redactor);
        for story in self.stories.values_mut() {
            let waterfalls = [&mut story.incident].into_iter().chain(&mut story.healthy);
            let names = waterfalls.flat_map(|waterfall| waterfall.bars.iter_mut().map(|bar| &mut bar.name));
            redact_all(names.chain([&mut story.prose]), redactor);
        }
        self
    }
}

/// What a case by itself would make of a run; none when it does not count.
fn outcome_of(standing: Standing) -> Option<Outcome> {
    Some(match standing {
        Standing::Aside(_) => return None,
        Standing::Failing => Outcome::Regressed,
        Standing::Undecided(Doubt::NeedsRecording) | Standing::Changed => Outcome::NeedsPerson,
        Standing::Undecided(_) => Outcome::Infrastructure,
        Standing::Passing => Outcome::Passed,
    })
}

impl CaseReport {
    fn redact(&mut self, redactor: &Redactor) {
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

fn redact_all<'a>(texts: impl IntoIterator<Item = &'a mut String>, redactor: &Redactor) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn case(id: &str, verdict: Verdict) -> CaseReport {
        CaseReport {
            id: id.to_string(),
            target: "bot".to_string(),
            title: String::new(),
            class: "prompt".to_string(),
            status: "active".to_string(),
            verdict,
            gates: true,
            postmortem: Place::at(format!("postmortems/{id}.md"), 3, 0),
            tests: Vec::new(),
            fields: Vec::new(),
            contradictions: Vec::new(),
            signals: Signals::new(),
            answer: None,
            diagnosis: None,
            detail: None,
            notes: Vec::new(),
            next: None,
            snapshot: None,
            waterfall: Waterfall::default(),
            cost_usd: 0.0,
            live_requests: 0,
        }
    }

    fn aside(status: &str, verdict: Verdict) -> CaseReport {
        CaseReport { gates: false, status: status.to_string(), ..case(status, verdict) }
    }

    const REGRESSED: Verdict = Verdict::Regressed(Regression::Test);

    fn outcome(verdicts: &[Verdict]) -> Outcome {
        Summary::of(verdicts.iter().map(|verdict| case("a", *verdict)).collect(), false, Vec::new()).outcome
    }

    fn proof(cases: Vec<CaseReport>) -> Outcome {
        Summary::of(cases, true, Vec::new()).outcome
    }

    #[test]
    fn cases_are_sorted_by_id_then_target() {
        let mut cases = vec![case("b", Verdict::Passed), case("a", Verdict::Passed), case("a", Verdict::Passed)];
        cases[2].target = "app".to_string();
        let summary = Summary::of(cases, false, Vec::new());
        let order: Vec<_> = summary.cases.iter().map(|case| format!("{}@{}", case.id, case.target)).collect();
        assert_eq!(order, ["a@app", "a@bot", "b@bot"]);
    }

    #[test]
    fn everything_passed_is_passed() {
        assert_eq!(outcome(&[Verdict::Passed, Verdict::Passed]), Outcome::Passed);
    }

    #[test]
    fn an_empty_selection_is_nothing_ran() {
        assert_eq!(outcome(&[]), Outcome::NothingRan);
        assert_eq!(proof(Vec::new()), Outcome::NothingRan);
    }

    #[test]
    fn a_missing_recording_or_a_change_needs_a_person() {
        assert_eq!(outcome(&[Verdict::Passed, Verdict::Undecided(Doubt::NeedsRecording)]), Outcome::NeedsPerson);
        assert_eq!(outcome(&[Verdict::Passed, Verdict::Changed(Change::New)]), Outcome::NeedsPerson);
    }

    #[test]
    fn every_other_doubt_is_infrastructure() {
        for doubt in [Doubt::Infrastructure, Doubt::Judge, Doubt::Budget, Doubt::Blind, Doubt::NoTrace] {
            assert_eq!(outcome(&[Verdict::Undecided(Doubt::NeedsRecording), Verdict::Undecided(doubt)]), Outcome::Infrastructure);
        }
    }

    #[test]
    fn a_regression_is_never_hidden_by_an_outage() {
        assert_eq!(outcome(&[Verdict::Undecided(Doubt::Infrastructure), REGRESSED, Verdict::Changed(Change::New)]), Outcome::Regressed);
    }

    #[test]
    fn what_happens_to_a_run_is_weighed_against_its_cases() {
        let regressed = || Summary::of(vec![case("a", REGRESSED)], false, Vec::new());
        let passed = || Summary::of(vec![case("a", Verdict::Passed)], false, Vec::new());
        assert_eq!(regressed().worsened(Outcome::Unreported).outcome, Outcome::Regressed);
        assert_eq!(passed().worsened(Outcome::Unreported).outcome, Outcome::Unreported);
        assert_eq!(regressed().worsened(Outcome::Misconfigured).outcome, Outcome::Misconfigured);
        assert_eq!(regressed().worsened(Outcome::Interrupted).outcome.exit(), 130);
        assert_eq!(regressed().worsened(Outcome::Interrupted).worsened(Outcome::Internal).outcome.exit(), 70);
    }

    #[test]
    fn an_open_case_that_regresses_is_expected_and_one_that_passes_needs_a_person() {
        let passed = case("a", Verdict::Passed);
        assert_eq!(Summary::of(vec![aside("open", REGRESSED), passed.clone()], false, Vec::new()).outcome, Outcome::Passed);
        let open = CaseReport { status: "open".to_string(), ..case("b", Verdict::Changed(Change::Different)) };
        assert_eq!(Summary::of(vec![open, passed], false, Vec::new()).outcome, Outcome::NeedsPerson);
    }

    #[test]
    fn a_muted_case_does_not_gate_whatever_it_says() {
        for verdict in [REGRESSED, Verdict::Undecided(Doubt::Blind), Verdict::Changed(Change::New)] {
            assert_eq!(Summary::of(vec![aside("muted", verdict), case("a", Verdict::Passed)], false, Vec::new()).outcome, Outcome::Passed);
        }
    }

    #[test]
    fn a_run_in_which_nothing_gates_is_not_green() {
        let summary = Summary::of(vec![aside("open", REGRESSED), aside("muted", Verdict::Passed)], false, Vec::new());
        assert_eq!(summary.outcome, Outcome::NothingRan);
        assert!(summary.notes[0].starts_with("no case gates"));
    }

    #[test]
    fn a_case_without_anything_applicable_does_not_pass() {
        let mut silent = case("a", Verdict::Passed);
        silent.tests.push(TestReport {
            name: "retries stay low".to_string(),
            held: None,
            applicable: false,
            expected: String::new(),
            actual: String::new(),
            values: BTreeMap::new(),
            line: 1,
            trials: 0,
            trials_held: 0,
            trials_undecided: 0,
            suspect: false,
            bounds: None,
            why: None,
        });
        assert_eq!(silent.standing(false), Standing::Aside(Aside::NotApplicable));
        assert_eq!(Summary::of(vec![silent], false, Vec::new()).outcome, Outcome::NothingRan);
    }

    #[test]
    fn a_proof_needs_every_case_to_regress() {
        assert_eq!(proof(vec![case("a", REGRESSED), case("b", REGRESSED)]), Outcome::Passed);
        assert_eq!(proof(vec![case("a", REGRESSED), case("b", Verdict::Passed)]), Outcome::Regressed);
        assert_eq!(proof(vec![case("a", REGRESSED), case("b", Verdict::Changed(Change::Different))]), Outcome::Regressed);
        assert_eq!(proof(vec![case("a", REGRESSED), case("b", Verdict::Undecided(Doubt::Blind))]), Outcome::Infrastructure);
        assert_eq!(proof(vec![case("a", REGRESSED), case("b", Verdict::Undecided(Doubt::NeedsRecording))]), Outcome::NeedsPerson);
    }

    #[test]
    fn an_open_case_counts_in_a_proof_and_a_muted_one_does_not() {
        assert_eq!(proof(vec![aside("open", REGRESSED)]), Outcome::Passed);
        assert_eq!(proof(vec![aside("muted", REGRESSED)]), Outcome::NothingRan);
    }

    #[test]
    fn counts_add_up_to_the_cases() {
        let cases = vec![
            case("a", Verdict::Passed),
            case("b", REGRESSED),
            case("c", Verdict::Changed(Change::New)),
            case("d", Verdict::Undecided(Doubt::Blind)),
            aside("open", REGRESSED),
        ];
        let counts = Summary::of(cases, false, Vec::new()).counts();
        assert_eq!(counts, Counts { passed: 1, regressed: 1, changed: 1, undecided: 1, aside: 1 });
    }

    #[test]
    fn no_recorded_text_of_a_summary_keeps_a_secret() {
        let secret = "correct-horse-9";
        let mut leaky = case("a", REGRESSED);
        leaky.title = format!("title {secret}");
        leaky.answer = Some(format!("answer {secret}"));
        leaky.detail = Some(secret.to_string());
        leaky.next = Some(secret.to_string());
        leaky.notes = vec![secret.to_string()];
        leaky.contradictions.push(Contradiction {
            field: "output".to_string(),
            told: serde_json::json!({"deep": [secret]}),
            wire: secret.into(),
        });
        let redactor = Redactor::new([("APP_KEY".to_string(), secret.to_string())]).expect("long enough");
        let summary = Summary::of(vec![leaky], false, vec![secret.to_string()]).redacted(&redactor);
        assert!(!format!("{summary:?}").contains(secret), "{summary:?}");
    }
}
