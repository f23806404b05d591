//! `relapse compile`: postmortems to cases, with the proof table.

mod record;

use super::live;
use super::print::Terminal;
use crate::canonical;
use crate::case::{Case, Proof};
use crate::compile::{self, Compilation, Standards};
use crate::disk::{Lock, Root};
use crate::fault::{Fault, Faults, suggest};
use crate::limit;
use crate::postmortem::{self, Postmortem, Status};
use crate::project::Project;
use crate::runbook::Runbook;
use crate::suite::each_on_all_cores;
use crate::verdict::Outcome;
use camino::Utf8PathBuf;

/// Compile postmortems into cases, and prove that each would have caught its incident
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relapse compile                  all postmortems
  relapse compile empty-retrieval  one of them
  relapse compile --record         ask judges about the evidence, and keep what they say
  relapse compile --check          in CI: write nothing, fail if a case is not what its postmortem says")]
pub(super) struct Args {
    /// Postmortems to compile [default: all]
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Write nothing; fail if a case is not what its postmortem says
    #[arg(long)]
    check: bool,
    /// Ask the graders of tests what is not recorded yet about the evidence, and keep their answers
    #[arg(long, conflicts_with = "check")]
    record: bool,
    /// With --record: spend no more than this, in US dollars [default: `budget.usd`]
    #[arg(long, value_name = "USD", requires = "record", value_parser = super::run::dollars)]
    budget_usd: Option<f64>,
    /// With --record: let requests and keys go to this host, too; also RELAPSE_ALLOW_HOSTS
    #[arg(long, value_name = "HOST[:PORT]", requires = "record")]
    allow_host: Vec<String>,
    /// Print every claim, not only what is not proved
    #[arg(long, short)]
    verbose: bool,
}

pub(super) fn compile(root: &Root, args: &Args, terminal: Terminal) -> Result<Outcome, Faults> {
    let mut faults = Faults::new();
    let project = faults.take(Project::load(root));
    let postmortems = faults.take(postmortem::load_all(root));
    let (Some(project), Some(postmortems)) = (project, postmortems) else { return Err(faults.into_result(()).err().unwrap_or_default()) };
    let mapping = compile::mapping(&project)?;
    let runbook = Runbook::load(root)?;
    let standards = Standards { project: &project, mapping: &mapping, runbook: &runbook };
    let chosen = choose(&postmortems, &args.ids)?;
    if chosen.is_empty() {
        terminal.line("no postmortems; write one with `relapse new`");
        return Ok(Outcome::NothingRan);
    }
    let active: Vec<&Postmortem> = chosen.iter().copied().filter(|postmortem| postmortem.status != Status::Withdrawn).collect();
    if args.record {
        let _lock = Lock::take(root.path())?;
        let (redactor, client) =
            (live::redactor(&project, true)?, live::client(&project, live::hosts(&args.allow_host)?, args.budget_usd)?);
        let spent = record::record(root, &project, &mapping, &active, (&client, &redactor))?;
        terminal.line(&format!("asked graders {} times, {:.4} USD", spent.requests, spent.usd));
    }
    let results = each_on_all_cores(&active, |postmortem| compile::compile(root, standards, postmortem));
    let compiled: Vec<Compilation> = results.into_iter().filter_map(|result| faults.take(result)).collect();
    if args.check && args.ids.is_empty() {
        orphans(root, &postmortems, &mut faults);
    }
    if !faults.is_empty() {
        return Err(faults.into_result(()).err().unwrap_or_default());
    }
    for compilation in &compiled {
        show(compilation, args.verbose, terminal);
    }
    if args.check { check(root, &compiled) } else { write(root, &chosen, &compiled, terminal) }
}

fn choose<'a>(postmortems: &'a [Postmortem], ids: &[String]) -> Result<Vec<&'a Postmortem>, Faults> {
    let mut faults = Faults::new();
    for id in ids {
        if !postmortems.iter().any(|postmortem| postmortem.id == *id) {
            let known: Vec<&str> = postmortems.iter().map(|postmortem| postmortem.id.as_str()).collect();
            faults.push(Fault::new(format!("no postmortem `{id}`")).help(suggest(id, known)));
        }
    }
    faults.into_result(postmortems.iter().filter(|postmortem| ids.is_empty() || ids.contains(&postmortem.id)).collect())
}

fn show(compilation: &Compilation, verbose: bool, terminal: Terminal) {
    let count = |proof: Proof| compilation.claims.iter().filter(|claim| claim.proof == proof).count();
    let parts: Vec<String> = [Proof::Proved, Proof::Blind, Proof::Unproved]
        .into_iter()
        .filter(|proof| count(*proof) > 0)
        .map(|proof| format!("{} {}", count(proof), proof.word()))
        .collect();
    terminal.line(&format!("{}: {}", compilation.case.id, parts.join(", ")));
    for claim in compilation.claims.iter().filter(|claim| verbose || claim.proof != Proof::Proved) {
        terminal.line(&format!("  {:<6} {:<28} {:<9} {}", claim.kind, claim.name, claim.proof.word(), claim.detail));
        if claim.proof != Proof::Proved {
            terminal.line(&format!("         at {}", claim.place));
        }
    }
}

fn path(case: &Case) -> Utf8PathBuf {
    Case::path(&case.id).into()
}

fn check(root: &Root, compiled: &[Compilation]) -> Result<Outcome, Faults> {
    let mut faults = Faults::new();
    for compilation in compiled {
        let path = path(&compilation.case);
        let text = compilation.case.to_text();
        let known =
            if root.exists(&path) { faults.take(root.read_text(&path, limit::YAML_BYTES)).unwrap_or_default() } else { String::new() };
        if canonical::digest(known.as_bytes()) != canonical::digest(text.as_bytes()) {
            let line = 1 + text.lines().zip(known.lines()).take_while(|(one, other)| one == other).count();
            let what = if known.is_empty() {
                "not compiled yet".to_string()
            } else {
                format!("not what its postmortem says, from line {line} on")
            };
            faults.push(Fault::new(what).in_file(path).help("run `relapse compile` and commit the case"));
        }
    }
    faults.into_result(Outcome::Passed)
}

/// Cases that no postmortem compiles to.
fn orphans(root: &Root, postmortems: &[Postmortem], faults: &mut Faults) {
    for entry in root.list("cases".into()).unwrap_or_default() {
        let id = entry.path.file_name().unwrap_or_default();
        if entry.is_directory && root.exists(&entry.path.join("case.yaml")) && !postmortems.iter().any(|postmortem| postmortem.id == id) {
            let fault = Fault::new(format!("no postmortem {} compiles to it", Case::postmortem_path(id)));
            faults.push(fault.in_file(entry.path.join("case.yaml")).help("delete the case, or restore the postmortem"));
        }
    }
}

fn write(root: &Root, chosen: &[&Postmortem], compiled: &[Compilation], terminal: Terminal) -> Result<Outcome, Faults> {
    let mut faults = Faults::new();
    let mut changed = 0;
    for compilation in compiled {
        let written = faults.take(root.write_atomic(&path(&compilation.case), compilation.case.to_text().as_bytes()));
        changed += usize::from(written == Some(true));
    }
    for withdrawn in chosen.iter().filter(|postmortem| postmortem.status == Status::Withdrawn) {
        faults.take(root.remove(&Utf8PathBuf::from(Case::path(&withdrawn.id))));
        terminal.line(&format!("{}: withdrawn", withdrawn.id));
    }
    terminal.line(&format!("{} compiled, {changed} changed", compiled.len()));
    faults.into_result(Outcome::Passed)
}
