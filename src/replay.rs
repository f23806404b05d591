//! A replay: a case run on a target, and what was observed.

mod acceptance;
mod application;
mod cause;
mod conversation;
mod interrupt;
mod notes;
mod schedule;
mod traces;

use crate::assessment::{Examiner, Source, Standard};
use crate::case::Case;
use crate::client::{Client, Spent};
use crate::disk::{Destination, Root, Writing};
use crate::fault::{Fault, Faults};
use crate::grading::Graders;
use crate::project::{Project, Target, TargetKind};
use crate::recording::{Answers, Borrowed, Header, Matcher, Mode};
use crate::redact::Redactor;
use crate::runbook;
use crate::verdict::{CaseReport, Doubt, Outcome};
use crate::wire::Exchange;
use acceptance::Acceptance;
use interrupt::Interrupt;
use notes::Notes;
use schedule::Crew;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What every replay of one run shares.
#[derive(Debug, Clone, Copy)]
pub struct Stage<'a> {
    /// The repository.
    pub root: &'a Root,
    /// The project.
    pub project: &'a Project,
    /// The redactor that recordings were written with.
    pub redactor: &'a Redactor,
    /// What candidates are held against.
    pub standard: Standard<'a>,
    /// Who grades answers that no rule can decide.
    pub graders: &'a Graders<'a>,
    /// What says where to look first when a case fails.
    pub runbook: &'a runbook::Loaded,
    /// Where answers come from.
    pub mode: Mode,
    /// Who asks providers; none in a replay, which opens no socket.
    pub client: Option<&'a Client>,
    /// Where new recordings go.
    pub destination: Destination<'a>,
    /// How often a case is run live on a target, where a person says so.
    pub trials: Option<u32>,
    /// For a replay in which something is restored from what worked: recordings that may answer it besides its own. Nothing
    /// is accepted or diagnosed then.
    pub swap: Option<&'a [Borrowed]>,
}

impl Stage<'_> {
    fn answers(self, Assignment { case, target }: Assignment<'_>) -> Result<Answers, Faults> {
        let matcher = Matcher { matching: &self.project.matching, redactor: self.redactor };
        let answers = Answers::open(self.root, case, &target.name, matcher, self.mode)?;
        match self.swap {
            Some(borrowed) => answers.for_swap(borrowed),
            None => Ok(answers),
        }
    }
}

/// How a conversation of a case on a prompt target begins.
#[derive(Debug)]
pub struct Opened {
    /// The first request, not answered yet.
    pub asked: Exchange,
    /// The templates of the prompt's messages, each with its role.
    pub layout: Vec<(String, String)>,
    /// Whether the templates use the case's passages.
    pub uses_documents: bool,
    /// Whether the templates place the question or the conversation themselves.
    pub takes_input: bool,
}

/// Begins a conversation without asking anything.
///
/// # Errors
/// A target that is no prompt target, a prompt that cannot be read or does not render.
pub fn open(stage: Stage<'_>, Assignment { case, target }: Assignment<'_>) -> Result<Opened, Faults> {
    match &target.kind {
        TargetKind::Prompt(prompt) => conversation::Speaker::new(stage, target, prompt)?.opened(case).map_err(Faults::from),
        _ => Err(Fault::new(format!("target `{}` is no prompt target", target.name)).at(target.place.clone()).into()),
    }
}

/// One case on one target.
#[derive(Debug, Clone, Copy)]
pub struct Assignment<'a> {
    /// The case.
    pub case: &'a Case,
    /// The target.
    pub target: &'a Target,
}

/// A target made ready once for all its cases.
enum Ready {
    Prompt(Box<conversation::Speaker>),
    Traces(Box<traces::Pool>),
    Application(application::Runner),
}

/// What ends a trial early.
enum Halt {
    /// Files are wrong.
    Faults(Faults),
    /// Nothing can be said, and why.
    Undecided(Doubt, String),
}

impl<E: Into<Faults>> From<E> for Halt {
    fn from(faults: E) -> Self {
        Self::Faults(faults.into())
    }
}

/// What a case came to on a target.
struct Decided {
    report: CaseReport,
    /// Whether its live answers were written: they are paid for, and what they came to is known either way.
    saved: Result<Writing, Fault>,
}

