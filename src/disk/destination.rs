//! A destination: where a run puts what a person will review and commit.

use super::{Lock, Root, write_atomic};
use crate::fault::Fault;
use camino::Utf8Path;

/// Where a run puts pending snapshots and new recordings.
#[derive(Debug, Clone, Copy)]
pub enum Destination<'a> {
    /// The repository itself.
    Tree(&'a Root),
    /// A folder of its own, as in CI, from which `relapse review --from` brings them home.
    Folder(&'a Utf8Path),
    /// Nowhere: CI without a report directory.
    Nowhere,
}

impl Destination<'_> {
    /// Writes a file at once or not at all; the path is the one that the file has in the repository.
    ///
    /// # Errors
    /// A path that leaves the repository, or a disk that does not take the file.
    pub fn write(&self, path: &Utf8Path, bytes: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Tree(root) => root.write_atomic(path, bytes).map(drop),
            Self::Folder(folder) => write_atomic(&folder.join(super::confine(Utf8Path::new(""), path.as_str())?), bytes).map(drop),
            Self::Nowhere => Ok(()),
        }
    }

    /// Takes the folder for this process, where there is one; see [`Lock::take`].
    ///
    /// # Errors
    /// Another process has it.
    pub fn lock(&self) -> Result<Option<Lock>, Fault> {
        match self {
            Self::Tree(root) => Lock::take(root.path()).map(Some),
            Self::Folder(folder) => Lock::take(folder).map(Some),
            Self::Nowhere => Ok(None),
        }
    }

    /// Whether what is written can be found again.
    pub fn keeps(&self) -> bool {
        !matches!(self, Self::Nowhere)
    }
}
