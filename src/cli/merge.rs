//! `relapse merge`: the shards of a run become one report.

use super::print::Terminal;
use super::publish::{Reports, publish, stories};
use crate::compile;
use crate::disk::{self, Root};
use crate::fault::{Fault, Faults};
use crate::limit;
use crate::project::Project;
use crate::report::json::read::{Part, read};
use crate::report::merge;
use crate::verdict::Outcome;
use camino::{Utf8Path, Utf8PathBuf};

/// Join the reports of all shards, and refuse an incomplete set
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relapse merge shard-1 shard-2 shard-3
  relapse merge shards --report-dir merged      a folder with one report directory for each shard")]
pub(super) struct Args {
    /// Report directories, or folders of them
    #[arg(value_name = "DIR", required = true)]
    directories: Vec<Utf8PathBuf>,
    #[command(flatten)]
    reports: Reports,
}

pub(super) fn merge(root: &Root, args: &Args, terminal: Terminal) -> Result<Outcome, Faults> {
    let requests = args.reports.requests()?;
    let project = Project::load(root)?;
    let mut faults = Faults::new();
    let folders: Vec<Utf8PathBuf> = args.directories.iter().filter_map(|directory| faults.take(folders(directory))).flatten().collect();
    let parts: Vec<(Utf8PathBuf, Part)> =
        folders.iter().filter_map(|folder| faults.take(part(folder)).map(|part| (folder.clone(), part))).collect();
    faults.into_result(())?;
    let mut summary = merge::join(parts)?.compared(&super::selection::comparable(&project, &[]));
    summary.stories = stories((root, &compile::mapping(&project)?), &requests, &summary.cases)?;
    if let Some(merged) = &args.reports.report_dir {
        folders.iter().try_for_each(|folder| gather(folder, merged))?;
    }
    Ok(publish(summary, &requests, &args.reports, (root, terminal)))
}

/// The report directories that a folder is or holds, sorted.
fn folders(directory: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Fault> {
    if directory.join("report.json").is_file() {
        return Ok(vec![directory.to_owned()]);
    }
    let entries = Root::at(directory)?.list(Utf8Path::new(""))?;
    let inner = entries.into_iter().map(|entry| directory.join(entry.path)).filter(|folder| folder.join("report.json").is_file());
    let inner: Vec<Utf8PathBuf> = inner.collect();
    if inner.is_empty() {
        return Err(Fault::new(format!("{directory} holds no report.json, nor does a folder in it")).help("run shards with --report-dir"));
    }
    Ok(inner)
}

fn part(folder: &Utf8Path) -> Result<Part, Fault> {
    let file = folder.join("report.json");
    let text = disk::read_text(&file, limit::REPORT_BYTES)?;
    read(&text).map_err(|fault| fault.in_file(file))
}

/// Copies the pending snapshots and recordings of a shard, for one `relapse review --from`.
fn gather(folder: &Utf8Path, merged: &Utf8Path) -> Result<(), Fault> {
    let source = Root::at(folder)?;
    let walk = walkdir::WalkDir::new(source.path().join("cases")).sort_by_file_name();
    for entry in walk.into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
        let Some(path) = Utf8Path::from_path(entry.path()).and_then(|path| path.strip_prefix(source.path()).ok()) else { continue };
        let bytes = source.read_bytes(path, limit::TRACE_BYTES)?;
        disk::write_atomic(&merged.join(path), &bytes)?;
    }
    Ok(())
}
