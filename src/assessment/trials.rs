//! Trials: several runs of one case on one target, until the gate of every test is decided.

use super::fields::{self, Fields};
use super::{Asked, Examiner, Question, Standard};
use crate::check::Needs;
use crate::gate::{Gate, Rule, Ruling, Tally};
use crate::grade::Grades;
use crate::limit;
use crate::request::Request;
use crate::verdict::{CaseReport, Doubt, Regression, TestReport, Verdict};

/// Where trials come from, which says how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// They are run as needed; the number replaces what a test says.
    Live(Option<u32>),
    /// So many were recorded. A test that names no number is content with one, and uses all up to its number live.
    Recorded(u32),
    /// So many are there, and all are judged.
    Given(u32),
}

/// What a running program adds by itself: times that depend on the machine, where all others are recorded.
const MEASURED: [&str; 3] = ["latency.total", "latency.gap", "latency.tools"];

impl Source {
    /// Whether something that is needed is measured while a program runs here; what is given was measured elsewhere.
    pub(super) fn measures(self, needs: &Needs) -> bool {
        !matches!(self, Self::Given(_)) && needs.signals.iter().any(|name| MEASURED.contains(&name.as_str()))
    }
}

/// The trials of one case on one target, as they come in.
///
/// ```text
/// while let Some(number) = trials.next() { trials.take(&request, &grades) }   // or trials.stop(doubt, why) when none can be had
/// trials.close()
/// ```
#[derive(Debug)]
pub struct Trials<'e, 'a> {
    examiner: &'e Examiner<'a>,
    target: String,
    source: Source,
    standard: Standard<'a>,
    counts: Vec<Count>,
    taken: u32,
    fields: Option<(Verdict, Option<u32>)>,
    shown: Option<Shown>,
    stopped: Option<(Doubt, String)>,
}

/// How one test goes from trial to trial.
#[derive(Debug)]
struct Count {
    rule: Rule,
    tally: Tally,
    undecided: u32,
    /// The gravest of what could not be decided.
    doubt: Option<Verdict>,
    /// The first trial that failed, else the first that could not be decided, else the first; the other way round where one
    /// trial is enough. None before the first.
    report: Option<TestReport>,
}

/// The gravest trial: its answer, signals and fields are what a reader sees.
#[derive(Debug)]
struct Shown {
    trial: u32,
    gravity: (Option<Verdict>, Option<Verdict>),
    report: CaseReport,
}

impl<'e, 'a> Trials<'e, 'a> {
    pub(super) fn new(examiner: &'e Examiner<'a>, target: &str, source: Source, standard: Standard<'a>) -> Self {
        let count = |(asked, question): &(Asked<'_>, Question)| Count {
            rule: rule((*asked, question), source, standard.rate_tests),
            tally: Tally::default(),
            undecided: 0,
            doubt: None,
            report: None,
        };
        let counts = examiner.questions.iter().map(count).collect();
        Self { examiner, target: target.to_string(), source, standard, counts, taken: 0, fields: None, shown: None, stopped: None }
    }

    /// Says anew where trials come from, as long as none was taken: that answers go live shows when the first is asked for.
    pub fn draw_from(&mut self, source: Source) {
        if self.taken > 0 {
            return;
        }
        self.source = source;
        for ((asked, question), count) in self.examiner.questions.iter().zip(&mut self.counts) {
            count.rule = rule((*asked, question), source, self.standard.rate_tests);
        }
    }

    /// The number of the trial that is needed next, from 1; none when every gate is decided.
    pub fn next(&self) -> Option<u32> {
        let open = self.taken == 0 || self.counts.iter().any(|count| count.wants_more(self.taken));
        (open && self.stopped.is_none()).then_some(self.taken + 1)
    }

    /// One more trial, with what graders said of its answer.
    pub fn take(&mut self, request: &Request, grades: &Grades) {
        self.taken += 1;
        let fields = fields::assess(self.examiner.case, request, self.standard);
        let mut gravest = None;
        for ((asked, question), count) in self.examiner.questions.iter().zip(&mut self.counts) {
            let (test, verdict) = self.examiner.ask((*asked, question), self.source, request, grades);
            let verdict = verdict.map(|verdict| blind_for_missing_field(verdict, &test, &fields.missing));
            gravest = gravest.max(verdict);
            count.add(test, verdict);
        }
        if self.fields.is_none_or(|(known, _)| fields.verdict > Some(known)) {
            self.fields = fields.verdict.map(|verdict| (verdict, fields.line)).or(self.fields);
        }
        let gravity = (fields.verdict, gravest);
        if self.shown.as_ref().is_none_or(|shown| gravity > shown.gravity) {
            self.shown = Some(Shown { trial: self.taken, gravity, report: self.report(request, fields) });
        }
    }

    /// No further trial can be had, and why.
    pub fn stop(&mut self, doubt: Doubt, why: String) {
        self.stopped = Some((doubt, why));
    }

