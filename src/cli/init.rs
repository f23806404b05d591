//! `relapse init`: a repository begins.

use super::print::Terminal;
use crate::disk::{self, PROJECT_FILE, Root};
use crate::fault::{Fault, Faults};
use crate::limit;
use crate::starter::{self, Fate};
use crate::verdict::Outcome;
use crate::waiver::Lacking;
use camino::{Utf8Path, Utf8PathBuf};

/// Write relapse.yaml, a first page on postmortems and a GitHub workflow; nothing that exists is touched
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relapse init                   in the root of your repository
  relapse init --healthy good.otlp.jsonl
  relapse --root services/bot init")]
pub(super) struct Args {
    /// Telemetry of a healthy request: what it lacks is waived, so that the first day is not red
    #[arg(long, value_name = "FILE")]
    healthy: Vec<Utf8PathBuf>,
}

pub(super) fn init(root: &Root, is_named: bool, args: &Args, terminal: Terminal) -> Result<Outcome, Faults> {
    if !is_named {
        refuse_within_another(root)?;
    }
    let lacking = if args.healthy.is_empty() { Vec::new() } else { lacking(root, &args.healthy)? };
    let fates = starter::write(root, &lacking)?;
    for (path, fate) in &fates {
        terminal.line(&match fate {
            Fate::Written => format!("wrote       {path}"),
            Fate::LeftAlone => format!("left alone  {path}"),
            Fate::Elsewhere(git) => format!("left out    {path}: GitHub reads it only in {git}"),
        });
    }
    lacking.iter().for_each(|lacking| terminal.line(&lacking.line()));
    terminal
        .line(&format!("next: name a target in {PROJECT_FILE}, record with `relapse record -- CMD`, then start a page with `relapse new`"));
    if fates.contains(&(starter::ACTION, Fate::Written)) {
        terminal.line(&format!("for CI: say in {} where relapse comes from (`archive` and `sha256`)", starter::ACTION));
    }
    Ok(Outcome::Passed)
}

/// What healthy telemetry lacks; of no use where relapse.yaml stays as it is.
fn lacking(root: &Root, files: &[Utf8PathBuf]) -> Result<Vec<Lacking>, Faults> {
    if root.exists(Utf8Path::new(PROJECT_FILE)) {
        let fault = Fault::new(format!("{PROJECT_FILE} exists, so nothing can be waived in it"));
        return Err(fault.help("`relapse new` waives what its healthy recording lacks").into());
    }
    let mut faults = Faults::new();
    let texts = files.iter().filter_map(|file| faults.take(disk::read_text(file, limit::TRACE_BYTES))).collect::<Vec<_>>();
    starter::lacking(&faults.into_result(texts)?)
}

/// A folder below a project's root is hardly meant to be a project of its own, unless somebody says so.
fn refuse_within_another(root: &Root) -> Result<(), Fault> {
    let outer = root.path().ancestors().skip(1).find(|folder| folder.join(PROJECT_FILE).is_file());
    let is_project = root.exists(Utf8Path::new(PROJECT_FILE));
    match outer.filter(|_| !is_project) {
        Some(outer) => {
            let fault = Fault::new(format!("{} belongs to the project of {outer}", root.path()));
            Err(fault.help("run it there, or say `--root .` for a project of its own"))
        }
        None => Ok(()),
    }
}
