//! `relapse trace`: what one request did, on one screen.

use super::print::Terminal;
use crate::disk::{self, Root};
use crate::evidence::{Evidence, stream_files};
use crate::fault::{Fault, Faults, suggest};
use crate::field;
use crate::limit;
use crate::mapping::Mapping;
use crate::project::Project;
use crate::report::trace;
use crate::request::Request;
use crate::verdict::Outcome;
use camino::{Utf8Path, Utf8PathBuf};
use globset::GlobBuilder;
use std::sync::{Mutex, PoisonError};
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
    /// Telemetry (OTLP, or a vendor's export): files, folders or globs
    #[arg(value_name = "FILE", required = true)]
    files: Vec<Utf8PathBuf>,
    /// HTTP exchanges of the same requests: relapse's own lines, HAR or VCR
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
    let files: Vec<Utf8PathBuf> = args.files.iter().flat_map(|path| files(path)).collect();
    if args.wire.is_empty() && files.iter().map(|file| size(file)).sum::<u64>() > limit::TRACE_BYTES {
        return one_by_one(&files, &required, args.format, (&mapping, terminal));
    }
    let (requests, diagnostics) = read(&files, args, &mapping)?;
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

/// Bytes of a file; 0 where reading it will say what is wrong.
fn size(file: &Utf8Path) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len())
}

/// What is too large to be held is told request by request, as traces become complete.
fn one_by_one(
    files: &[Utf8PathBuf],
    required: &[String],
    format: Format,
    (mapping, terminal): (&Mapping, Terminal),
) -> Result<Outcome, Faults> {
    let told = Mutex::new((0, Outcome::Passed));
    let sink = |request: Request| {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = Vec::new();
        match format {
            Format::Json => drop(trace::json_item(&request, told.0, &mut text)),
            Format::Text => drop(trace::screen(&request, terminal.width(), &mut text).map(|()| text.push(b'\n'))),
        }
        terminal.raw(&text);
        told.0 += 1;
        if let Outcome::Regressed = gate(&[request], required, format, terminal) {
            told.1 = Outcome::Regressed;
        }
    };
    // With one thread the order is the files'.
    let diagnostics = stream_files(files, 1, mapping, &sink);
    let (count, outcome) = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    match format {
        Format::Json => terminal.raw(trace::json_end(count).as_bytes()),
        Format::Text => diagnostics.iter().flatten().for_each(|diagnostic| terminal.line(&format!("odd: {diagnostic}"))),
    }
    diagnostics?;
    Ok(if count == 0 { Outcome::NothingRan } else { outcome })
}

fn read(files: &[Utf8PathBuf], args: &Args, mapping: &Mapping) -> Result<(Vec<Request>, Vec<String>), Faults> {
    let mut faults = Faults::new();
    let mut evidence = Evidence::default();
    for file in files {
        let bytes = disk::read_bytes(file, limit::TRACE_BYTES);
        faults.take(bytes.and_then(|bytes| evidence.take_traces(&bytes, file.as_str())));
    }
    for file in args.wire.iter().flat_map(|path| self::files(path)) {
        let text = faults.take(disk::read_text(&file, limit::TRACE_BYTES)).unwrap_or_default();
        faults.take(evidence.take_wire(&text, file.as_str()));
    }
    let diagnostics = std::mem::take(&mut evidence.diagnostics);
    faults.into_result(())?;
    Ok((evidence.requests(mapping), diagnostics))
}

/// A file as it is; of a folder every file in it, and of a glob every file that fits it, sorted.
fn files(path: &Utf8Path) -> Vec<Utf8PathBuf> {
    if path.is_dir() {
        return walk(path);
    }
    let glob = GlobBuilder::new(path.as_str()).literal_separator(true).build().map(|glob| glob.compile_matcher());
    match glob {
        Ok(glob) if !path.exists() && is_pattern(path.as_str()) => {
            let fixed: Utf8PathBuf = path.components().take_while(|part| !is_pattern(part.as_str())).collect();
            let folder = if fixed.as_str().is_empty() { Utf8Path::new(".") } else { &fixed };
            let name = |file: &Utf8PathBuf| file.strip_prefix("./").unwrap_or(file).to_owned();
            let found: Vec<Utf8PathBuf> = walk(folder).iter().map(name).filter(|file| glob.is_match(file)).collect();
            // A pattern that nothing fits is named as it was written, in the message that it does not exist.
            if found.is_empty() { vec![path.to_owned()] } else { found }
        }
        _ => vec![path.to_owned()],
    }
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

fn walk(path: &Utf8Path) -> Vec<Utf8PathBuf> {
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
