//! A replay: a case run on a target, and what was observed.

mod acceptance;
mod application;
mod conversation;
mod schedule;
mod traces;

use crate::assessment::{Examiner, Source, Standard};
use crate::case::Case;
use crate::disk::Root;
use crate::egress::Egress;
use crate::fault::Faults;
use crate::project::{Project, Target, TargetKind};
use crate::recording::{Answers, Matcher, Mode};
use crate::redact::Redactor;
use crate::verdict::{CaseReport, Doubt};
use acceptance::Acceptance;
use application::Observed;
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
    /// Where answers come from.
    pub mode: Mode,
    /// The door to the network; none in a replay, which opens no socket.
    pub egress: Option<&'a Egress>,
    /// How often a case is run live on a target, where a person says so.
    pub trials: Option<u32>,
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
    Application(Box<application::Launcher>),
    Service(Box<application::Host>),
}

/// Why a trial came to nothing that could be judged.
type Undecided = (Doubt, String);

/// Replays every assignment, as many at once as the project allows, and keeps their order.
///
/// # Errors
/// What is wrong with targets, prompts, recordings or cases, all in one go: then nothing is decided.
pub fn replay(stage: Stage<'_>, assignments: &[Assignment<'_>]) -> Result<Vec<CaseReport>, Faults> {
    let runtime = schedule::runtime()?;
    let ready = runtime.block_on(prepare_all(stage, assignments))?;
    let width = usize::try_from(stage.project.concurrency).unwrap_or(1);
    let results = schedule::each(runtime.handle(), assignments, width, |assignment| {
        let (ready, assignment) = (ready.get(assignment.target.name.as_str()), *assignment);
        async move {
            match ready {
                Some(ready) => run(stage, ready, assignment).await,
                None => Ok(None),
            }
        }
    });
    runtime.block_on(close_all(&ready));
    let mut faults = Faults::new();
    let reports = results.into_iter().filter_map(|result| faults.take(result).flatten()).collect();
    faults.into_result(reports)
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
        if let Ready::Service(host) = ready {
            host.close().await;
        }
    }
}

async fn prepare(stage: Stage<'_>, target: &Target) -> Result<Ready, Faults> {
    match &target.kind {
        TargetKind::Prompt(prompt) => Ok(Ready::Prompt(Box::new(conversation::Speaker::new(stage, target, prompt)?))),
        TargetKind::Traces(traces) => Ok(Ready::Traces(Box::new(traces::Pool::read(stage, target, traces)?))),
        TargetKind::Application(command) => Ok(Ready::Application(Box::new(application::Launcher::new(target, command).await?))),
        TargetKind::Service(service) => Ok(Ready::Service(Box::new(application::Host::new(target, service).await?))),
    }
}

/// The report of one assignment; none when nothing in the case applies to the target.
async fn run(stage: Stage<'_>, ready: &Ready, assignment: Assignment<'_>) -> Result<Option<CaseReport>, Faults> {
    let mut acceptance = Acceptance::load(stage, assignment)?;
    let examiner = Examiner::new(stage.root, assignment.case)?.accepting(acceptance.signals());
    let target = &assignment.target.name;
    let report = match ready {
        Ready::Prompt(_) if !examiner.applies_to_prompts() => return Ok(None),
        Ready::Prompt(speaker) => {
            let matcher = Matcher { matching: &stage.project.matching, redactor: stage.redactor };
            let mut answers = Answers::open(stage.root, assignment.case, target, matcher)?;
            let source = match stage.mode {
                Mode::Replay => Source::Recorded(answers.trials()),
                Mode::Record | Mode::Refresh => Source::Live(stage.trials),
            };
            let mut trials = examiner.trials(target, source, stage.standard);
            while let Some(trial) = trials.next() {
                match speaker.converse(stage, assignment.case, &mut answers, trial).await? {
                    Ok(request) => {
                        acceptance.see(stage, &request);
                        trials.take(&request);
                    }
                    Err((doubt, detail)) if trial > 1 => trials.stop(doubt, format!("trial {trial}, {detail}")),
                    Err((doubt, detail)) => trials.stop(doubt, detail),
                }
            }
            trials.close()
        }
        Ready::Traces(pool) => {
            let found = pool.of(assignment.case);
            let mut trials = examiner.trials(target, Source::Given(found.len() as u32), stage.standard);
            for request in &found {
                acceptance.see(stage, request);
                trials.take(request);
            }
            if trials.next().is_some() {
                trials.stop(Doubt::NoTrace, pool.why_undecided(assignment.case, found.len()));
            }
            trials.close()
        }
        Ready::Application(launcher) => {
            run_program((stage, assignment), &examiner, &mut acceptance, |trial| launcher.run(stage, assignment.case, trial)).await?
        }
        Ready::Service(host) => {
            run_program((stage, assignment), &examiner, &mut acceptance, |trial| host.run(stage, assignment.case, trial)).await?
        }
    };
    Ok(Some(acceptance.settle(assignment, report)))
}

/// The report of a case on a program of the user's: as many runs as its tests need.
async fn run_program<F>(
    (stage, assignment): (Stage<'_>, Assignment<'_>),
    examiner: &Examiner<'_>,
    acceptance: &mut Acceptance,
    run: impl Fn(u32) -> F,
) -> Result<CaseReport, Faults>
where
    F: Future<Output = Result<Result<Observed, Undecided>, Faults>>,
{
    let mut trials = examiner.trials(&assignment.target.name, Source::Recorded(1), stage.standard);
    let mut notes: Vec<String> = Vec::new();
    while let Some(trial) = trials.next() {
        match run(trial).await? {
            Ok(observed) => {
                acceptance.see(stage, &observed.request);
                trials.take(&observed.request);
                let new = observed.notes.into_iter().filter(|note| !notes.contains(note)).collect::<Vec<_>>();
                notes.extend(new);
            }
            Err((doubt, detail)) => trials.stop(doubt, detail),
        }
    }
    let mut report = trials.close();
    report.notes.extend(notes);
    Ok(report)
}
