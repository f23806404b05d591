//! `relapse run`: cases on targets, a verdict for each.

use super::print::Terminal;
use super::publish::{Reports, publish};
use crate::assessment::Standard;
use crate::case::Case;
use crate::compile;
use crate::disk::{Destination, Root};
use crate::fault::{Fault, Faults, suggest};
use crate::project::{Project, Target, TargetKind};
use crate::recording;
use crate::redact::Redactor;
use crate::replay::{self, Assignment, Stage};
use crate::snapshot;
use crate::suite::Suite;
use crate::verdict::{Outcome, Summary};
use std::time::{SystemTime, UNIX_EPOCH};

/// Replay cases on targets and fail on a regression or missing telemetry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relapse run                                   every case on every target, offline
  relapse run empty-retrieval --verbose         one case, every test with its values
  relapse run --target last-winter              the incidents' own configuration: exit 1
  relapse run --prove                           exit 0 only if every incident is caught
  relapse run --report junit=out.xml --report json=out.json")]
pub(super) struct Args {
    /// Cases to run [default: all]
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Targets to run on [default: those of the postmortem, else all but `expect: regressed`]
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// Only cases of this failure class
    #[arg(long, value_name = "CLASS")]
    class: Vec<String>,
    /// Where answers come from
    #[arg(long, value_enum, default_value_t = Mode::Replay)]
    mode: Mode,
    /// Run the targets with `expect: regressed`, and exit 0 only if every case regresses on them
    #[arg(long)]
    prove: bool,
    /// Accept the behaviour of cases that have no snapshot yet
    #[arg(long)]
    accept_new: bool,
    #[command(flatten)]
    publish: Reports,
}

/// Where answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// From recordings; no socket is opened
    Replay,
}

pub(super) fn run(root: &Root, args: &Args, terminal: Terminal) -> Result<Outcome, Faults> {
    let mode = match args.mode {
        Mode::Replay => recording::Mode::Replay,
    };
    let requests = args.publish.requests()?;
    let project = Project::load(root)?;
    let mapping = compile::mapping(&project)?;
    let suite = Suite::load(root, compile::telemetry_digest(&project).as_deref())?;
    let assignments = select(&suite, &project, args)?;
    let redactor = Redactor::default();
    let standard = Standard { telemetry: &project.telemetry, mapping: &mapping, now: now(), rate_tests: suite.rate_tests() };
    let stage = Stage { root, project: &project, redactor: &redactor, standard, mode, egress: None, trials: None };
    let mut reports = replay::replay(stage, &assignments)?;
    let destination = destination(root, args);
    if args.accept_new {
        snapshot::accept_new(root, &mut reports)?;
    }
    snapshot::put_pending(&reports, destination)?;
    let mut summary = Summary::of(reports, args.prove, notes(&project, &suite, &assignments, args));
    summary = summary.compared(&comparable(&project, args)).redacted(&redactor);
    summary.notes.extend(unkept(&summary, destination));
    Ok(publish(summary, &requests, &args.publish, (root, terminal)))
}

/// With `CI=true` the tree is not written.
fn destination<'a>(root: &'a Root, args: &'a Args) -> Destination<'a> {
    let is_ci = std::env::var("CI").is_ok_and(|value| matches!(value.as_str(), "true" | "1"));
    match (&args.publish.report_dir, is_ci) {
        (_, false) => Destination::Tree(root),
        (Some(directory), true) => Destination::Folder(directory),
        (None, true) => Destination::Nowhere,
    }
}

/// That what a person should review was not kept.
fn unkept(summary: &Summary, destination: Destination<'_>) -> Option<String> {
    let lost = summary.cases.iter().any(|case| case.snapshot.is_some()) && !destination.keeps();
    lost.then(|| "CI=true: pending snapshots were not written; keep them with --report-dir DIR".into())
}

/// Cases times targets; an unknown name is a mistake, an empty selection is not.
fn select<'a>(suite: &'a Suite, project: &'a Project, args: &'a Args) -> Result<Vec<Assignment<'a>>, Faults> {
    let mut faults = Faults::new();
    for name in &args.target {
        if project.target(name).is_none() {
            let known: Vec<&str> = project.targets.iter().map(|target| target.name.as_str()).collect();
            faults.push(Fault::new(format!("no target `{name}` in relapse.yaml")).help(suggest(name, known)));
        }
    }
    let classes: Vec<&str> = suite.cases.iter().map(|case| case.class.as_str()).collect();
    for class in args.class.iter().filter(|class| !suite.cases.is_empty() && !classes.contains(&class.as_str())) {
        faults.push(Fault::new(format!("no case is of class `{class}`")).help(suggest(class, classes.iter().copied())));
    }
    let cases = faults.take(suite.select(&args.ids)).unwrap_or_default();
    let chosen = cases.into_iter().filter(|case| args.class.is_empty() || args.class.contains(&case.class));
    let assignments = chosen.flat_map(|case| targets(case, project, args).map(move |target| Assignment { case, target })).collect();
    faults.into_result(assignments)
}

/// The targets of one case: `--target`, else the postmortem's, else all; a proof takes those that must regress.
fn targets<'a>(case: &'a Case, project: &'a Project, args: &'a Args) -> impl Iterator<Item = &'a Target> {
    project.targets.iter().filter(move |target| {
        let of_case = case.targets.is_empty() || case.targets.contains(&target.name);
        match (args.target.is_empty(), args.prove) {
            (false, prove) => args.target.contains(&target.name) && (!prove || target.expect_regressed),
            (true, true) => of_case && target.expect_regressed,
            (true, false) => of_case && !target.expect_regressed,
        }
    })
}

/// The prompt targets of a run, in the order of `--target`, else of relapse.yaml: the first is what the others are compared
/// with. An application's telemetry says other things than a conversation, so only like is compared with like.
fn comparable<'a>(project: &'a Project, args: &'a Args) -> Vec<&'a str> {
    let is_prompt = |target: &&Target| matches!(target.kind, TargetKind::Prompt(_));
    let prompts = project.targets.iter().filter(is_prompt).map(|target| target.name.as_str());
    let mut names: Vec<&str> = prompts.collect();
    names.sort_by_key(|name| args.target.iter().position(|wanted| wanted == name));
    names
}

fn notes(project: &Project, suite: &Suite, assignments: &[Assignment<'_>], args: &Args) -> Vec<String> {
    let mut notes: Vec<String> = project
        .telemetry
        .waive
        .iter()
        .map(|waiver| {
            let until = waiver.until.map(|until| format!(" until {until}")).unwrap_or_default();
            let ended = if waiver.until.is_some_and(|until| until.is_past(now())) { ", which is over" } else { "" };
            format!("waived{until}{ended}: {} ({})", waiver.field.value, waiver.why)
        })
        .collect();
    if suite.cases.is_empty() {
        notes.push("no cases: write a postmortem with `relapse new`, then run `relapse compile`".into());
    } else if assignments.is_empty() {
        notes.push(format!("none of the {} cases and {} targets is selected", suite.cases.len(), project.targets.len()));
    }
    if args.prove && args.ids.is_empty() && args.class.is_empty() {
        let unproved = suite.cases.iter().filter(|case| !assignments.iter().any(|assignment| assignment.case.id == case.id));
        notes.extend(unproved.map(|case| format!("{}: no target with `expect: regressed` runs it", case.id)));
    }
    notes
}

/// Seconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
