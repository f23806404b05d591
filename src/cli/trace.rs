//! `relapse trace`: what one request did, on one screen.

use super::print::Terminal;
use crate::disk::{self, Root};
use crate::evidence::{Evidence, stream_in_order};
use crate::fault::{Fault, Faults, suggest};
use crate::field;
use crate::limit;
use crate::mapping::Mapping;
use crate::otlp;
use crate::project::Project;
use crate::report::{screen, trace};
use crate::request::Request;
use crate::verdict::Outcome;
use camino::{Utf8Path, Utf8PathBuf};
use globset::GlobBuilder;
use walkdir::WalkDir;

/// Show what a request did: stages, tokens, outcome, and what its telemetry hides or gets wrong
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relapse trace run.otlp.jsonl
  relapse trace run.otlp.jsonl --wire run.http.jsonl
  relapse trace exports/                          many requests, one a line
  relapse trace exports/ --trace-id 4bf92f35      one of them; the beginning of an id will do
  relapse trace run.otlp.jsonl --require minimum  exit 1 if a field is missing
  relapse trace run.otlp.jsonl --format json")]
pub(super) struct Args {
    /// Telemetry (OTLP, or a vendor's export): files, folders or globs
    #[arg(value_name = "FILE", required_unless_present = "wire")]
    files: Vec<Utf8PathBuf>,
    /// HTTP exchanges of the same requests: relapse's own lines, HAR or VCR
    #[arg(long, value_name = "FILE")]
    wire: Vec<Utf8PathBuf>,
    /// Only the request of this trace; the beginning of its id will do
    #[arg(long, value_name = "ID")]
    trace_id: Option<String>,
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
    if args.wire.is_empty() && exceed(&files, limit::HELD_BYTES) {
        return one_by_one(&files, &required, args, (&mapping, terminal));
    }
    let (requests, diagnostics) = read(&files, args, &mapping)?;
    let requests = picked(requests, args.trace_id.as_deref())?;
    let mut text = Vec::new();
    match args.format {
        Format::Json => drop(trace::json(&requests, &diagnostics, &mut text)),
        Format::Text => screens(&requests, terminal, &mut text),
    }
    terminal.raw(&text);
    if args.format == Format::Text {
        diagnostics.iter().for_each(|diagnostic| terminal.line(&format!("odd: {diagnostic}")));
    }
    Ok(gate(&requests, &required, args.format, terminal))
}

/// The requests with a trace whose id begins so; all of them, where none is asked for.
fn picked(mut requests: Vec<Request>, id: Option<&str>) -> Result<Vec<Request>, Faults> {
    let Some(id) = id.map(str::to_lowercase) else { return Ok(requests) };
    let known = requests.first().and_then(|request| request.trace.as_ref()).map(|trace| trace.id.clone());
    requests.retain(|request| request.trace.as_ref().is_some_and(|trace| trace.has_id(&id)));
    if requests.is_empty() {
        let help = known.map_or_else(|| "there is no telemetry".to_string(), |known| format!("the first trace here is {known}"));
        return Err(Fault::new(format!("no trace here has an id that begins with `{id}`")).help(help).into());
    }
    Ok(requests)
}

/// Each request on its screen; many are listed instead.
fn screens(requests: &[Request], terminal: Terminal, text: &mut Vec<u8>) {
    let options = terminal.screen();
    if requests.len() > screen::SCREENS {
        return drop(screen::list(requests, options, text));
    }
    for request in requests {
        drop(screen::write(request, options, text));
        text.push(b'\n');
    }
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

/// Whether files hold more than so many bytes together, decompressed. A pipe can be read only once, and counts nothing.
fn exceed(files: &[Utf8PathBuf], bytes: u64) -> bool {
    let mut left = bytes;
    files.iter().filter(|file| file.is_file()).any(|file| {
        let content = disk::open_file(file).map_or(0, |reader| otlp::content_up_to(reader, left));
        let fits = left.checked_sub(content);
        left = fits.unwrap_or_default();
        fits.is_none()
    })
}

/// What is too large to be held is told request by request, as traces become complete.
fn one_by_one(
    files: &[Utf8PathBuf],
    required: &[String],
    args: &Args,
    (mapping, terminal): (&Mapping, Terminal),
) -> Result<Outcome, Faults> {
    let (mut count, mut outcome) = (0, Outcome::Passed);
    let (format, id) = (args.format, args.trace_id.as_deref().map(str::to_lowercase));
    let mut sink = |request: Request| {
        let is_meant = |id: &String| request.trace.as_ref().is_some_and(|trace| trace.has_id(id));
        if !id.as_ref().is_none_or(is_meant) {
            return;
        }
        let mut text = Vec::new();
        match format {
            Format::Json => drop(trace::json_item(&request, count, &mut text)),
            Format::Text if id.is_some() => drop(screen::write(&request, terminal.screen(), &mut text)),
            Format::Text => drop(screen::row(&request, terminal.screen(), &mut text)),
        }
        terminal.raw(&text);
        count += 1;
        if let Outcome::Regressed = gate(&[request], required, format, terminal) {
            outcome = Outcome::Regressed;
        }
    };
    let diagnostics = stream_in_order(files, mapping, &mut sink);
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
    let several = requests.len() > 1;
    let named = |request: &Request, line: String| match &request.trace {
        Some(trace) if several => format!("{} of trace {}", line, trace.id),
        _ => line,
    };
    let missing: Vec<String> =
        requests.iter().flat_map(|request| trace::missing(request, required).into_iter().map(move |line| named(request, line))).collect();
    if missing.is_empty() {
        return if requests.is_empty() { Outcome::NothingRan } else { Outcome::Passed };
    }
    if format == Format::Text {
        missing.iter().for_each(|line| terminal.line(&format!("required: {line}")));
    }
    Outcome::Regressed
}
