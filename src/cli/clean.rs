//! `relapse clean`: files that nothing refers to any more.

use super::print::Terminal;
use crate::disk::Root;
use crate::fault::Faults;
use crate::project::Project;
use crate::recording;
use crate::verdict::Outcome;
use camino::{Utf8Path, Utf8PathBuf};

/// Remove recordings, judgements and snapshots that nothing refers to
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relapse clean --dry-run       only list them
  relapse clean")]
pub(super) struct Args {
    /// List what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn clean(root: &Root, args: &Args, terminal: Terminal) -> Result<Outcome, Faults> {
    let project = Project::load(root)?;
    let orphans = orphans(root, &project)?;
    for path in &orphans {
        if !args.dry_run {
            root.remove(path)?;
        }
        terminal.line(&format!("{} {path}", if args.dry_run { "would remove" } else { "removed" }));
    }
    if orphans.is_empty() {
        terminal.line("nothing to remove");
    }
    Ok(Outcome::Passed)
}

/// Recordings and snapshots of targets that are gone, and of cases without a compiled file.
fn orphans(root: &Root, project: &Project) -> Result<Vec<Utf8PathBuf>, Faults> {
    let list = |folder: &Utf8Path| if root.exists(folder) { root.list(folder) } else { Ok(Vec::new()) };
    let mut orphans = Vec::new();
    for case in list(Utf8Path::new("cases"))?.into_iter().filter(|entry| entry.is_directory) {
        let is_compiled = root.exists(&case.path.join("case.yaml"));
        for folder in ["recordings", "snapshots"] {
            for entry in list(&case.path.join(folder))?.into_iter().filter(|entry| !entry.is_directory) {
                let Some(target) = target(&entry.path) else { continue };
                if !is_compiled || project.target(target).is_none() {
                    orphans.push(entry.path);
                }
            }
        }
        let judgements = case.path.join("judgements.jsonl");
        if !is_compiled && root.exists(&judgements) {
            orphans.push(judgements);
        }
    }
    Ok(orphans)
}

/// The target of a file that relapse writes; none for a file of somebody else's.
fn target(path: &Utf8Path) -> Option<&str> {
    let name = path.file_name()?;
    [recording::SWAPS, ".jsonl", ".snap", ".snap.new"].into_iter().find_map(|ending| name.strip_suffix(ending))
}
