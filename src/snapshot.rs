//! A snapshot: the accepted behaviour of a case on a target, in insta's format.

pub mod difference;
mod outline;

use crate::case::{Case, one_line};
use crate::disk::{Destination, Root};
use crate::fault::{Fault, Faults, Place};
use crate::inert;
use crate::limit;
use crate::project::{Matching, SnapshotKind};
use crate::redact::Redactor;
use crate::request::Request;
use crate::signal::Signals;
use crate::verdict::{CaseReport, SnapshotReport, Verdict};
use crate::wire::Exchange;
use camino::{Utf8Path, Utf8PathBuf};
use insta::internals::{Content, TextSnapshotContents};
use serde_json::{Map, Value};

/// The path of the accepted snapshot of a case on a target, from the repository's root.
pub fn path(case: &str, target: &str) -> Utf8PathBuf {
    format!("cases/{case}/snapshots/{target}.snap").into()
}

/// The path of the pending snapshot beside an accepted one.
pub fn pending(accepted: &Utf8Path) -> Utf8PathBuf {
    format!("{accepted}.new").into()
}

/// What was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Outline and answer.
    pub text: String,
    /// The signals of the accepted run; they never cause a difference.
    pub signals: Signals,
    /// The system prompt that was sent, where the wire tells; it never causes a difference either.
    pub prompt: Option<String>,
}

impl Snapshot {
    /// The behaviour of a candidate; none where the target keeps no snapshot.
    ///
    /// What was accepted was redacted on its way to disk, so the candidate is too.
    pub fn of(request: &Request, kind: SnapshotKind, (matching, redactor): (&Matching, &Redactor)) -> Option<Self> {
        let text = match kind {
            SnapshotKind::Off => return None,
            SnapshotKind::Outline => outline::of(request),
            SnapshotKind::Answer => {
                let answer = request.answer.as_deref().unwrap_or("(no answer was captured)");
                format!("{}\n\nanswer:\n{}", outline::of(request), indented(answer))
            }
        };
        let text = outline::without_volatile(&redactor.redact(&text), matching);
        let prompt = request.exchanges.iter().find_map(system_prompt).map(|prompt| inert::visible(&redactor.redact(&prompt)).into_owned());
        Some(Self { text: inert::visible(&text).into_owned(), signals: request.signals.clone(), prompt })
    }

    /// The snapshot at a path below the root; none when nothing is there.
    ///
    /// # Errors
    /// A file that is too long, that insta cannot read, or that holds the marks of a merge.
    pub fn load(root: &Root, path: &Utf8Path) -> Result<Option<Self>, Fault> {
        let Some(raw) = root.read_text_if_there(path, limit::SNAPSHOT_BYTES)? else { return Ok(None) };
        if let Some(line) = raw.lines().position(is_conflict_mark) {
            let place = Place::at(path.to_owned(), u32::try_from(line + 1).unwrap_or(u32::MAX), 1);
            return Err(Fault::new("the marks of a merge conflict").at(place).help("take one side, or delete the file and run again"));
        }
        let absolute = root.resolve(path)?;
        let read = insta::Snapshot::from_file(absolute.as_std_path())
            .map_err(|error| Fault::new(format!("not a snapshot: {}", inert::one_line(&error.to_string()))).in_file(path.to_owned()))?;
        let text = read.as_text().map(ToString::to_string).unwrap_or_default();
        let info = read.metadata().private_info().map(json).unwrap_or_default();
        let prompt = info["prompt"].as_str().map(str::to_string);
        Ok(Some(Self { text, signals: Signals::from_json(&info["signals"]), prompt }))
    }

    /// Whether two snapshots show the same behaviour, as insta compares them.
    pub fn is_like(&self, other: &Self) -> bool {
        contents(&self.text).matches_latest(&contents(&other.text))
    }

    /// The text of a pending file, which `cargo insta review` reads too.
    pub fn to_pending(&self, case: &Case, target: &str) -> String {
        let info = serde_json::json!({"target": target, "prompt": self.prompt, "signals": self.signals.known_to_json()});
        let title = one_line(&case.title);
        format!(
            "---\nsource: {}\ndescription: {title}\nexpression: {}\ninfo: {}\n---\n{}\n",
            Case::path(&case.id),
            one_line(target),
            one_line(&info),
            self.text
        )
    }
}

/// Holds a candidate's behaviour against the accepted one; none when they are alike.
pub fn compare(case: &Case, target: &str, (accepted, candidate): (Option<&Snapshot>, &Snapshot)) -> Option<SnapshotReport> {
    if accepted.is_some_and(|accepted| accepted.is_like(candidate)) {
        return None;
    }
    Some(SnapshotReport {
        path: path(&case.id, target).into_string(),
        accepted: accepted.map(|accepted| accepted.text.clone()),
        candidate: candidate.text.clone(),
        pending: candidate.to_pending(case, target),
    })
}

