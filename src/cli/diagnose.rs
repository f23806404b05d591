//! `relapse diagnose`: where to look first, and with what evidence.

use super::print::Terminal;
use crate::assessment::Standard;
use crate::compile;
use crate::contrast::Contrast;
use crate::diagnosis::Diagnosis;
use crate::disk::{self, Destination, Root};
use crate::evidence::Evidence;
use crate::fault::{Fault, Faults, suggest};
use crate::grading::Graders;
use crate::limit;
use crate::mapping::Mapping;
use crate::project::Project;
use crate::recording;
use crate::redact::Redactor;
use crate::replay::{self, Assignment, Stage};
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
  relapse diagnose --base good.jsonl --now bad.jsonl     any two recordings
  relapse diagnose --base good.jsonl --now bad.jsonl --base-wire good.http.jsonl --now-wire bad.http.jsonl")]
pub(super) struct Args {
    /// The case
    #[arg(value_name = "ID", required_unless_present_all = ["base", "now"], conflicts_with_all = ["base", "now"])]
    case: Option<String>,
    /// Diagnose what the case does on this target, not the incident
    #[arg(long, value_name = "NAME", requires = "case")]
    target: Option<String>,
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

pub(super) fn diagnose(root: Option<&Root>, args: &Args, terminal: Terminal) -> Result<Outcome, Faults> {
    let diagnosis = match (&args.case, root) {
        (Some(id), Some(root)) => of_case(root, id, args.target.as_deref())?,
        (Some(_), None) => return Err(Fault::new("a case needs a repository, and there is no relapse.yaml here or above").into()),
        (None, root) => Some(of_files(root, args)?),
    };
    let Some(diagnosis) = diagnosis else {
        terminal.line("the case does not fail on this target, so there is nothing to diagnose");
        return Ok(Outcome::Passed);
    };
    let mut text = Vec::new();
    match args.format {
        Format::Json => drop(diagnosis::json(&diagnosis, &mut text)),
        Format::Text => drop(diagnosis::write(&diagnosis, terminal.width(), terminal.colour(), &mut text)),
    }
    terminal.raw(&text);
    Ok(Outcome::Passed)
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

/// The incident of a case, or what the case does on a target; none where it does not fail there.
fn of_case(root: &Root, id: &str, target: Option<&str>) -> Result<Option<Diagnosis>, Faults> {
    let project = Project::load(root)?;
    let mapping = compile::mapping(&project)?;
    let runbook = Runbook::load(root)?;
    let suite = Suite::load(root, compile::telemetry_digest(&project).as_deref())?;
    let ids = [id.to_string()];
    let case = *suite.select(&ids)?.first().ok_or_else(|| Fault::new(format!("no case `{id}`")))?;
    let redactor = Redactor::default();
    let Some(name) = target else {
        let (incident, healthy) = compile::evidence(root, &mapping, id)?;
        let contrast = Contrast::new(&healthy, &incident).ok_or_else(|| {
            Fault::new(format!("postmortems/{id}.md has no healthy evidence to compare with")).help("add `evidence: {healthy: …}`")
        })?;
        let mut diagnosis = runbook.diagnose(&contrast, Some(&case.class));
        diagnosis.redact(&redactor);
        return Ok(Some(diagnosis));
    };
    let target = project.target(name).ok_or_else(|| {
        let known = project.targets.iter().map(|target| target.name.as_str());
        Fault::new(format!("no target `{name}` in relapse.yaml")).help(suggest(name, known))
    })?;
    let standard = Standard { telemetry: &project.telemetry, mapping: &mapping, now: 0, rate_tests: suite.rate_tests() };
    let mode = recording::Mode::Replay;
    let graders = Graders::new(root, &project, &redactor);
    let stage = Stage {
        root,
        project: &project,
        redactor: &redactor,
        standard,
        graders: &graders,
        runbook: &runbook,
        mode,
        client: None,
        destination: Destination::Nowhere,
        trials: None,
    };
    let replayed = replay::replay(stage, &[Assignment { case, target }])?;
    let diagnosis = replayed.reports.into_iter().find_map(|report| report.diagnosis);
    Ok(diagnosis.map(|mut diagnosis| {
        diagnosis.redact(&redactor);
        diagnosis
    }))
}
