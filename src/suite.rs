//! The suite: every compiled case of a repository, each as fresh as its postmortem.

use crate::canonical;
use crate::case::{Case, Compiled};
use crate::disk::Root;
use crate::fault::{Fault, Faults, suggest};
use crate::limit;
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::BTreeSet;

/// Every case, by id.
#[derive(Debug, Default)]
pub struct Suite {
    /// The cases, by id.
    pub cases: Vec<Case>,
}

/// The digest of a postmortem's text; a checkout on Windows gives the same.
pub fn postmortem_digest(text: &str) -> String {
    canonical::digest(text.as_bytes())
}

impl Suite {
    /// Loads every case and checks that none is stale: compiled by this version, from today's postmortem, evidence and aliases.
    ///
    /// # Errors
    /// Every stale, missing, orphaned or unreadable case in one go.
    pub fn load(root: &Root, telemetry: Option<&str>) -> Result<Self, Faults> {
        let compiled = compiled_ids(root)?;
        let written = written_ids(root)?;
        let mut faults = Faults::new();
        for id in written.difference(&compiled) {
            faults.push(uncompiled(id));
        }
        let loaded = each_on_all_cores(&compiled.iter().collect::<Vec<_>>(), |id| load(root, id, telemetry));
        let cases = loaded.into_iter().filter_map(|case| faults.take(case)).collect();
        faults.into_result(Self { cases })
    }

    /// The cases with the given ids, or all of them.
    ///
    /// # Errors
    /// Every unknown id, with the one that may be meant.
    pub fn select(&self, ids: &[String]) -> Result<Vec<&Case>, Faults> {
        let mut faults = Faults::new();
        let known = || self.cases.iter().map(|case| case.id.as_str()).collect::<Vec<_>>();
        for id in ids {
            if !self.cases.iter().any(|case| case.id == *id) {
                faults.push(Fault::new(format!("no case `{id}`")).help(suggest(id, known())));
            }
        }
        faults.into_result(self.cases.iter().filter(|case| ids.is_empty() || ids.contains(&case.id)).collect())
    }
}

/// The ids below `cases/`.
fn compiled_ids(root: &Root) -> Result<BTreeSet<String>, Faults> {
    let folder = Utf8Path::new("cases");
    if !root.exists(folder) {
        return Ok(BTreeSet::new());
    }
    let entries = root.list(folder)?.into_iter().filter(|entry| entry.is_directory);
    let with_case = entries.filter(|entry| root.exists(&entry.path.join("case.yaml")));
    Ok(with_case.filter_map(|entry| entry.path.file_name().map(str::to_string)).collect())
}

/// The ids of postmortems that compile: all but withdrawn ones.
fn written_ids(root: &Root) -> Result<BTreeSet<String>, Faults> {
    let folder = Utf8Path::new("postmortems");
    if !root.exists(folder) {
        return Ok(BTreeSet::new());
    }
    let mut ids = BTreeSet::new();
    for entry in root.list(folder)? {
        let stem = entry.path.file_name().and_then(|name| name.strip_suffix(".md"));
        if let Some(id) = stem.filter(|stem| !entry.is_directory && !stem.eq_ignore_ascii_case("readme"))
            && (root.exists(&Utf8PathBuf::from(Case::path(id))) || !is_withdrawn(root, &entry.path))
        {
            ids.insert(id.to_string());
        }
    }
    Ok(ids)
}

fn is_withdrawn(root: &Root, path: &Utf8Path) -> bool {
    let text = root.read_text(path, limit::YAML_BYTES).unwrap_or_default();
    let front_matter = text.lines().skip(1).take_while(|line| *line != "---");
    front_matter.into_iter().any(|line| line.trim_end() == "status: withdrawn")
}

fn uncompiled(id: &str) -> Fault {
    Fault::new("not compiled yet").in_file(Case::postmortem_path(id)).help("run `relapse compile`")
}

fn load(root: &Root, id: &str, telemetry: Option<&str>) -> Result<Case, Fault> {
    let path = Case::path(id);
    let text = root.read_text(Utf8Path::new(&path), limit::YAML_BYTES)?;
    let case = Case::parse(id, &text)?;
    let postmortem = Case::postmortem_path(id);
    if !root.exists(Utf8Path::new(&postmortem)) {
        let fault = Fault::new(format!("{postmortem} is gone")).in_file(path);
        return Err(fault.help(format!("delete cases/{id} too, or restore the postmortem")));
    }
    match staleness(root, &case.compiled, id, telemetry)? {
        None => Ok(case),
        Some(reason) => Err(Fault::new(format!("stale: {reason}")).in_file(path).help("run `relapse compile` and commit the case")),
    }
}

/// Why a case is not what its postmortem says today; none when it is.
fn staleness(root: &Root, compiled: &Compiled, id: &str, telemetry: Option<&str>) -> Result<Option<String>, Fault> {
    if compiled.mapping != crate::mapping::Mapping::version() {
        return Ok(Some(format!("compiled with mapping {}, this is {}", compiled.mapping, crate::mapping::Mapping::version())));
    }
    if compiled.telemetry.as_deref() != telemetry {
        return Ok(Some("the telemetry section of relapse.yaml changed".into()));
    }
    let postmortem = Case::postmortem_path(id);
    let text = root.read_text(Utf8Path::new(&postmortem), limit::YAML_BYTES)?;
    if postmortem_digest(&text) != compiled.postmortem {
        return Ok(Some(format!("{postmortem} changed")));
    }
    for (file, digest) in &compiled.evidence {
        let path = Utf8PathBuf::from(format!("postmortems/{id}/{file}"));
        if !root.exists(&path) {
            return Ok(Some(format!("{path} is gone")));
        }
        if canonical::digest(&root.read_bytes(&path, limit::TRACE_BYTES)?) != *digest {
            return Ok(Some(format!("{path} changed")));
        }
    }
    Ok(None)
}

/// Applies a function to each item, on all cores, and keeps the order.
pub fn each_on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let chunk = items.len().div_ceil(cores).max(1);
    if items.len() < 2 * cores {
        return items.iter().map(work).collect();
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = items.chunks(chunk).map(|part| scope.spawn(|| part.iter().map(&work).collect::<Vec<R>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}
