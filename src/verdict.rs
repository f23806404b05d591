//! A verdict: what one case on one target means, and what a run of many means to a build.

mod matrix;
mod outcome;
mod report;
mod summary;
mod waterfall;

pub use matrix::Column;
pub use outcome::Outcome;
pub use report::{CaseReport, Contradiction, FieldReport, SnapshotReport, TestReport};
pub use summary::{Aside, Counts, Part, Standing, Summary};
pub use waterfall::{Bar, Story, Waterfall};

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

impl Doubt {
    /// What it means to a build.
    pub fn outcome(self) -> Outcome {
        if self == Self::NeedsRecording { Outcome::NeedsPerson } else { Outcome::Infrastructure }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Place;
    use crate::redact::Redactor;
    use crate::signal::Signals;
    use std::collections::BTreeMap;

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