impl Decided {
    /// The report, with a note of what was not written.
    async fn told(mut self, unsaved: &mut Faults) -> CaseReport {
        let saved = match self.saved {
            Ok(writing) => writing.end().await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = saved {
            self.report.notes.push(format!("its live answers were not recorded: {}", fault.message));
            unsaved.push(fault);
        }
        self.report
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Replayed {
    /// The assignments that were decided, in their order; all of them unless the run was interrupted.
    pub reports: Vec<CaseReport>,
    /// Why live answers were not written; what they came to is reported all the same.
    pub unsaved: Faults,
    /// [`Outcome::Interrupted`] or [`Outcome::Terminated`], if a signal ended the run.
    pub interrupted: Option<Outcome>,
}

/// Replays every assignment, as many at once as the project allows, and keeps their order.
///
/// # Errors
/// What is wrong with targets, prompts, recordings or cases, all in one go: then nothing is decided.
pub fn replay(stage: Stage<'_>, assignments: &[Assignment<'_>]) -> Result<Replayed, Faults> {
    let is_program = |target: &Target| matches!(target.kind, TargetKind::Application(_) | TargetKind::Service(_));
    let crew = if assignments.iter().any(|assignment| is_program(assignment.target)) { Crew::together()? } else { Crew::apart()? };
    let (ready, interrupt) = crew.block_on(async { Ok::<_, Faults>((prepare_all(stage, assignments).await?, Interrupt::listen()?)) })?;
    let width = usize::try_from(stage.project.concurrency).unwrap_or(1);
    let results = schedule::each(
        &crew,
        assignments,
        width,
        || interrupt.wait(),
        |assignment| {
            let (ready, assignment) = (ready.get(assignment.target.name.as_str()), *assignment);
            async move {
                match ready {
                    Some(ready) => run(stage, ready, assignment).await,
                    None => Ok(None),
                }
            }
        },
    );
    crew.block_on(close_all(&ready));
    let (mut faults, mut unsaved, mut reports) = (Faults::new(), Faults::new(), Vec::with_capacity(results.len()));
    for decided in results.into_iter().filter_map(|result| faults.take(result).flatten()) {
        reports.push(crew.block_on(decided.told(&mut unsaved)));
    }
    faults.into_result(Replayed { reports, unsaved, interrupted: interrupt.outcome() })
}

async fn prepare_all<'a>(stage: Stage<'_>, assignments: &[Assignment<'a>]) -> Result<BTreeMap<&'a str, Ready>, Faults> {
    let (mut faults, mut ready) = (Faults::new(), BTreeMap::new());
    let targets: BTreeMap<&str, &Target> =
        assignments.iter().map(|assignment| (assignment.target.name.as_str(), assignment.target)).collect();
    for (name, target) in targets {
        ready.extend(faults.take(prepare(stage, target).await).map(|made| (name, made)));
    }
    faults.into_result(ready)
}

/// Ends what was started for all cases.
async fn close_all(ready: &BTreeMap<&str, Ready>) {
    for ready in ready.values() {
        if let Ready::Application(runner) = ready {
            runner.close().await;
        }
    }
}

async fn prepare(stage: Stage<'_>, target: &Target) -> Result<Ready, Faults> {
    match &target.kind {
        TargetKind::Prompt(prompt) => Ok(Ready::Prompt(Box::new(conversation::Speaker::new(stage, target, prompt)?))),
        TargetKind::Traces(traces) => Ok(Ready::Traces(Box::new(traces::Pool::read(stage, target, traces)?))),
        TargetKind::Application(command) => Ok(Ready::Application(application::Runner::of_command(target, command).await?)),
        TargetKind::Service(service) => Ok(Ready::Application(application::Runner::of_service(target, service).await?)),
    }
}

/// The report of one assignment; none when nothing in the case applies to the target.
async fn run(stage: Stage<'_>, ready: &Ready, assignment: Assignment<'_>) -> Result<Option<Decided>, Faults> {
    let mut acceptance = Acceptance::load(stage, assignment)?;
    let examiner = Examiner::new(stage.root, assignment.case)?.accepting(acceptance.signals());
    let target = &assignment.target.name;
    let Decided { report, saved } = match ready {
        Ready::Prompt(_) if !examiner.applies_to_prompts() => return Ok(None),
        Ready::Prompt(speaker) => speak(stage, speaker, &examiner, assignment, &mut acceptance).await?,
        Ready::Traces(pool) => {
            let found = pool.of(assignment.case);
            let mut trials = examiner.trials(target, Source::Given(found.len() as u32), stage.standard);
            let mut spent = Spent::default();
            for request in found.iter().copied() {
                let (grades, cost) = stage.graders.grade(&examiner, request).await?;
                spent += cost;
                trials.take(request, &grades);
                acceptance.keep(Cow::Borrowed(request));
            }
            if trials.next().is_some() {
                trials.stop(Doubt::NoTrace, pool.why_undecided(assignment.case, found.len()));
            }
            let mut report = trials.close();
            charge(&mut report, spent);
            Decided { report, saved: Ok(Writing::default()) }
        }
        // On the heap, because every conversation would have to make room for the longest kind.
        Ready::Application(runner) => Box::pin(application::judge(stage, runner, &examiner, assignment, &mut acceptance)).await?,
    };
    if stage.swap.is_some() {
        return Ok(Some(Decided { report, saved }));
    }
    let report = cause::explain(stage, assignment, report, acceptance.seen());
    Ok(Some(Decided { report: acceptance.settle(stage, assignment, report)?, saved }))
}

fn charge(report: &mut CaseReport, spent: Spent) {
    report.cost_usd = crate::request::micro(spent.usd);
    report.live_requests = spent.requests;
}

/// The trials of a prompt target: conversations, recorded or live.
async fn speak(
    stage: Stage<'_>,
    speaker: &conversation::Speaker,
    examiner: &Examiner<'_>,
    assignment: Assignment<'_>,
    acceptance: &mut Acceptance<'_>,
) -> Result<Decided, Faults> {
    let Assignment { case, target } = assignment;
    let mut answers = stage.answers(assignment)?;
    let mut trials = examiner.trials(&target.name, source(stage, &answers), stage.standard);
    let (mut spent, mut notes, mut unrecorded, mut is_complete) = (Spent::default(), Notes::default(), 0, true);
    while let Some(trial) = trials.next() {
        let held = speaker.converse(stage, case, &mut answers, trial).await?;
        if held.spent.requests > 0 {
            trials.draw_from(Source::Live(stage.trials));
        }
        spent += held.spent;
        unrecorded += held.unrecorded;
        held.notes.into_iter().for_each(|note| notes.add(trial, note));
        match held.outcome {
            Ok(request) => {
                let (grades, cost) = stage.graders.grade(examiner, &request).await?;
                spent += cost;
                trials.take(&request, &grades);
                acceptance.keep(Cow::Owned(request));
            }
            Err((doubt, why)) => {
                is_complete = false;
                trials.stop(doubt, if trial > 1 { format!("trial {trial}, {why}") } else { why });
            }
        }
    }
    let unused = answers.unused().filter(|_| is_complete && stage.mode == Mode::Replay);
    let header = Header { case: &case.id, target: &target.name, model: Some(speaker.full_name()), date: &day(stage.standard.now) };
    let saved = answers.save(is_complete, &header, stage.destination);
    let mut report = trials.close();
    charge(&mut report, spent);
    report.notes.extend(notes.told().chain(unused));
    if unrecorded > 0 {
        report.signals.set_number("calls.unrecorded", Some(f64::from(unrecorded)));
        report.next = Some("add the lines above to `tool_results`, then run `relapse compile`".into());
    }
    Ok(Decided { report, saved })
}

/// Where the trials of a case come from, as far as is known before the first: what is recorded has as many as before, and
/// what goes live, as a swap does, as many as the tests ask for.
fn source(stage: Stage<'_>, answers: &Answers) -> Source {
    match (stage.mode, stage.trials) {
        (Mode::Record, trials) if stage.swap.is_some() => Source::Live(trials),
        (Mode::Replay, _) | (Mode::Record, None) => Source::Recorded(answers.trials()),
        (Mode::Record, trials) | (Mode::Refresh, trials) => Source::Live(trials),
    }
}

/// A moment's day in UTC, `YYYY-MM-DD`.
fn day(now: i64) -> String {
    chrono::DateTime::from_timestamp(now, 0).map(|time| time.format("%Y-%m-%d").to_string()).unwrap_or_default()
}
