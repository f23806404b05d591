//! A revision: the files that differ from it, and which cases they touch.

use crate::disk::{PROJECT_FILE, Root};
use crate::fault::Fault;
use crate::inert;
use crate::project::{Prompt, Target, TargetKind};
use camino::Utf8Path;
use std::collections::BTreeSet;
use std::process::Command;

/// Files that touch every case.
const EVERYWHERE: [&str; 2] = [PROJECT_FILE, "runbook.yaml"];

/// The files that differ from a revision, relative to the root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    files: BTreeSet<String>,
}

impl Difference {
    /// What differs from the point where the work left a revision: committed, uncommitted and untracked.
    ///
    /// # Errors
    /// No git, no repository, or a revision that git does not know.
    pub fn since(root: &Root, revision: &str) -> Result<Self, Fault> {
        check(revision)?;
        let changed = git(root, &["diff", "--merge-base", "--no-ext-diff", "--name-only", "--relative", "-z", revision, "--"])?;
        let untracked = git(root, &["ls-files", "--others", "--exclude-standard", "-z"])?;
        Ok(Self::of(changed.split('\0').chain(untracked.split('\0'))))
    }

    fn of<'a>(files: impl IntoIterator<Item = &'a str>) -> Self {
        Self { files: files.into_iter().filter(|file| !file.is_empty()).map(str::to_string).collect() }
    }

    /// Whether a case on a target may behave otherwise than before.
    pub fn touches(&self, case: &str, target: &Target) -> bool {
        self.files.iter().any(|file| is_everywhere(file) || case_of(file) == Some(case) || is_of_target(file, target))
    }

    /// Files that touch no case on any of some targets, as the application's own sources: a person should know.
    pub fn uncovered<'a>(&'a self, cases: &BTreeSet<&str>, targets: &[Target]) -> Vec<&'a str> {
        let covered = |file: &str| {
            is_everywhere(file)
                || case_of(file).is_some_and(|case| cases.contains(case))
                || targets.iter().any(|target| is_of_target(file, target))
        };
        self.files.iter().map(String::as_str).filter(|file| !covered(file)).collect()
    }
}

/// The text that a file of the repository had at a revision; none when it was not there.
///
/// # Errors
/// No git, no repository, a revision that git does not know, or a file that is too long or no text.
pub fn text_at(root: &Root, revision: &str, file: &Utf8Path, cap: u64) -> Result<Option<String>, Fault> {
    check(revision)?;
    let commit = git(root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{revision}^{{commit}}")]);
    let commit = commit.map_err(|_| unknown(revision))?;
    let object = format!("{}:./{file}", commit.trim());
    let Ok(size) = git(root, &["cat-file", "-s", &object]) else { return Ok(None) };
    if size.trim().parse::<u64>().map_or(true, |size| size > cap) {
        return Err(Fault::new(format!("longer than {cap} bytes")).in_file(format!("{revision}:{file}")));
    }
    git(root, &["cat-file", "blob", &object]).map(Some)
}

fn check(revision: &str) -> Result<(), Fault> {
    if revision.is_empty() || revision.starts_with('-') { Err(unknown(revision)) } else { Ok(()) }
}

fn unknown(revision: &str) -> Fault {
    Fault::new(format!("`{}` is no revision", inert::one_line(revision))).help("name one, as in `origin/main`")
}

fn is_everywhere(file: &str) -> bool {
    EVERYWHERE.contains(&file)
}

/// The case that a file belongs to by its path.
fn case_of(file: &str) -> Option<&str> {
    let inner = file.strip_prefix("postmortems/").or_else(|| file.strip_prefix("cases/"))?;
    match inner.split_once('/') {
        Some((id, _)) => Some(id),
        None => inner.strip_suffix(".md"),
    }
}

fn is_of_target(file: &str, target: &Target) -> bool {
    let TargetKind::Prompt(prompt) = &target.kind else { return false };
    let template = match &prompt.prompt {
        Prompt::File(reference) => Some(reference.path.as_str()),
        Prompt::Messages(_) => None,
    };
    template == Some(file) || prompt.tools.as_ref().is_some_and(|tools| tools.path == file)
}

fn git(root: &Root, arguments: &[&str]) -> Result<String, Fault> {
    let output = Command::new("git").arg("-C").arg(root.path().as_std_path()).args(arguments).output();
    let output = output.map_err(|error| Fault::new(format!("git does not start: {error}")).help("a revision needs git"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
        let help = "in CI, check out the whole history (`fetch-depth: 0`), or name a revision that is there";
        return Err(Fault::new(format!("git: {}", inert::one_line(said))).help(help));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Faults;

    fn targets() -> Vec<Target> {
        let text = "version: 1\ntargets:\n  bot: {model: openai/m, prompt: prompts/v3.md, tools: prompts/tools.json}\n  app: {traces: out/*.jsonl}\n";
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join(PROJECT_FILE), text).expect("written");
        let root = Root::at(camino::Utf8Path::from_path(folder.path()).expect("UTF-8")).expect("a root");
        crate::project::Project::load(&root).unwrap_or_else(|faults: Faults| panic!("{faults:?}")).targets
    }

    #[test]
    fn a_file_touches_its_case_its_target_or_everything() {
        let targets = targets();
        let (bot, app) = (&targets[0], &targets[1]);
        let of = |file: &str| Difference::of([file]);
        assert!(of("postmortems/a.md").touches("a", app) && !of("postmortems/a.md").touches("b", app));
        assert!(of("cases/a/recordings/bot.jsonl").touches("a", bot) && of("postmortems/a/x.jsonl").touches("a", bot));
        assert!(of("prompts/v3.md").touches("b", bot) && !of("prompts/v3.md").touches("b", app));
        assert!(of("prompts/tools.json").touches("b", bot) && of("relapse.yaml").touches("b", app));
        assert!(!of("src/app.py").touches("a", app) && !of("prompts/v2.md").touches("a", bot));
    }

    #[test]
    fn what_no_case_covers_is_listed() {
        let change = Difference::of(["src/app.py", "postmortems/a.md", "postmortems/gone/x.jsonl", "prompts/v3.md", "relapse.yaml"]);
        assert_eq!(change.uncovered(&BTreeSet::from(["a"]), &targets()), ["postmortems/gone/x.jsonl", "src/app.py"]);
    }

    #[test]
    fn a_revision_is_no_flag() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Root::at(camino::Utf8Path::from_path(folder.path()).expect("UTF-8")).expect("a root");
        assert!(Difference::since(&root, "--output=x").is_err() && Difference::since(&root, "").is_err());
    }
}
