//! `relapse new`: a postmortem prefilled from a pair of recordings.

use super::print::Terminal;
use crate::compile;
use crate::disk::{self, PROJECT_FILE, Root};
use crate::draft::{Draft, Sources};
use crate::fault::{Fault, Faults};
use crate::limit;
use crate::postmortem::check_id;
use crate::project::Project;
use crate::redact::Redactor;
use crate::runbook::Runbook;
use crate::verdict::Outcome;
use crate::waiver::{self, Lacking};
use camino::{Utf8Path, Utf8PathBuf};

/// Start a postmortem from the recording of an incident, and of a healthy request; what the latter lacks is waived
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relapse new \"Bot invented a return policy\" --incident bad.jsonl --healthy good.jsonl
  relapse new \"Retry storm\" --incident bad.jsonl --wire-incident bad.http.jsonl \\
      --healthy good.jsonl --wire-healthy good.http.jsonl")]
pub(super) struct Args {
    /// What happened, in one line
    title: String,
    /// Telemetry of the incident (OTLP, or a vendor's export)
    #[arg(long, value_name = "FILE", required_unless_present = "wire_incident")]
    incident: Vec<Utf8PathBuf>,
    /// Telemetry of a healthy request
    #[arg(long, value_name = "FILE")]
    healthy: Vec<Utf8PathBuf>,
    /// HTTP exchanges of the incident: relapse's own lines, HAR or VCR
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
    let lacking: Vec<Lacking> = draft.lacking().iter().filter(|lacking| lacking.is_asked_for(&project.telemetry)).cloned().collect();
    waive(root, &lacking, !sources.healthy.is_empty(), terminal)?;
    terminal.line(&format!("next: read {page}, correct it, then run `relapse compile {id}`"));
    terminal.hint("the evidence beside it is redacted; look it over before you commit");
    Ok(Outcome::Passed)
}

/// Waives in relapse.yaml what healthy telemetry does not tell, so that the first run is not red; says what to write where
/// nothing healthy shows that it is so, or where a person must find the place.
fn waive(root: &Root, lacking: &[Lacking], is_healthy: bool, terminal: Terminal) -> Result<(), Fault> {
    let path = Utf8Path::new(PROJECT_FILE);
    let text = if is_healthy && !lacking.is_empty() { Some(root.read_text(path, limit::YAML_BYTES)?) } else { None };
    match text.and_then(|text| waiver::written(&text, lacking)) {
        Some(text) => {
            root.write_atomic(path, text.as_bytes())?;
            lacking.iter().for_each(|lacking| terminal.line(&lacking.line()));
        }
        None => {
            let line = |lacking: &Lacking| {
                format!("not told    {}: add {}, or under telemetry.waive {}", lacking.field, lacking.add, lacking.item())
            };
            lacking.iter().for_each(|lacking| terminal.line(&line(lacking)));
        }
    }
    Ok(())
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
