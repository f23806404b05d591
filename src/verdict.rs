//! A verdict: what one case on one target means, and what a run of many means to a build.

use crate::fault::Place;
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
    /// Why nothing can be said, in full (the nearest recording's difference).
    pub detail: Option<String>,
    /// What else a reader should know.
    pub notes: Vec<String>,
    /// The next command or edit.
    pub next: Option<String>,
    /// What the run of this case cost, in US dollars.
    pub cost_usd: f64,
    /// Requests sent to a live provider.
    pub live_requests: u64,
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
    /// What a reader should know about the run as a whole (waivers, warnings).
    pub notes: Vec<String>,
}
