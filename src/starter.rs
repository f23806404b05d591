//! A starting set: the files with which a repository begins.

use crate::disk::{PROJECT_FILE, Root};
use crate::evidence::Evidence;
use crate::fault::{Fault, Faults};
use crate::mapping::Mapping;
use crate::waiver::{self, Lacking};
use camino::{Utf8Path, Utf8PathBuf};

/// One file of the set.
#[derive(Debug, Clone, Copy)]
struct File {
    /// Where it goes, from the root.
    path: &'static str,
    /// What it says.
    text: &'static str,
}

/// What relapse itself reads.
const PROJECT: [File; 2] = [
    File { path: PROJECT_FILE, text: include_str!("starter/relapse.yaml") },
    File { path: "postmortems/README.md", text: include_str!("starter/postmortems.md") },
];

/// What GitHub reads: our own workflow and action, so that what a user copies is what runs here every day.
const GITHUB: [File; 4] = [
    File { path: ".github/workflows/relapse.yml", text: include_str!("../.github/workflows/relapse.yml") },
    File { path: ACTION, text: include_str!("../.github/actions/relapse/action.yml") },
    File { path: ".github/actions/relapse/install.sh", text: include_str!("../.github/actions/relapse/install.sh") },
    File { path: ".github/actions/relapse/run.sh", text: include_str!("../.github/actions/relapse/run.sh") },
];

/// The action, which says where CI gets relapse from.
pub const ACTION: &str = ".github/actions/relapse/action.yml";

/// What became of a file of the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It was written.
    Written,
    /// Something is there already, and stays as it is.
    LeftAlone,
    /// GitHub would not read it here, but only at this root of the git repository.
    Elsewhere(Utf8PathBuf),
}

/// What every request of a healthy recording lacks of what each must carry.
///
/// # Errors
/// A recording in which no request is found.
pub fn lacking(recordings: &[String]) -> Result<Vec<Lacking>, Faults> {
    let mut evidence = Evidence::default();
    for text in recordings {
        evidence.take_traces(text.as_bytes(), "--healthy")?;
    }
    let requests = evidence.requests(Mapping::built_in());
    if requests.is_empty() {
        return Err(Fault::new("the healthy recording holds no request").into());
    }
    Ok(waiver::lacking(&requests))
}

/// The project's text, with what is lacking waived, so that the first day is not red.
fn project(text: &str, lacking: &[Lacking]) -> String {
    if lacking.is_empty() { text.to_string() } else { waiver::written(text, lacking).unwrap_or_else(|| text.to_string()) }
}

/// Writes each file of the set where nothing is yet, and says what became of it; what is lacking is waived in the project.
///
/// # Errors
/// Files that cannot be written.
pub fn write(root: &Root, lacking: &[Lacking]) -> Result<Vec<(&'static str, Fate)>, Faults> {
    let elsewhere = git_root(root.path()).filter(|git| *git != root.path());
    let (mut faults, mut fates) = (Faults::new(), Vec::new());
    for file in PROJECT {
        fates.extend(faults.take(place(root, file.path, &project(file.text, lacking))));
    }
    for file in GITHUB {
        match elsewhere {
            Some(git) => fates.push((file.path, Fate::Elsewhere(git.to_owned()))),
            None => fates.extend(faults.take(place(root, file.path, file.text))),
        }
    }
    faults.into_result(fates)
}

fn place(root: &Root, path: &'static str, text: &str) -> Result<(&'static str, Fate), Faults> {
    let is_written = root.write_new(Utf8Path::new(path), text.as_bytes())?;
    Ok((path, if is_written { Fate::Written } else { Fate::LeftAlone }))
}

/// The nearest folder at or above with a `.git`, which is a file in a worktree.
fn git_root(folder: &Utf8Path) -> Option<&Utf8Path> {
    folder.ancestors().find(|folder| folder.join(".git").exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Project;
    use crate::waiver::EXAMPLE;

    #[test]
    fn the_project_is_sound_with_its_examples_and_without() {
        let text = PROJECT[0].text;
        assert!(text.contains(EXAMPLE));
        let project = Project::parse(Utf8Path::new(PROJECT_FILE), text).expect("a project");
        assert!(project.targets.is_empty());
        let shown =
            text.replace("targets: {}\n", "").replace("\n# targets:", "\ntargets:").replace("\n#   ", "\n  ").replace("\n  # ", "\n  ");
        let project = Project::parse(Utf8Path::new(PROJECT_FILE), &shown).unwrap_or_else(|faults| panic!("{faults:?}\n{shown}"));
        assert_eq!(
            project.targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>(),
            ["support-prompt", "support-app", "exported"]
        );
        assert_eq!(project.telemetry.waive.len(), 1);
    }
}
