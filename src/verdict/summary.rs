//! A summary: a whole run, counted, from which every report is written.

use super::report::redact_all;
use super::{CaseReport, Doubt, Outcome, Story, Verdict};
use crate::comparison::Comparison;
use crate::redact::Redactor;
use crate::shard::Shard;
use std::collections::BTreeMap;

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

    pub(super) fn count<'a>(&self, cases: impl IntoIterator<Item = &'a CaseReport>) -> Counts {
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
        redact_cases(&mut self.cases, redactor);
        redact_all(&mut self.notes, redactor);
        for story in self.stories.values_mut() {
            let waterfalls = [&mut story.incident].into_iter().chain(&mut story.healthy);
            let names = waterfalls.flat_map(|waterfall| waterfall.bars.iter_mut().map(|bar| &mut bar.name));
            redact_all(names.chain([&mut story.prose]), redactor);
        }
        self
    }
}

/// Takes secrets out of the reports, on all cores.
fn redact_cases(cases: &mut [CaseReport], redactor: &Redactor) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = cases.len().div_ceil(cores).max(MANY);
    std::thread::scope(|scope| {
        for part in cases.chunks_mut(share) {
            scope.spawn(|| part.iter_mut().for_each(|case| case.redact(redactor)));
        }
    });
}

/// Reports that are worth a thread.
const MANY: usize = 100;

/// What a case by itself would make of a run; none when it does not count.
fn outcome_of(standing: Standing) -> Option<Outcome> {
    Some(match standing {
        Standing::Aside(_) => return None,
        Standing::Failing => Outcome::Regressed,
        Standing::Undecided(doubt) => doubt.outcome(),
        Standing::Changed => Outcome::NeedsPerson,
        Standing::Passing => Outcome::Passed,
    })
}
