//! The suite: every compiled case of a repository, each as fresh as its postmortem.

use crate::canonical;
use crate::case::{Case, Compiled};
use crate::disk::Root;
use crate::fault::{Fault, Faults, suggest};
use crate::gate::Gate;
use crate::limit;
use crate::mapping;
use camino::{Utf8Path, Utf8PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

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
        let folders = folders(root)?;
        let loaded = each_on_all_cores(&folders, |id| load(root, id, telemetry));
        let empty = |id: &String| folders.binary_search(id).map_or(true, |index| matches!(loaded[index], Ok(None)));
        let mut faults = Faults::new();
        for id in written_ids(root)?.iter().filter(|id| empty(id)) {
            if !is_withdrawn(root, id) {
                faults.push(uncompiled(id));
            }
        }
        let cases = loaded.into_iter().filter_map(|case| faults.take(case).flatten()).collect();
        faults.into_result(Self { cases })
    }

    /// Tests with a `rate`, over which the suite's error rate is divided.
    pub fn rate_tests(&self) -> usize {
        let gates = self.cases.iter().flat_map(|case| &case.tests).filter_map(|test| Gate::from_json(&test.gate));
        gates.filter(|gate| matches!(gate, Gate::Rate(_))).count()
    }

    /// The digest of every compiled case: equal suites have equal ones.
    pub fn digest(&self) -> String {
        let digests: Vec<String> = self.cases.iter().map(|case| canonical::digest(case.to_text().as_bytes())).collect();
        canonical::digest(digests.join("\n").as_bytes())
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

/// The folders below `cases/`, sorted.
fn folders(root: &Root) -> Result<Vec<String>, Faults> {
    let entries = if root.exists(Utf8Path::new("cases")) { root.list(Utf8Path::new("cases"))? } else { Vec::new() };
    let folders = entries.into_iter().filter(|entry| entry.is_directory);
    Ok(folders.filter_map(|entry| entry.path.file_name().map(str::to_string)).collect())
}

/// The ids of all postmortems, sorted.
fn written_ids(root: &Root) -> Result<Vec<String>, Faults> {
    let folder = Utf8Path::new("postmortems");
    let entries = if root.exists(folder) { root.list(folder)? } else { Vec::new() };
    let pages = entries.into_iter().filter(|entry| !entry.is_directory);
    let stems = pages.filter_map(|entry| entry.path.file_name().and_then(|name| name.strip_suffix(".md")).map(str::to_string));
    Ok(stems.filter(|stem| !stem.eq_ignore_ascii_case("readme")).collect())
}

fn is_withdrawn(root: &Root, id: &str) -> bool {
    let text = root.read_text(Utf8Path::new(&Case::postmortem_path(id)), limit::YAML_BYTES).unwrap_or_default();
    let front_matter = text.lines().skip(1).take_while(|line| *line != "---");
    front_matter.into_iter().any(|line| line.trim_end() == "status: withdrawn")
}

fn uncompiled(id: &str) -> Fault {
    Fault::new("not compiled yet").in_file(Case::postmortem_path(id)).help("run `relapse compile`")
}

/// A case; none when the folder holds no compiled file.
fn load(root: &Root, id: &str, telemetry: Option<&str>) -> Result<Option<Case>, Fault> {
    let path = Case::path(id);
    let Some(text) = root.read_text_if_there(Utf8Path::new(&path), limit::YAML_BYTES)? else { return Ok(None) };
    let case = Case::parse(id, &text)?;
    let postmortem = Case::postmortem_path(id);
    let Some(page) = root.read_text_if_there(Utf8Path::new(&postmortem), limit::MARKDOWN_BYTES)? else {
        let fault = Fault::new(format!("{postmortem} is gone")).in_file(path);
        return Err(fault.help(format!("delete cases/{id} too, or restore the postmortem")));
    };
    match staleness(root, &case.compiled, (id, &page), telemetry)? {
        None => Ok(Some(case)),
        Some(reason) => Err(Fault::new(format!("stale: {reason}")).in_file(path).help("run `relapse compile` and commit the case")),
    }
}

/// Why a case is not what its postmortem says today; none when it is.
fn staleness(root: &Root, compiled: &Compiled, (id, page): (&str, &str), telemetry: Option<&str>) -> Result<Option<String>, Fault> {
    if compiled.mapping != mapping::VERSION {
        return Ok(Some(format!("compiled with mapping {}, this is {}", compiled.mapping, mapping::VERSION)));
    }
    if compiled.telemetry.as_deref() != telemetry {
        return Ok(Some("the telemetry section of relapse.yaml changed".into()));
    }
    if postmortem_digest(page) != compiled.postmortem {
        return Ok(Some(format!("{} changed", Case::postmortem_path(id))));
    }
    for (file, digest) in &compiled.evidence {
        let path = Utf8PathBuf::from(format!("postmortems/{id}/{file}"));
        match root.read_bytes_if_there(&path, limit::TRACE_BYTES)? {
            None => return Ok(Some(format!("{path} is gone"))),
            Some(bytes) if canonical::digest(&bytes) != *digest => return Ok(Some(format!("{path} changed"))),
            Some(_) => {}
        }
    }
    Ok(None)
}

/// Applies a function to each item, on all cores, and keeps the order.
pub fn each_on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if items.len() < 2 * cores {
        return items.iter().map(work).collect();
    }
    // Each core takes the next few, because some items are long and some cores are busy.
    let few = items.len().div_ceil(8 * cores);
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = items.chunks(few).nth(place) else { return done };
            done.push((place, part.iter().map(&work).collect::<Vec<R>>()));
        }
    };
    let mut parts: Vec<(usize, Vec<R>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(take)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    parts.sort_unstable_by_key(|(place, _)| *place);
    parts.into_iter().flat_map(|(_, part)| part).collect()
}
