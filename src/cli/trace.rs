//! `relapse trace`: what one request did, on one screen.

use super::print::Terminal;
use crate::disk::{self, Root};
use crate::evidence::Evidence;
use crate::fault::{Fault, Faults, suggest};
use crate::field;
use crate::limit;
use crate::mapping::Mapping;
use crate::project::Project;
use crate::report::trace;
use crate::request::Request;
use crate::verdict::Outcome;
use camino::{Utf8Path, Utf8PathBuf};
use walkdir::WalkDir;

/// Show what a request did: stages, tokens, outcome, and what its telemetry hides or gets wrong
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relapse trace run.otlp.jsonl
  relapse trace run.otlp.jsonl --wire run.http.jsonl
  relapse trace exports/ --require minimum        exit 1 if a field is missing
  relapse trace run.otlp.jsonl --format json")]
pub(super) struct Args {
    /// Telemetry: files or folders
    #[arg(value_name = "FILE", required = true)]
    files: Vec<Utf8PathBuf>,
    /// HTTP exchanges of the same requests
    #[arg(long, value_name = "FILE")]
    wire: Vec<Utf8PathBuf>,
    /// Fields that every request must carry: minimum, or names separated by commas
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    require: Vec<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn trace(root: Option<&Root>, args: &Args, terminal: Terminal) -> Result<Outcome, Faults> {
    let required = required(&args.require)?;
    let mapping = match root {
        Some(root) => crate::compile::mapping(&Project::load(root)?)?,
        None => Mapping::with_aliases(&std::collections::BTreeMap::new())?,
    };
    let (requests, diagnostics) = read(args, &mapping)?;
    let mut text = Vec::new();
    match args.format {
        Format::Json => drop(trace::json(&requests, &diagnostics, &mut text)),
        Format::Text => {
            for request in &requests {
                drop(trace::screen(request, terminal.width(), &mut text));
                text.push(b'\n');
            }
        }
    }
    terminal.raw(&text);
    if args.format == Format::Text {
        diagnostics.iter().for_each(|diagnostic| terminal.line(&format!("odd: {diagnostic}")));
    }
    Ok(gate(&requests, &required, args.format, terminal))
}

fn required(names: &[String]) -> Result<Vec<String>, Faults> {
    let mut faults = Faults::new();
    let mut required = Vec::new();
    for name in names {
        if name == "minimum" {
            required.extend(field::minimum().map(|definition| definition.name.to_string()));
        } else if field::definition(name).is_some() {
            required.push(name.clone());
        } else {
            let known = field::ALL.iter().map(|definition| definition.name).chain(["minimum"]);
            faults.push(Fault::new(format!("unknown field `{name}` in --require")).help(suggest(name, known)));
        }
    }
    faults.into_result(required)
}

fn read(args: &Args, mapping: &Mapping) -> Result<(Vec<Request>, Vec<String>), Faults> {
    let mut faults = Faults::new();
    let mut evidence = Evidence::default();
    for file in args.files.iter().flat_map(|path| files(path)) {
        let bytes = disk::read_bytes(&file, limit::TRACE_BYTES);
        faults.take(bytes.and_then(|bytes| evidence.take_traces(&bytes, file.as_str())));
    }
    for file in args.wire.iter().flat_map(|path| files(path)) {
        let text = faults.take(disk::read_text(&file, limit::TRACE_BYTES)).unwrap_or_default();
        faults.take(evidence.take_wire(&text, file.as_str()));
    }
    let diagnostics = std::mem::take(&mut evidence.diagnostics);
    faults.into_result(())?;
    Ok((evidence.requests(mapping), diagnostics))
}

/// A file as it is; of a folder every file in it, sorted.
fn files(path: &Utf8Path) -> Vec<Utf8PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = WalkDir::new(path).follow_links(false).sort_by_file_name().into_iter().filter_map(Result::ok);
    entries.filter(|entry| entry.file_type().is_file()).filter_map(|entry| Utf8PathBuf::from_path_buf(entry.into_path()).ok()).collect()
}

fn gate(requests: &[Request], required: &[String], format: Format, terminal: Terminal) -> Outcome {
    let missing: Vec<String> = requests.iter().flat_map(|request| trace::missing(request, required)).collect();
    if missing.is_empty() {
        return if requests.is_empty() { Outcome::NothingRan } else { Outcome::Passed };
    }
    if format == Format::Text {
        missing.iter().for_each(|line| terminal.line(&format!("required: {line}")));
    }
    Outcome::Regressed
}
