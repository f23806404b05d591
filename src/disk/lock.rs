//! A lock: one process at a time writes what belongs together in a folder.

use super::{canonical, reason, shown};
use crate::fault::Fault;
use camino::Utf8Path;
use std::fs::{self, File, TryLockError};
use std::io;

/// A folder that no other relapse writes recordings to until this is dropped, or the process ends in any way.
#[derive(Debug)]
pub struct Lock {
    _held: File,
}

impl Lock {
    /// Takes a folder, which is made if it is not there.
    ///
    /// # Errors
    /// Another process has it.
    pub fn take(folder: &Utf8Path) -> Result<Self, Fault> {
        let failed = |error: io::Error| Fault::infrastructure(format!("cannot lock {}: {}", shown(folder), reason(&error)));
        fs::create_dir_all(folder).map_err(failed)?;
        let held = open(&canonical(folder, folder)?).map_err(failed)?;
        match held.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let fault = Fault::infrastructure(format!("another relapse is recording into {}", shown(folder)));
                Err(fault.help("wait until it has ended: two at once would write over each other's answers"))
            }
            // A file system that knows no locks is no reason not to record.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { _held: held }),
        }
    }
}

/// The folder itself is what is locked, so that nothing has to be written, ignored or cleaned up.
#[cfg(unix)]
fn open(folder: &Utf8Path) -> io::Result<File> {
    File::open(folder)
}

/// A folder cannot be opened as a file here: its stand-in is a file among the temporary ones.
#[cfg(not(unix))]
fn open(folder: &Utf8Path) -> io::Result<File> {
    use sha2::{Digest as _, Sha256};
    let name: String = Sha256::digest(folder.as_str()).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    File::create(std::env::temp_dir().join(format!("relapse-{name}.lock")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_writer_at_a_time_and_is_free_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("report/run");
        let held = Lock::take(&path).unwrap();
        let refused = Lock::take(&path.join(".")).unwrap_err();
        assert!(refused.message.contains("another relapse") && refused.help.is_some(), "{refused:?}");
        assert!(Lock::take(Utf8Path::from_path(folder.path()).unwrap()).is_ok());
        drop(held);
        assert!(Lock::take(&path).is_ok());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    }
}
