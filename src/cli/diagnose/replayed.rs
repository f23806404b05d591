//! Diagnosing what a case does on a target, and confirming it by swaps.

use super::{Args, Mode, no_baseline, print};
use crate::assessment::Standard;
use crate::case::Case;
use crate::cli::live;
use crate::cli::print::Terminal;
use crate::cli::publish::stories;
use crate::compile;
use crate::confirmation::{self, Confirmation, Good};
use crate::diagnosis::Effect;
use crate::disk::{Destination, Root};
use crate::fault::{Fault, Faults, suggest};
use crate::project::{Project, Target};
use crate::recording;
use crate::replay::{self, Assignment, Replayed, Stage};
use crate::report;
use crate::runbook::Runbook;
use crate::suite::Suite;
use crate::verdict::{CaseReport, Outcome, Summary, Verdict};

/// Diagnoses a case on its target, or on the first of its targets on which it fails.
pub(super) fn diagnose(root: &Root, id: &str, args: &Args, terminal: Terminal) -> Result<Outcome, Faults> {
    let project = Project::load(root)?;
    let mapping = compile::mapping(&project)?;
    let suite = Suite::load(root, compile::telemetry_digest(&project).as_deref())?;
    let case = super::case(&suite, id)?;
    let is_live = args.mode == Mode::Record;
    let redactor = live::redactor(&project, is_live)?;
    let client = is_live.then(|| live::client(&project, live::hosts(&args.allow_host)?, args.budget_usd)).transpose()?;
    let runbook = Runbook::load(root)?;
    let destination = destination(root, args)?;
    // Until the process ends: what is read from recordings is what is written over.
    let _lock = client.as_ref().map(|_| destination.lock()).transpose()?;
    let graders = live::graders(root, &project, &[case], (&redactor, client.as_ref(), false))?;
    let stage = Stage {
        root,
        project: &project,
        redactor: &redactor,
        standard: Standard { telemetry: &project.telemetry, mapping: &mapping, now: live::now(), rate_tests: suite.rate_tests() },
        graders: &graders,
        runbook: &runbook,
        mode: if is_live { recording::Mode::Record } else { recording::Mode::Replay },
        client: client.as_ref(),
        destination,
        trials: args.trials,
        swap: None,
    };
    on_stage(stage, case, args, terminal)
}

fn on_stage(stage: Stage<'_>, case: &Case, args: &Args, terminal: Terminal) -> Result<Outcome, Faults> {
    let requests = report::Request::parse_all(args.report.iter().map(String::as_str))?;
    let targets = targets(stage.project, case, args.target.as_deref())?;
    let (mut failing, assignment) = match first_failing(stage, case, &targets)? {
        Found::Failing(report, assignment) => (*report, assignment),
        Found::None(reports) => return Ok(tell_that_none_fails(&reports, terminal)),
        Found::Interrupted(outcome) => return Ok(outcome),
    };
    let (mut unsaved, mut outcome) = (Faults::new(), Outcome::Passed);
    if args.confirm {
        outcome = confirm(stage, assignment, args, (&mut failing, &mut unsaved))?;
    }
    unsaved.take(stage.graders.save(stage.destination));
    let stories = stories((stage.root, stage.standard.mapping), &requests, std::slice::from_ref(&failing))?;
    let summary = Summary { stories, ..Summary::of(vec![failing], false, Vec::new()) }.redacted(stage.redactor);
    unsaved.take(report::write_all(&summary, &requests));
    let diagnosis = summary.cases.first().and_then(|report| report.diagnosis.as_ref()).ok_or_else(|| no_baseline(&case.id))?;
    print(diagnosis, args.format, terminal);
    if !unsaved.is_empty() {
        terminal.faults(&unsaved, Some(stage.root));
        outcome = outcome.worst(Outcome::Unreported);
    }
    Ok(outcome)
}

/// What replays of a case on its targets found.
enum Found<'a> {
    Failing(Box<CaseReport>, Assignment<'a>),
    None(Vec<CaseReport>),
    Interrupted(Outcome),
}

