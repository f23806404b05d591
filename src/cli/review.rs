//! `relapse review`: what changed, shown to a person who accepts or rejects it.

use super::print::Terminal;
use crate::case::Case;
use crate::disk::{self, Root};
use crate::fault::{Fault, Faults, suggest};
use crate::limit;
use crate::postmortem::check_id;
use crate::redact::Redactor;
use crate::report::review::Item;
use crate::snapshot::{self, Snapshot};
use crate::verdict::Outcome;
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;

/// Look at behaviour that changed, then accept or reject it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relapse review                                   one after the other, at a terminal
  relapse review --list
  relapse review --accept empty-retrieval@support-prompt
  relapse review --from downloaded-report          bring home what CI recorded")]
pub(super) struct Args {
    /// Accept the pending snapshots of a case, or of a case on one target
    #[arg(long, value_name = "ID[@TARGET]")]
    accept: Vec<String>,
    /// Reject them: the pending files are removed
    #[arg(long, value_name = "ID[@TARGET]")]
    reject: Vec<String>,
    /// Only list what is pending
    #[arg(long)]
    list: bool,
    /// A report directory whose pending snapshots and recordings are copied here first
    #[arg(long, value_name = "DIR")]
    from: Option<Utf8PathBuf>,
}

/// What a person decided about a pending snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Accept,
    Reject,
}

pub(super) fn review(root: &Root, args: &Args, terminal: Terminal) -> Result<Outcome, Faults> {
    if let Some(from) = &args.from {
        for path in bring_home(root, from)? {
            terminal.line(&format!("copied {path}"));
        }
    }
    let pending: BTreeMap<String, Utf8PathBuf> = snapshot::all_pending(root)?.into_iter().map(|path| (name(&path), path)).collect();
    let decisions = if args.list {
        BTreeMap::new()
    } else if !args.accept.is_empty() || !args.reject.is_empty() {
        named(&pending, args)?
    } else if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        asked(root, &pending, terminal)?
    } else {
        BTreeMap::new()
    };
    for (name, decision) in &decisions {
        carry_out(root, &pending[name], *decision)?;
        terminal.line(&format!("{} {name}", if *decision == Decision::Accept { "accepted" } else { "rejected" }));
    }
    let left: Vec<&String> = pending.keys().filter(|name| !decisions.contains_key(*name)).collect();
    for name in &left {
        terminal.line(&format!("pending  {name}    relapse review --accept {name}"));
    }
    match (pending.is_empty(), left.is_empty()) {
        (true, _) => terminal.line("nothing is pending"),
        (false, true) => terminal.line("next: commit the snapshots, then run `relapse run`"),
        (false, false) => {}
    }
    Ok(if left.is_empty() { Outcome::Passed } else { Outcome::NeedsPerson })
}

/// `cases/ID/snapshots/TARGET.snap` as `ID@TARGET`.
fn name(path: &Utf8Path) -> String {
    let case = path.components().nth(1).map(|part| part.to_string()).unwrap_or_default();
    format!("{case}@{}", path.file_stem().unwrap_or_default())
}

/// The decisions that flags name; one that names nothing pending is a mistake.
fn named(pending: &BTreeMap<String, Utf8PathBuf>, args: &Args) -> Result<BTreeMap<String, Decision>, Faults> {
    let (mut faults, mut decisions) = (Faults::new(), BTreeMap::new());
    let flags = [(&args.accept, Decision::Accept), (&args.reject, Decision::Reject)];
    for (wanted, decision) in flags.into_iter().flat_map(|(names, decision)| names.iter().map(move |name| (name, decision))) {
        let meant: Vec<&String> = pending.keys().filter(|name| *name == wanted || name.split('@').next() == Some(wanted)).collect();
        if meant.is_empty() {
            let help = suggest(wanted, pending.keys().map(String::as_str));
            faults.push(Fault::new(format!("nothing is pending for `{wanted}`")).help(help));
        }
        for name in meant {
            if decisions.insert(name.clone(), decision).is_some_and(|before| before != decision) {
                faults.push(Fault::new(format!("`{name}` is both accepted and rejected")).help("name it once"));
            }
        }
    }
    faults.into_result(decisions)
}