    /// The report of all trials.
    pub fn close(self) -> CaseReport {
        let now = self.standard.now;
        let Some(shown) = self.shown else {
            let (doubt, why) = self.stopped.unwrap_or((Doubt::Infrastructure, "no trial was run".into()));
            return self.examiner.undecided(&self.target, doubt, why, now);
        };
        let mut report = shown.report;
        let doubt = self.stopped.as_ref().map_or(Doubt::Infrastructure, |(doubt, _)| *doubt);
        let mut worst = Verdict::Passed;
        for (test, verdict) in self.counts.into_iter().filter_map(|count| count.close(doubt)) {
            if let Some(verdict) = verdict.filter(|verdict| *verdict > worst) {
                report.postmortem.line = test.line;
                worst = verdict;
            }
            report.tests.push(test);
        }
        if let Some((verdict, line)) = self.fields.filter(|(verdict, _)| *verdict > worst) {
            report.postmortem.line = line.unwrap_or(report.postmortem.line);
            worst = verdict;
        }
        if self.taken > 1 && shown.gravity != (None, None) {
            let what = if matches!(self.source, Source::Given(_)) { "traces of this case" } else { "trials" };
            report
                .notes
                .push(format!("answer, signals and fields are those of number {}, the worst of {} {what}", shown.trial, self.taken));
        }
        if self.examiner.accepted.is_none() && report.tests.iter().any(TestReport::uses_accepted) {
            report.notes.push("nothing was accepted yet: `accepted.…` are the values of `healthy.…`".into());
        }
        report.detail = self.stopped.map(|(_, why)| why);
        self.examiner.close(report, worst, now)
    }

    fn report(&self, request: &Request, fields: Fields) -> CaseReport {
        let mut report = self.examiner.blank(&self.target);
        report.contradictions.clone_from(&request.contradictions);
        report.signals = request.signals.clone();
        report.answer.clone_from(&request.answer);
        report.waterfall = request.waterfall();
        report.notes.extend(fields.notes);
        report.fields = fields.reports;
        report
    }
}

/// The rule of a test: its gate, with the number of trials that its source allows.
fn rule((asked, question): (Asked<'_>, &Question), source: Source, rate_tests: usize) -> Rule {
    let (gate, named) = match asked {
        Asked::Test(test) => (Gate::from_json(&test.gate).unwrap_or_default(), test.trials),
        Asked::Signal(_) => (Gate::Every, None),
    };
    if source.measures(&question.needs()) {
        return Rule::Once(named.unwrap_or(limit::LIVE_TRIALS).max(limit::LIVE_TRIALS));
    }
    let trials = match (gate, source) {
        (_, Source::Live(Some(trials))) => trials,
        (Gate::Rate(_), _) => named.unwrap_or(limit::RATE_TRIALS),
        (Gate::Every, Source::Given(trials)) => trials,
        (Gate::Every, Source::Live(None)) => named.unwrap_or(limit::LIVE_TRIALS),
        (Gate::Every, Source::Recorded(trials)) => named.unwrap_or(trials.clamp(1, limit::LIVE_TRIALS)),
    };
    Rule::new(gate, trials, rate_tests)
}

impl Count {
    fn wants_more(&self, taken: u32) -> bool {
        let is_lost = matches!(self.rule, Rule::Every(_)) && self.doubt.is_some();
        let applies = self.report.as_ref().is_none_or(|report| report.applicable);
        applies && !is_lost && taken < self.rule.most() && self.rule.of(self.tally) == Ruling::Open
    }

    fn add(&mut self, test: TestReport, verdict: Option<Verdict>) {
        // A sequential test that is decided stays so: what comes later would be a second chance.
        let decided = !matches!(self.rule, Rule::Every(_)) && self.rule.of(self.tally) != Ruling::Open;
        if decided {
            return;
        }
        match test.held {
            Some(held) => self.tally.add(held),
            None if test.applicable => {
                self.undecided += 1;
                self.doubt = self.doubt.max(verdict);
            }
            None => {}
        }
        let tells_more = |known: &TestReport| match self.rule {
            Rule::Once(_) => rank(test.held) < rank(known.held),
            Rule::Every(_) | Rule::Rate(_) => rank(test.held) > rank(known.held),
        };
        if self.report.as_ref().is_none_or(tells_more) {
            self.report = Some(test);
        }
    }

    /// The test over all its trials, none without any; the verdict is none when it holds or does not apply.
    fn close(self, stopped: Doubt) -> Option<(TestReport, Option<Verdict>)> {
        let Self { rule, tally, undecided, doubt, report } = self;
        let mut report = report?;
        if !report.applicable {
            return Some((report, None));
        }
        report.trials = tally.trials + undecided;
        report.trials_held = tally.held;
        report.trials_undecided = undecided;
        report.bounds = rule.explain(tally);
        let ruling = rule.of(tally);
        report.suspect = ruling == Ruling::Suspect;
        let needs_all = matches!(rule, Rule::Every(_));
        let verdict = match (ruling, doubt) {
            (Ruling::Fails | Ruling::Suspect, doubt) => Some(Verdict::Regressed(Regression::Test)).max(doubt),
            (Ruling::Holds, None) => None,
            (Ruling::Holds, Some(Verdict::Undecided(_))) if !needs_all => None,
            (Ruling::Open | Ruling::Holds, Some(doubt)) => Some(doubt),
            (Ruling::Open, None) => {
                report.why = Some(format!("{} of at most {} trials do not decide it", tally.trials, rule.most()));
                Some(Verdict::Undecided(stopped))
            }
        };
        report.held = match (ruling, verdict) {
            (Ruling::Fails | Ruling::Suspect, _) => Some(false),
            (_, None) => Some(true),
            (_, Some(_)) => None,
        };
        Some((report, verdict))
    }
}

/// What a reader must see first: a failure, then what could not be decided.
fn rank(held: Option<bool>) -> u8 {
    match held {
        Some(true) => 0,
        None => 1,
        Some(false) => 2,
    }
}

/// A test that is unknown for want of a required field is a regression of the telemetry, not a doubt.
fn blind_for_missing_field(verdict: Verdict, test: &TestReport, missing: &[String]) -> Verdict {
    let wanted = test.why.as_deref().unwrap_or_default();
    let required = verdict == Verdict::Undecided(Doubt::Blind) && missing.iter().any(|field| wanted.contains(&format!("`{field}`")));
    if required { Verdict::Regressed(Regression::MissingTelemetry) } else { verdict }
}