/// Replays a case on one target after the other, until it fails on one.
fn first_failing<'a>(stage: Stage<'_>, case: &'a Case, targets: &[&'a Target]) -> Result<Found<'a>, Faults> {
    let mut others = Vec::new();
    for target in targets {
        let assignment = Assignment { case, target };
        let Replayed { reports, unsaved, interrupted } = replay::replay(stage, &[assignment])?;
        unsaved.into_result(())?;
        if let Some(outcome) = interrupted {
            return Ok(Found::Interrupted(outcome));
        }
        for report in reports {
            if matches!(report.verdict, Verdict::Regressed(_)) {
                return Ok(Found::Failing(Box::new(report), assignment));
            }
            others.push(report);
        }
    }
    Ok(Found::None(others))
}

/// Runs the swaps, and takes what they showed into the report's diagnosis.
fn confirm(
    stage: Stage<'_>,
    assignment: Assignment<'_>,
    args: &Args,
    (failing, unsaved): (&mut CaseReport, &mut Faults),
) -> Result<Outcome, Faults> {
    let good = match &args.good {
        None => Good::Evidence,
        Some(name) => stage.project.target(name).map_or(Good::Revision(name), Good::Target),
    };
    let confirmation = confirmation::confirm(stage, assignment, good, failing)?;
    failing.cost_usd += confirmation.cost_usd;
    failing.live_requests += confirmation.live_requests;
    let outcome = outcome_of(&confirmation);
    unsaved.extend(confirmation.unsaved);
    let diagnosis = failing.diagnosis.as_mut().ok_or_else(|| no_baseline(&assignment.case.id))?;
    stage.runbook.confirm(diagnosis, confirmation.swaps);
    Ok(outcome)
}

/// A question that no swap answered, because some could not be decided, is never answered with 0.
fn outcome_of(confirmation: &Confirmation) -> Outcome {
    let has_flipped = confirmation.swaps.iter().any(|swap| swap.effect == Effect::Flipped);
    match (confirmation.interrupted, confirmation.doubt) {
        (Some(outcome), _) => outcome,
        (None, Some(doubt)) if !has_flipped => doubt.outcome(),
        (None, _) => Outcome::Passed,
    }
}

/// The named target, else those that a run would take for the case.
fn targets<'a>(project: &'a Project, case: &Case, name: Option<&str>) -> Result<Vec<&'a Target>, Faults> {
    let Some(name) = name else {
        let of_case = |target: &&Target| case.targets.is_empty() || case.targets.contains(&target.name);
        return Ok(project.targets.iter().filter(of_case).filter(|target| !target.expect_regressed).collect());
    };
    let target = project.target(name).ok_or_else(|| {
        let known = project.targets.iter().map(|target| target.name.as_str());
        Fault::new(format!("no target `{name}` in relapse.yaml")).help(suggest(name, known))
    })?;
    Ok(vec![target])
}

/// What is undecided does not fail, and is not fine either.
fn tell_that_none_fails(reports: &[CaseReport], terminal: Terminal) -> Outcome {
    if reports.is_empty() {
        terminal.line("nothing in the case applies to a target, so there is nothing to diagnose");
        return Outcome::NothingRan;
    }
    let mut outcome = Outcome::Passed;
    for report in reports {
        match report.verdict {
            Verdict::Undecided(doubt) => {
                let why = report.detail.as_deref().unwrap_or("nothing can be said");
                terminal.line(&format!(
                    "{} [{}] is undecided ({}): {why}",
                    report.id,
                    report.target,
                    report.verdict.reason().unwrap_or_default()
                ));
                outcome = outcome.worst(doubt.outcome());
            }
            _ => terminal.line(&format!("{} does not fail on {}, so there is nothing to diagnose", report.id, report.target)),
        }
    }
    outcome
}

/// Where recordings of swaps go; with `CI=true` the tree is not written.
fn destination<'a>(root: &'a Root, args: &Args) -> Result<Destination<'a>, Fault> {
    if !live::is_ci() {
        return Ok(Destination::Tree(root));
    }
    if args.mode == Mode::Record {
        let fault = Fault::new("CI=true: a recording would change the repository, which is not done in CI");
        return Err(fault.help("confirm on your machine, and commit the recordings"));
    }
    Ok(Destination::Nowhere)
}
