//! `relapse diagnose`: where to look first, and with what evidence.

mod replayed;

use super::print::Terminal;
use super::run::dollars;
use crate::case::Case;
use crate::compile;
use crate::contrast::Contrast;
use crate::diagnosis::Diagnosis;
use crate::disk::{self, Root};
use crate::evidence::Evidence;
use crate::fault::{Fault, Faults};
use crate::limit;
use crate::mapping::Mapping;
use crate::project::Project;
use crate::redact::Redactor;
use crate::report::diagnosis;
use crate::request::Request;
use crate::runbook::{self, Runbook};
use crate::suite::Suite;
use crate::verdict::Outcome;
use camino::Utf8PathBuf;

/// Say which causes the evidence supports, in response order, and which it cannot see
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relapse diagnose empty-retrieval                       the incident against its healthy evidence
  relapse diagnose empty-retrieval --target last-winter  what the case does on a target
  relapse diagnose empty-retrieval --confirm             restore one factor at a time, from recordings
  relapse diagnose empty-retrieval --confirm --good main --mode record --budget-usd 1
  relapse diagnose --base good.jsonl --now bad.jsonl     any two recordings
  relapse diagnose --base good.jsonl --now bad.jsonl --base-wire good.http.jsonl --now-wire bad.http.jsonl")]
pub(super) struct Args {
    /// The case
    #[arg(value_name = "ID", required_unless_present_all = ["base", "now"], conflicts_with_all = ["base", "now"])]
    case: Option<String>,
    /// Diagnose what the case does on this target, not the incident [default with --confirm: where it fails]
    #[arg(long, value_name = "NAME", requires = "case")]
    target: Option<String>,
    /// Replay with the previous prompt, the healthy documents, pinned policy verdicts, the previous model, parameters and
    /// tools, and no faults, one at a time, then with as few hunks of the prompt as do; what makes a failing test hold is
    /// confirmed
    #[arg(long, requires = "case")]
    confirm: bool,
    /// What worked: another target, or a git revision [default: the healthy evidence]
    #[arg(long, value_name = "NAME|REV", requires = "confirm")]
    good: Option<String>,
    /// Where answers of swaps come from: replay (recordings only) or record (live where they have none; what was live is
    /// written)
    #[arg(long, value_enum, default_value_t = Mode::Replay, requires = "confirm", hide_possible_values = true)]
    mode: Mode,
    /// Runs of each swap where answers are live [default: what its tests ask for]
    #[arg(long, value_name = "N", requires = "confirm", value_parser = clap::value_parser!(u32).range(1..=1000))]
    trials: Option<u32>,
    /// Spend no more than this on live requests [default: `budget.usd`]
    #[arg(long, value_name = "USD", requires = "confirm", value_parser = dollars)]
    budget_usd: Option<f64>,
    /// Let requests and keys go to this host, too; also RELAPSE_ALLOW_HOSTS
    #[arg(long, value_name = "HOST[:PORT]", requires = "confirm")]
    allow_host: Vec<String>,
    /// Write a report of the case on the target, as in html=out.html; kinds: json, junit, markdown, html
    #[arg(long, value_name = "KIND=FILE", requires = "case")]
    report: Vec<String>,
    /// Telemetry of a healthy request
    #[arg(long, value_name = "FILE")]
    base: Vec<Utf8PathBuf>,
    /// Telemetry of the request in question
    #[arg(long, value_name = "FILE")]
    now: Vec<Utf8PathBuf>,
    /// HTTP exchanges of the healthy request
    #[arg(long, value_name = "FILE", requires = "base")]
    base_wire: Vec<Utf8PathBuf>,
    /// HTTP exchanges of the request in question
    #[arg(long, value_name = "FILE", requires = "now")]
    now_wire: Vec<Utf8PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Where answers of swaps come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// From recordings; no connection but to this machine
    Replay,
    /// From recordings, and live where they have none; what was live is written
    Record,
}

pub(super) fn diagnose(root: Option<&Root>, args: &Args, terminal: Terminal) -> Result<Outcome, Faults> {
    let diagnosis = match (&args.case, root) {
        (Some(id), Some(root)) if args.confirm || args.target.is_some() => return replayed::diagnose(root, id, args, terminal),
        (Some(_), Some(_)) if !args.report.is_empty() => {
            return Err(Fault::new("--report tells of a case on a target").help("add --target NAME, or --confirm").into());
        }
        (Some(id), Some(root)) => of_incident(root, id)?,
        (Some(_), None) => return Err(Fault::new("a case needs a repository, and there is no relapse.yaml here or above").into()),
        (None, root) => of_files(root, args)?,
    };
    print(&diagnosis, args.format, terminal);
    Ok(Outcome::Passed)
}

fn print(diagnosis: &Diagnosis, format: Format, terminal: Terminal) {
    let mut text = Vec::new();
    match format {
        Format::Json => drop(diagnosis::json(diagnosis, &mut text)),
        Format::Text => drop(diagnosis::write(diagnosis, terminal.width(), terminal.colour(), &mut text)),
    }
    terminal.raw(&text);
}

fn of_files(root: Option<&Root>, args: &Args) -> Result<Diagnosis, Faults> {
    let (runbook, mapping) = match root {
        Some(root) => (Runbook::load(root)?, compile::mapping(&Project::load(root)?)?),
        None => (runbook::Loaded::BuiltIn, Mapping::with_aliases(&std::collections::BTreeMap::new())?),
    };
    let base = read(&args.base, &args.base_wire, &mapping)?;
    let now = read(&args.now, &args.now_wire, &mapping)?;
    let mut diagnosis = runbook.diagnose_first(&base, &now).ok_or_else(|| Fault::new("no request is in these files"))?;
    diagnosis.redact(&Redactor::default());
    Ok(diagnosis)
}

fn read(traces: &[Utf8PathBuf], wire: &[Utf8PathBuf], mapping: &Mapping) -> Result<Vec<Request>, Faults> {
    let (mut faults, mut evidence) = (Faults::new(), Evidence::default());
    for file in traces {
        let bytes = disk::read_bytes(file, limit::TRACE_BYTES);
        faults.take(bytes.and_then(|bytes| evidence.take_traces(&bytes, file.as_str())));
    }
    for file in wire {
        if let Some(text) = faults.take(disk::read_text(file, limit::TRACE_BYTES)) {
            faults.take(evidence.take_wire(&text, file.as_str()));
        }
    }
    faults.into_result(())?;
    Ok(evidence.requests(mapping))
}

/// The incident of a case against its healthy evidence.
fn of_incident(root: &Root, id: &str) -> Result<Diagnosis, Faults> {
    let project = Project::load(root)?;
    let mapping = compile::mapping(&project)?;
    let runbook = Runbook::load(root)?;
    let suite = Suite::load(root, compile::telemetry_digest(&project).as_deref())?;
    let case = case(&suite, id)?;
    let (incident, healthy) = compile::evidence(root, &mapping, id)?;
    let contrast = Contrast::new(&healthy, &incident).ok_or_else(|| no_baseline(id))?;
    let mut diagnosis = runbook.diagnose(&contrast, Some(&case.class));
    diagnosis.redact(&Redactor::default());
    Ok(diagnosis)
}

fn case<'a>(suite: &'a Suite, id: &str) -> Result<&'a Case, Faults> {
    let found = suite.select(&[id.to_string()])?;
    found.first().copied().ok_or_else(|| Fault::new(format!("no case `{id}`")).into())
}

fn no_baseline(id: &str) -> Fault {
    Fault::new(format!("postmortems/{id}.md has no healthy evidence to compare with")).help("add `evidence: {healthy: …}`")
}
