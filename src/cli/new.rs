//! `relapse new`: a postmortem prefilled from a pair of recordings.

use super::print::Terminal;
use crate::compile;
use crate::disk::{self, Root};
use crate::draft::{Draft, Sources};
use crate::fault::{Fault, Faults};
use crate::limit;
use crate::postmortem::check_id;
use crate::project::Project;
use crate::redact::Redactor;
use crate::runbook::Runbook;
use crate::verdict::Outcome;
use camino::{Utf8Path, Utf8PathBuf};

/// Start a postmortem from the recording of an incident, and of a healthy request
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relapse new \"Bot invented a return policy\" --incident bad.jsonl --healthy good.jsonl
  relapse new \"Retry storm\" --incident bad.jsonl --wire-incident bad.http.jsonl \\
      --healthy good.jsonl --wire-healthy good.http.jsonl")]
pub(super) struct Args {
    /// What happened, in one line
    title: String,
    /// Telemetry of the incident (OTLP)
    #[arg(long, value_name = "FILE", required_unless_present = "wire_incident")]
    incident: Vec<Utf8PathBuf>,
    /// Telemetry of a healthy request
    #[arg(long, value_name = "FILE")]
    healthy: Vec<Utf8PathBuf>,
    /// HTTP exchanges of the incident
    #[arg(long, value_name = "FILE")]
    wire_incident: Vec<Utf8PathBuf>,
    /// HTTP exchanges of a healthy request
    #[arg(long, value_name = "FILE")]
    wire_healthy: Vec<Utf8PathBuf>,
    /// The postmortem's id [default: made from the title]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The failure class [default: proposed from the recordings]
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
}

pub(super) fn new(root: &Root, args: &Args, terminal: Terminal) -> Result<Outcome, Faults> {
    if args.title.trim_end().contains(['\n', '\r']) {
        return Err(Fault::new("a title is one line").help("put the rest into the page").into());
    }
    let project = Project::load(root)?;
    let mapping = compile::mapping(&project)?;
    let id = args.id.clone().unwrap_or_else(|| slug(&args.title));
    check_id(&id)?;
    let page = Utf8PathBuf::from(format!("postmortems/{id}.md"));
    if root.exists(&page) {
        return Err(Fault::new(format!("{page} exists")).help("choose another name with --id").into());
    }
    let sources = read(args)?;
    let runbook = Runbook::load(root)?;
    let draft = Draft::new(&args.title, args.class.as_deref(), &sources, (&mapping, &runbook))?;
    for (name, text) in sources.files() {
        root.write_atomic(&Utf8PathBuf::from(format!("postmortems/{id}/{name}")), text.as_bytes())?;
    }
    root.write_atomic(&page, draft.text().as_bytes())?;
    terminal.line(&format!("{page}: {} tests and {} fields proposed", draft.tests(), draft.fields()));
    for waiver in draft.waivers(&project.telemetry) {
        terminal.line(&format!("  missing when healthy too: {waiver}"));
    }
    terminal.line(&format!("next: read {page}, correct it, then run `relapse compile {id}`"));
    terminal.hint("the evidence beside it is redacted; look it over before you commit");
    Ok(Outcome::Passed)
}

/// Reads and redacts every file that was named.
fn read(args: &Args) -> Result<Sources, Faults> {
    let mut faults = Faults::new();
    let redactor = Redactor::default();
    let mut take = |files: &[Utf8PathBuf]| -> Vec<String> { files.iter().filter_map(|file| faults.take(text(file, &redactor))).collect() };
    let sources = Sources {
        incident: take(&args.incident),
        healthy: take(&args.healthy),
        wire_incident: take(&args.wire_incident),
        wire_healthy: take(&args.wire_healthy),
    };
    faults.into_result(sources)
}

fn text(file: &Utf8Path, redactor: &Redactor) -> Result<String, Fault> {
    let text = disk::read_text(file, limit::TRACE_BYTES)?;
    Ok(redactor.redact(&text).into_owned())
}

/// An id from a title: lower case, words joined with a dash.
fn slug(title: &str) -> String {
    let letters: String = title.to_lowercase().chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { ' ' }).collect();
    letters.split_whitespace().take(6).collect::<Vec<_>>().join("-")
}
