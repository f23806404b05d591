//! A replay: a case run on a target, and what was observed.

mod conversation;
mod traces;

use crate::assessment::{Examiner, Standard};
use crate::case::Case;
use crate::disk::Root;
use crate::fault::{Fault, Faults};
use crate::project::{Project, Target, TargetKind};
use crate::recording::Matcher;
use crate::redact::Redactor;
use crate::verdict::{CaseReport, Doubt};
use std::sync::Arc;

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

/// Replays every assignment on all cores, and keeps their order.
///
/// # Errors
/// What is wrong with targets, prompts, recordings or cases, all in one go: then nothing is decided.
pub fn replay(stage: Stage<'_>, assignments: &[Assignment<'_>]) -> Result<Vec<CaseReport>, Faults> {
    let mut faults = Faults::new();
    let mut ready: Vec<(String, Option<Arc<Ready>>)> = Vec::new();
    for assignment in assignments {
        if !ready.iter().any(|(name, _)| *name == assignment.target.name) {
            let made = faults.take(prepare(stage, assignment.target)).map(Arc::new);
            ready.push((assignment.target.name.clone(), made));
        }
    }
    if !faults.is_empty() {
        return Err(faults.into_result(()).err().unwrap_or_default());
    }
    let of = |target: &str| ready.iter().find(|(name, _)| name == target).and_then(|(_, made)| made.as_deref());
    let results = crate::suite::each_on_all_cores(assignments, |assignment| match of(&assignment.target.name) {
        Some(made) => run(stage, made, *assignment),
        None => Ok(None),
    });
    let reports = results.into_iter().filter_map(|result| faults.take(result).flatten()).collect();
    faults.into_result(reports)
}

fn prepare(stage: Stage<'_>, target: &Target) -> Result<Ready, Faults> {
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
fn run(stage: Stage<'_>, ready: &Ready, assignment: Assignment<'_>) -> Result<Option<CaseReport>, Faults> {
    let examiner = Examiner::new(stage.root, assignment.case)?;
    let target = &assignment.target.name;
    let now = stage.standard.now;
    let report = match ready {
        Ready::Prompt(_) if !examiner.applies_to_prompts() => return Ok(None),
        Ready::Prompt(speaker) => {
            let matcher = Matcher { matching: &stage.project.matching, redactor: stage.redactor };
            match speaker.converse(stage, assignment, matcher)? {
                Ok(request) => examiner.assess(target, &request, stage.standard),
                Err((doubt, detail)) => examiner.undecided(target, doubt, detail, now),
            }
        }
        Ready::Traces(pool) => {
            let found = pool.of(assignment.case);
            let reports = found.iter().map(|request| examiner.assess(target, request, stage.standard));
            // Several runs of one case: the worst of them counts.
            match reports.max_by_key(|report| report.verdict) {
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