/// Accepts a pending snapshot as insta does: the same bytes, written at once, and the pending file is gone.
///
/// # Errors
/// No pending snapshot, or one that insta cannot read.
pub fn accept(root: &Root, accepted: &Utf8Path) -> Result<(), Fault> {
    let waiting = pending(accepted);
    if Snapshot::load(root, &waiting)?.is_none() {
        return Err(Fault::new(format!("nothing is pending at {waiting}")).help("relapse review --list"));
    }
    let unreadable = |error: Box<dyn std::error::Error>| Fault::new(inert::one_line(&error.to_string())).in_file(waiting.clone());
    let folder = tempfile::tempdir().map_err(|error| Fault::infrastructure(format!("no temporary folder: {error}")))?;
    let saved = folder.path().join("accepted.snap");
    let read = insta::Snapshot::from_file(root.resolve(&waiting)?.as_std_path()).map_err(unreadable)?;
    read.save(&saved).map_err(unreadable)?;
    let bytes = std::fs::read(&saved).map_err(|error| Fault::infrastructure(format!("cannot read back a snapshot: {error}")))?;
    root.write_atomic(accepted, &bytes)?;
    root.remove(&waiting)
}

/// Puts the pending snapshots of a run where a person will look for them.
///
/// # Errors
/// A disk that does not take them.
pub fn put_pending(reports: &[CaseReport], destination: Destination<'_>) -> Result<(), Faults> {
    let mut faults = Faults::new();
    for snapshot in reports.iter().filter_map(|report| report.snapshot.as_ref()) {
        faults.take(destination.write(&pending(Utf8Path::new(&snapshot.path)), snapshot.pending.as_bytes()));
    }
    faults.into_result(())
}

/// Takes a pending snapshot out of the tree: what it shows is not so any more.
///
/// # Errors
/// A file that cannot be removed.
pub fn drop_pending(destination: Destination<'_>, case: &str, target: &str) -> Result<(), Fault> {
    let Destination::Tree(root) = destination else { return Ok(()) };
    let stale = pending(&path(case, target));
    if root.exists(&stale) { root.remove(&stale) } else { Ok(()) }
}

/// Accepts the behaviour of every case that has no snapshot yet: then it passes.
///
/// # Errors
/// A disk that does not take it; that case stays new.
pub fn accept_new(root: &Root, reports: &mut [CaseReport]) -> Result<(), Faults> {
    let mut faults = Faults::new();
    for report in reports {
        let Some(snapshot) = report.snapshot.take_if(|snapshot| snapshot.accepted.is_none()) else { continue };
        let path = Utf8Path::new(&snapshot.path);
        let written = root.write_atomic(&pending(path), snapshot.pending.as_bytes()).and_then(|_| accept(root, path));
        if faults.take(written).is_none() {
            report.snapshot = Some(snapshot);
            continue;
        }
        report.verdict = Verdict::Passed;
        report.next = None;
        report.notes.push(format!("accepted {path}"));
    }
    faults.into_result(())
}

/// Every pending snapshot below `cases/`, by the path that it would be accepted at.
///
/// # Errors
/// A folder that cannot be read.
pub fn all_pending(root: &Root) -> Result<Vec<Utf8PathBuf>, Fault> {
    let files = files(root)?;
    Ok(files.into_iter().filter_map(|file| file.as_str().strip_suffix(".snap.new").map(|stem| format!("{stem}.snap").into())).collect())
}

/// Every file in a folder of snapshots, sorted.
///
/// # Errors
/// A folder that cannot be read.
pub fn files(root: &Root) -> Result<Vec<Utf8PathBuf>, Fault> {
    let list = |folder: &Utf8Path| if root.exists(folder) { root.list(folder) } else { Ok(Vec::new()) };
    let mut files = Vec::new();
    for case in list(Utf8Path::new("cases"))?.into_iter().filter(|entry| entry.is_directory) {
        let entries = list(&case.path.join("snapshots"))?;
        files.extend(entries.into_iter().filter(|entry| !entry.is_directory).map(|entry| entry.path));
    }
    Ok(files)
}

/// The system prompt in a request's body: a message of its own, or the key that Anthropic and the Responses API have.
fn system_prompt(exchange: &Exchange) -> Option<String> {
    let body = &exchange.request.body;
    let text = |content: &Value| match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => Some(parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")),
        _ => None,
    };
    let messages = body["messages"].as_array().or_else(|| body["input"].as_array());
    let message = || messages?.iter().find(|message| matches!(message["role"].as_str(), Some("system" | "developer")));
    text(&body["system"]).or_else(|| text(&body["instructions"])).or_else(|| text(&message()?["content"]))
}