/// Shows one after the other and asks; nothing is written before the last answer, so `q` leaves everything as it was.
fn asked(root: &Root, pending: &BTreeMap<String, Utf8PathBuf>, terminal: Terminal) -> Result<BTreeMap<String, Decision>, Faults> {
    let mut decisions = BTreeMap::new();
    for (index, (name, path)) in pending.iter().enumerate() {
        terminal.review(&item(root, name, path)?, (index + 1, pending.len()));
        match terminal.choose("accept (a), reject (r), skip (s), quit without changes (q)", &['a', 'r', 's', 'q']) {
            Some('a') => decisions.insert(name.clone(), Decision::Accept),
            Some('r') => decisions.insert(name.clone(), Decision::Reject),
            Some('s') => None,
            _ => return Ok(BTreeMap::new()),
        };
    }
    Ok(decisions)
}

fn item(root: &Root, name: &str, path: &Utf8Path) -> Result<Item, Faults> {
    let candidate = Snapshot::load(root, &snapshot::pending(path))?.ok_or_else(|| Fault::new(format!("{path}.new is gone")))?;
    let id = name.split('@').next().unwrap_or_default();
    let text = root.read_text_if_there(Utf8Path::new(&Case::path(id)), limit::YAML_BYTES)?;
    let title = text.and_then(|text| Case::parse(id, &text).ok()).map(|case| case.title).unwrap_or_default();
    Ok(Item { name: name.to_string(), title, accepted: Snapshot::load(root, path)?, candidate })
}

fn carry_out(root: &Root, path: &Utf8Path, decision: Decision) -> Result<(), Fault> {
    match decision {
        Decision::Accept => snapshot::accept(root, path),
        Decision::Reject => root.remove(&snapshot::pending(path)),
    }
}

/// Copies pending snapshots and recordings of known cases out of a report directory, which may come from a stranger's run.
fn bring_home(root: &Root, from: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Faults> {
    let (mut faults, mut copied) = (Faults::new(), Vec::new());
    let files = Root::at(from).and_then(|source| Ok((homecomers(root, &source)?, source)));
    let Some((files, source)) = faults.take(files) else { return Err(faults) };
    for path in files {
        let text = faults.take(source.read_bytes(&path, limit::TRACE_BYTES).and_then(|bytes| disk::decode(bytes, &path)));
        let Some(text) = text else { continue };
        let text = Redactor::default().redact(&text).into_owned();
        copied.extend(faults.take(root.write_atomic(&path, text.as_bytes())).map(|_| path));
    }
    if faults.is_empty() && copied.is_empty() {
        faults.push(Fault::new(format!("{from} holds no pending snapshot and no recording of a case here")));
    }
    faults.into_result(copied)
}

fn homecomers(root: &Root, source: &Root) -> Result<Vec<Utf8PathBuf>, Fault> {
    let list = |folder: &Utf8Path| if source.exists(folder) { source.list(folder) } else { Ok(Vec::new()) };
    let mut files = Vec::new();
    for case in list(Utf8Path::new("cases"))?.into_iter().filter(|entry| entry.is_directory) {
        let id = case.path.file_name().unwrap_or_default();
        if check_id(id).is_err() || !root.exists(Utf8Path::new(&Case::path(id))) {
            continue;
        }
        for (folder, ending) in [("snapshots", ".snap.new"), ("recordings", ".jsonl")] {
            let entries = list(&case.path.join(folder))?.into_iter();
            files.extend(entries.map(|entry| entry.path).filter(|path| path.as_str().ends_with(ending)));
        }
        files.extend([case.path.join("judgements.jsonl")].into_iter().filter(|path| source.exists(path)));
    }
    Ok(files)
}
