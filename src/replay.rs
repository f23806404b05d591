//! A replay: a case run on a target, and what was observed.

mod conversation;
mod schedule;
mod traces;

use crate::assessment::{Examiner, Standard};
use crate::case::Case;
use crate::disk::Root;
use crate::egress::Egress;
use crate::fault::{Fault, Faults};
use crate::project::{Project, Target, TargetKind};
use crate::recording::{Matcher, Mode};
use crate::redact::Redactor;
use crate::request::Request;
use crate::verdict::{CaseReport, Doubt};
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
    /// How often a case is run on a target.
    pub trials: u32,
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

async fn prepare(stage: Stage<'_>, target: &Target) -> Result<Ready, Faults> {
    match &target.kind {
        TargetKind::Prompt(prompt) => Ok(Ready::Prompt(Box::new(conversation::Speaker::new(stage, target, prompt)?))),
        TargetKind::Traces(traces) => Ok(Ready::Traces(Box::new(traces::Pool::read(stage, target, traces)?))),
        TargetKind::Application(_) | TargetKind::Service(_) => {
            let fault = Fault::new(format!("target `{}` starts an application, which this version does not do yet", target.name));
            Err(fault
                .at(target.place.clone())
                .help("name other targets with --target, or use a `traces:` target with what your tests export")
                .into())
        }
    }
}

/// The report of one assignment; none when nothing in the case applies to the target.
async fn run(stage: Stage<'_>, ready: &Ready, assignment: Assignment<'_>) -> Result<Option<CaseReport>, Faults> {
    let examiner = Examiner::new(stage.root, assignment.case)?;
    let target = &assignment.target.name;
    let now = stage.standard.now;
    let report = match ready {
        Ready::Prompt(_) if !examiner.applies_to_prompts() => return Ok(None),
        Ready::Prompt(speaker) => {
            let matcher = Matcher { matching: &stage.project.matching, redactor: stage.redactor };
            let mut trials: Vec<Request> = Vec::new();
            for trial in 1..=stage.trials {
                match speaker.converse(stage, assignment, matcher, trial).await? {
                    Ok(request) => trials.push(request),
                    Err((doubt, detail)) => return Ok(Some(examiner.undecided(target, doubt, detail, now))),
                }
            }
            let no_trial = || examiner.undecided(target, Doubt::NoTrace, "no trial was run".into(), now);
            worst(&examiner, target, &trials, stage).unwrap_or_else(no_trial)
        }
        Ready::Traces(pool) => {
            let found = pool.of(assignment.case);
            match worst(&examiner, target, found.iter().copied(), stage) {
                Some(mut report) => {
                    if found.len() > 1 {
                        report.notes.push(format!("the worst of {} traces of this case", found.len()));
                    }
                    report
                }
                None => examiner.undecided(target, Doubt::NoTrace, pool.why_none(assignment.case), now),
            }
        }
    };
    Ok(Some(report))
}

/// The report of the worst of several runs of one case; none without a run.
fn worst<'r>(examiner: &Examiner<'_>, target: &str, runs: impl IntoIterator<Item = &'r Request>, stage: Stage<'_>) -> Option<CaseReport> {
    let reports = runs.into_iter().map(|request| examiner.assess(target, request, stage.standard));
    reports.max_by_key(|report| report.verdict)
}
