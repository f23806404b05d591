//! A destination: where a run puts what a person will review and commit.

use super::{Lock, Root, write_atomic};
use crate::fault::Fault;
use camino::{Utf8Path, Utf8PathBuf};

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

    /// The same by another thread, so that what else is under way on this one does not wait for the disk.
    ///
    /// Must be called on a runtime.
    ///
    /// # Errors
    /// Those of [`Self::write`].
    pub async fn write_aside(&self, path: Utf8PathBuf, bytes: Vec<u8>) -> Result<(), Fault> {
        let written = match *self {
            Self::Tree(root) => {
                let root = root.clone();
                tokio::task::spawn_blocking(move || Destination::Tree(&root).write(&path, &bytes)).await
            }
            Self::Folder(folder) => {
                let folder = folder.to_owned();
                tokio::task::spawn_blocking(move || Destination::Folder(&folder).write(&path, &bytes)).await
            }
            Self::Nowhere => return Ok(()),
        };
        written.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
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