fn contents(text: &str) -> TextSnapshotContents {
    TextSnapshotContents::new(text.to_string(), insta::TextSnapshotKind::File)
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| if line.is_empty() { String::new() } else { format!("  {line}") }).collect();
    lines.join("\n")
}

fn is_conflict_mark(line: &str) -> bool {
    line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ")
}

/// insta's metadata as JSON; what cannot be is null.
fn json(content: &Content) -> Value {
    match content {
        Content::Bool(flag) => Value::from(*flag),
        Content::U64(number) => Value::from(*number),
        Content::I64(number) => Value::from(*number),
        Content::F64(number) => Value::from(*number),
        Content::String(text) => Value::from(text.as_str()),
        Content::Seq(items) => items.iter().map(json).collect(),
        Content::Map(entries) => {
            let entries = entries.iter().filter_map(|(key, value)| Some((key.as_str()?.to_string(), json(value))));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    fn repository() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Root::at(Utf8Path::from_path(folder.path()).expect("UTF-8")).expect("a root");
        (folder, root)
    }

    fn case() -> Case {
        let text = include_str!("../cases/retrieval-empty-invented-policy/case.yaml");
        Case::parse("retrieval-empty-invented-policy", text).expect("a case of ours")
    }

    fn candidate(answer: &str) -> Snapshot {
        let line = serde_json::json!({
            "seq": 1, "ms": 10.0,
            "request": {"method": "POST", "path": "/v1/chat/completions", "body": {"messages": [{"role": "user", "content": "?"}]}},
            "response": {"status": 200, "body": {
                "choices": [{"index": 0, "message": {"content": answer}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 4},
            }},
        });
        let mapping = crate::mapping::Mapping::with_aliases(&std::collections::BTreeMap::new()).expect("a mapping");
        let request = Request::new(None, vec![wire::read_line(&line.to_string()).expect("an exchange")], &mapping);
        Snapshot::of(&request, SnapshotKind::Answer, (&Matching::default(), &Redactor::default())).expect("a snapshot")
    }

    fn accepted(root: &Root, snapshot: &Snapshot) -> Utf8PathBuf {
        let path = path("c", "t");
        root.write_atomic(&pending(&path), snapshot.to_pending(&case(), "t").as_bytes()).expect("written");
        accept(root, &path).expect("accepted");
        path
    }

    #[test]
    fn what_is_accepted_is_read_back() {
        for answer in [
            "All returns within 30 days.",
            "---\nsource: x\n---\nmine",
            "a\r\nb\n\n  c\n",
            "\u{1b}[31mred\u{202e}",
            "",
            "<<<<<<< HEAD\n>>>>>>> x",
        ] {
            let (_keep, root) = repository();
            let candidate = candidate(answer);
            let path = accepted(&root, &candidate);
            let loaded = Snapshot::load(&root, &path).expect("readable").expect("there");
            assert!(loaded.is_like(&candidate), "{answer:?}: {loaded:?}");
            assert_eq!(loaded.signals.read("tokens.input").number(), Some(9.0));
            assert!(compare(&case(), "t", (Some(&loaded), &candidate)).is_none());
            assert!(all_pending(&root).expect("readable").is_empty());
        }
    }

    #[test]
    fn line_ends_of_a_checkout_do_not_matter() {
        let (_keep, root) = repository();
        let path = accepted(&root, &candidate("one\ntwo"));
        let text = root.read_text(&path, limit::SNAPSHOT_BYTES).expect("readable");
        root.write_atomic(&path, text.replace('\n', "\r\n").as_bytes()).expect("written");
        assert!(Snapshot::load(&root, &path).expect("readable").expect("there").is_like(&candidate("one\ntwo")));
    }

    #[test]
    fn the_marks_of_a_merge_are_named_by_line() {
        let (_keep, root) = repository();
        let path = accepted(&root, &candidate("one"));
        let text = root.read_text(&path, limit::SNAPSHOT_BYTES).expect("readable");
        root.write_atomic(&path, format!("{text}<<<<<<< HEAD\n").as_bytes()).expect("written");
        let fault = Snapshot::load(&root, &path).expect_err("a conflict");
        assert_eq!(fault.place.expect("a place").line as usize, text.lines().count() + 1);
    }

    #[test]
    fn another_answer_is_a_difference_and_other_signals_are_none() {
        let (old, mut new) = (candidate("thirty days"), candidate("thirty days"));
        new.signals.set_number("tokens.input", Some(99.0));
        assert!(compare(&case(), "t", (Some(&old), &new)).is_none());
        let report = compare(&case(), "t", (Some(&old), &candidate("sixty days"))).expect("a difference");
        assert!(report.candidate.contains("sixty days") && report.accepted.expect("accepted").contains("thirty days"));
        assert!(compare(&case(), "t", (None, &old)).expect("new").accepted.is_none());
    }
}
