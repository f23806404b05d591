//! `relapse run`: cases on targets, a verdict for each.

use super::live;
use super::print::Terminal;
use super::publish::{Reports, publish, stories};
use super::selection::{Selection, Wanted};
use crate::assessment::Standard;
use crate::case::Case;
use crate::client::Client;
use crate::compile;
use crate::disk::{Destination, Root};
use crate::fault::{Fault, Faults};
use crate::project::Project;
use crate::recording;
use crate::replay::{self, Replayed, Stage};
use crate::runbook::Runbook;
use crate::snapshot;
use crate::suite::Suite;
use crate::verdict::{Outcome, Summary};
use std::mem::ManuallyDrop;

/// Replay cases on targets and fail on a regression or missing telemetry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relapse run                                   every case on every target, offline
  relapse run empty-retrieval --verbose         one case, every test with its values
  relapse run --target last-winter              the incidents' own configuration: exit 1
  relapse run --prove                           exit 0 only if every incident is caught
  relapse run --mode record --budget-usd 1      ask the model for what is not recorded
  relapse run --report junit=out.xml --report json=out.json")]
pub(super) struct Args {
    #[command(flatten)]
    wanted: Wanted,
    /// Where answers come from: replay (recordings only), record (recordings, and live where they have none; what was live is
    /// written) or refresh (live, and written anew)
    #[arg(long, value_enum, default_value_t = Mode::Replay, hide_possible_values = true)]
    mode: Mode,
    /// Runs of each case where answers are live [default: what its tests ask for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    trials: Option<u32>,
    /// Spend no more than this on live requests [default: `budget.usd`]
    #[arg(long, value_name = "USD", value_parser = dollars)]
    budget_usd: Option<f64>,
    /// Let requests and keys go to this host, too; also RELAPSE_ALLOW_HOSTS
    #[arg(long, value_name = "HOST[:PORT]")]
    allow_host: Vec<String>,
    /// Accept the behaviour of cases that have no snapshot yet
    #[arg(long)]
    accept_new: bool,
    #[command(flatten)]
    publish: Reports,
}

/// Where answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// From recordings; no connection but to this machine
    Replay,
    /// From recordings, and live where they have none; what was live is written
    Record,
    /// Live, and written anew
    Refresh,
}

pub(super) fn dollars(text: &str) -> Result<f64, String> {
    let dollars: f64 = text.trim_start_matches('$').parse().map_err(|_| "expected a number".to_string())?;
    if dollars.is_finite() && dollars >= 0.0 { Ok(dollars) } else { Err("expected a sum from 0".into()) }
}

pub(super) fn run(root: &Root, args: &Args, terminal: Terminal) -> Result<Outcome, Faults> {
    let requests = args.publish.requests()?;
    let project = Project::load(root)?;
    let mapping = compile::mapping(&project)?;
    // The process ends with the run: taking thousands of cases apart piece by piece would only make it end later.
    let suite = ManuallyDrop::new(Suite::load(root, compile::telemetry_digest(&project).as_deref())?);
    let Selection { assignments, part, is_unaffected, notes } = args.wanted.select(root, &suite, &project)?;
    let redactor = live::redactor(&project, args.mode != Mode::Replay)?;
    let client = client(&project, args)?;
    let standard = Standard { telemetry: &project.telemetry, mapping: &mapping, now: live::now(), rate_tests: suite.rate_tests() };
    let runbook = Runbook::load(root)?;
    let destination = destination(root, args)?;
    // Until the process ends: what is read from recordings is what is written over.
    let _lock = client.as_ref().map(|_| destination.lock()).transpose()?;
    let cases: Vec<&Case> = assignments.iter().map(|assignment| assignment.case).collect();
    let graders = live::graders(root, &project, &cases, (&redactor, client.as_ref(), args.mode == Mode::Refresh))?;
    let stage = Stage {
        root,
        project: &project,
        redactor: &redactor,
        standard,
        graders: &graders,
        runbook: &runbook,
        mode: match args.mode {
            Mode::Replay => recording::Mode::Replay,
            Mode::Record => recording::Mode::Record,
            Mode::Refresh => recording::Mode::Refresh,
        },
        client: client.as_ref(),
        destination,
        trials: args.trials,
        swap: None,
    };
    let Replayed { mut reports, mut unsaved, interrupted } = replay::replay(stage, &assignments)?;
    unsaved.take(graders.save(destination));
    if args.accept_new {
        unsaved.take(snapshot::accept_new(root, &mut reports));
    }
    unsaved.take(snapshot::put_pending(&reports, destination));
    let notes = waivers(&project).into_iter().chain(notes).collect();
    let stories = stories((root, &mapping), &requests, &reports)?;
    let mut summary = Summary { part, stories, ..Summary::of(reports, args.wanted.prove, notes) };
    if is_unaffected {
        summary.outcome = Outcome::NotAffected;
    }
    summary = interrupted.into_iter().fold(summary, Summary::worsened);
    summary = summary.compared(&args.wanted.comparable(&project)).redacted(&redactor);
    summary.notes.extend(unkept(&summary, destination));
    if !unsaved.is_empty() {
        summary = summary.worsened(Outcome::Unreported);
        terminal.faults(&unsaved, Some(root));
    }
    Ok(publish(summary, &requests, &args.publish, (root, terminal)))
}

/// With `CI=true` the tree is not written, and answers that were paid for are not thrown away.
fn destination<'a>(root: &'a Root, args: &'a Args) -> Result<Destination<'a>, Fault> {
    match (&args.publish.report_dir, live::is_ci()) {
        (_, false) => Ok(Destination::Tree(root)),
        (Some(directory), true) => Ok(Destination::Folder(directory)),
        (None, true) if args.mode == Mode::Record => {
            let fault = Fault::new("CI=true: a recording would change the repository, which is not done in CI");
            Err(fault.help("give --report-dir DIR, and bring the recordings home with `relapse review --from DIR`"))
        }
        (None, true) => Ok(Destination::Nowhere),
    }
}

/// That what a person should review was not kept.
fn unkept(summary: &Summary, destination: Destination<'_>) -> Option<String> {
    let lost = summary.cases.iter().any(|case| case.snapshot.is_some()) && !destination.keeps();
    lost.then(|| "CI=true: pending snapshots were not written; keep them with --report-dir DIR".into())
}

/// Who asks providers; nobody in a replay.
fn client(project: &Project, args: &Args) -> Result<Option<Client>, Faults> {
    let hosts = live::hosts(&args.allow_host)?;
    (args.mode != Mode::Replay).then(|| live::client(project, hosts, args.budget_usd)).transpose()
}

/// Every waiver is told in every report.
fn waivers(project: &Project) -> Vec<String> {
    let told = project.telemetry.waive.iter().map(|waiver| {
        let until = waiver.until.map(|until| format!(" until {until}")).unwrap_or_default();
        let ended = if waiver.until.is_some_and(|until| until.is_past(live::now())) { ", which is over" } else { "" };
        format!("waived{until}{ended}: {} ({})", waiver.field.value, waiver.why)
    });
    told.collect()
}
