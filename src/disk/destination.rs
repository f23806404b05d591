//! A destination: where a run puts what a person will review and commit.

use super::{Lock, Root, write_atomic};
use crate::fault::Fault;
use camino::{Utf8Path, Utf8PathBuf};
use tokio::task::JoinHandle;

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

/// A file on its way to the disk.
#[derive(Debug, Default)]
#[must_use = "a fault shows at the end"]
pub struct Writing(Option<JoinHandle<Result<(), Fault>>>);

impl Writing {
    /// Waits until the file is there.
    ///
    /// # Errors
    /// Those of [`Destination::write`].
    pub async fn end(self) -> Result<(), Fault> {
        let Some(thread) = self.0 else { return Ok(()) };
        thread.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
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

    /// The same by another thread, so that nothing else that is under way waits for the disk.
    ///
    /// Must be called on a runtime.
    pub fn write_aside(&self, path: Utf8PathBuf, bytes: Vec<u8>) -> Writing {
        Writing(match *self {
            Self::Tree(root) => {
                let root = root.clone();
                Some(tokio::task::spawn_blocking(move || Destination::Tree(&root).write(&path, &bytes)))
            }
            Self::Folder(folder) => {
                let folder = folder.to_owned();
                Some(tokio::task::spawn_blocking(move || Destination::Folder(&folder).write(&path, &bytes)))
            }
            Self::Nowhere => None,
        })
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
