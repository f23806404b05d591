//! Traces that another run produced, matched to cases.

use super::Stage;
use crate::case::Case;
use crate::evidence::Evidence;
use crate::fault::{Fault, Faults};
use crate::limit;
use crate::project::{Target, Traces};
use crate::request::Request;
use crate::yaml::Spanned;
use camino::{Utf8Path, Utf8PathBuf};
use globset::GlobBuilder;
use serde_json::Value;
use std::collections::BTreeSet;
use walkdir::WalkDir;

/// Every request of a target's files.
#[derive(Debug)]
pub(super) struct Pool {
    requests: Vec<Request>,
    files: usize,
    glob: String,
}

impl Pool {
    pub(super) fn read(stage: Stage<'_>, target: &Target, traces: &Traces) -> Result<Self, Faults> {
        let mut faults = Faults::new();
        let files = faults.take(files(stage, &traces.traces)).unwrap_or_default();
        let wires = traces.wire.as_ref().and_then(|glob| faults.take(self::files(stage, glob))).unwrap_or_default();
        let mut requests = Vec::new();
        for (traces, wires) in batches(&files, &wires) {
            let evidence = evidence(stage, &traces, &wires, &mut faults);
            requests.extend(evidence.requests(stage.standard.mapping));
        }
        if files.is_empty() && faults.is_empty() {
            let fault = Fault::new(format!("no file fits `{}`", traces.traces.value)).at(traces.traces.place.clone());
            faults.push(fault.help(format!("target `{}` judges what another run exported: run it first", target.name)));
        }
        faults.into_result(Self { requests, files: files.len(), glob: traces.traces.value.clone() })
    }

    /// The requests of a case: by the attribute `relapse.case`, else by the input's text.
    pub(super) fn of(&self, case: &Case) -> Vec<&Request> {
        let named = |request: &&Request| request.trace.as_ref().and_then(|trace| trace.case.as_deref()) == Some(&case.id);
        let by_name: Vec<&Request> = self.requests.iter().filter(named).collect();
        if !by_name.is_empty() {
            return by_name;
        }
        let question = question(&case.input);
        let unnamed = self.requests.iter().filter(|request| request.trace.as_ref().is_none_or(|trace| trace.case.is_none()));
        unnamed
            .filter(|request| question.is_some() && request.input().as_deref().map(str::trim) == question.as_deref().map(str::trim))
            .collect()
    }

    /// Why the requests of a case, of which there are so many, do not decide it.
    pub(super) fn why_undecided(&self, case: &Case, found: usize) -> String {
        let all = format!("the {} requests in {} files of `{}`", self.requests.len(), self.files, self.glob);
        match found {
            0 => format!("none of {all} has the attribute `relapse.case = {}` or the case's input", case.id),
            _ => format!("{found} of {all} belong to the case, and a `rate` needs more trials"),
        }
    }
}

/// Files that are read together: a trace file with the wire file of its name, and all the others as one.
///
/// Response ids of a scripted server repeat from run to run, so a file's name says more than they do.
fn batches(traces: &[Utf8PathBuf], wires: &[Utf8PathBuf]) -> Vec<(Vec<Utf8PathBuf>, Vec<Utf8PathBuf>)> {
    let stems = |files: &[Utf8PathBuf]| files.iter().map(|file| stem(file).to_owned()).collect::<BTreeSet<_>>();
    let shared: BTreeSet<Utf8PathBuf> = stems(traces).intersection(&stems(wires)).cloned().collect();
    let of = |files: &[Utf8PathBuf], wanted: &dyn Fn(&Utf8Path) -> bool| -> Vec<Utf8PathBuf> {
        files.iter().filter(|file| wanted(stem(file))).cloned().collect()
    };
    let mut batches: Vec<_> = shared.iter().map(|name| (of(traces, &|stem| stem == name), of(wires, &|stem| stem == name))).collect();
    let alone = |stem: &Utf8Path| !shared.contains(stem);
    let rest = (of(traces, &alone), of(wires, &alone));
    if !rest.0.is_empty() {
        batches.push(rest);
    }
    batches
}

/// A file's path up to the first dot of its name.
fn stem(file: &Utf8Path) -> &Utf8Path {
    let extensions = file.file_name().and_then(|name| name.split_once('.')).map_or(0, |(_, extensions)| extensions.len() + 1);
    Utf8Path::new(file.as_str().get(..file.as_str().len() - extensions).unwrap_or_default())
}

/// Reads the files of one batch.
fn evidence(stage: Stage<'_>, traces: &[Utf8PathBuf], wires: &[Utf8PathBuf], faults: &mut Faults) -> Evidence {
    let mut evidence = Evidence::default();
    for file in traces {
        let read = stage.root.read_bytes(file, limit::TRACE_BYTES);
        faults.take(read.and_then(|bytes| evidence.take_traces(&bytes, file.as_str())));
    }
    for file in wires {
        let text = faults.take(stage.root.read_text(file, limit::TRACE_BYTES)).unwrap_or_default();
        faults.take(evidence.take_wire(&text, file.as_str()));
    }
    evidence
}

/// The last question of a case's input.
fn question(input: &Value) -> Option<String> {
    match input {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => items
            .iter()
            .rev()
            .find(|item| item.get("role").and_then(Value::as_str) == Some("user"))
            .and_then(|item| item.get("content")?.as_str().map(str::to_string)),
        _ => None,
    }
}

/// The files that a glob fits, sorted; links are not followed.
fn files(stage: Stage<'_>, glob: &Spanned<String>) -> Result<Vec<Utf8PathBuf>, Fault> {
    let matcher = GlobBuilder::new(&glob.value)
        .literal_separator(true)
        .build()
        .map_err(|error| Fault::new(format!("not a glob: {}", error.kind())).at(glob.place.clone()))?
        .compile_matcher();
    let fixed: Utf8PathBuf =
        Utf8Path::new(&glob.value).components().take_while(|part| !part.as_str().contains(['*', '?', '[', '{'])).collect();
    let base = stage.root.path().join(&fixed);
    let mut files = Vec::new();
    for entry in WalkDir::new(base).follow_links(false).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file()) {
        let path = Utf8Path::from_path(entry.path()).and_then(|path| path.strip_prefix(stage.root.path()).ok());
        if let Some(path) = path.filter(|path| matcher.is_match(path)) {
            files.push(path.to_owned());
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<Utf8PathBuf> {
        names.iter().map(Utf8PathBuf::from).collect()
    }

    #[test]
    fn a_wire_file_belongs_to_the_trace_file_of_its_name() {
        let traces = paths(&["runs/a.otlp.jsonl", "runs/b.otlp.jsonl", "runs/c.otlp.jsonl"]);
        let wires = paths(&["runs/a.http.jsonl", "runs/d.http.jsonl", "other/b.http.jsonl"]);
        let expected = vec![
            (paths(&["runs/a.otlp.jsonl"]), paths(&["runs/a.http.jsonl"])),
            (paths(&["runs/b.otlp.jsonl", "runs/c.otlp.jsonl"]), paths(&["runs/d.http.jsonl", "other/b.http.jsonl"])),
        ];
        assert_eq!(batches(&traces, &wires), expected);
    }

    #[test]
    fn files_without_a_namesake_are_read_as_one() {
        let (traces, wires) = (paths(&["spans-1.jsonl", "spans-2.jsonl"]), paths(&["wire.jsonl"]));
        assert_eq!(batches(&traces, &wires), [(traces.clone(), wires.clone())]);
    }
}
