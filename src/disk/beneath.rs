//! A quick way to open what lies beneath a directory: one call to the kernel in place of a walk over every component.

use camino::Utf8Path;
use std::fs::File;

/// What came of opening a path.
pub(super) enum Opened {
    /// The file.
    File(File),
    /// Nothing is there.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "other systems look slowly"))]
    Missing,
}

#[cfg(target_os = "linux")]
mod kernel {
    use super::{File, Opened, Utf8Path};
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
    use rustix::io::Errno;
    use std::os::fd::OwnedFd;
    use std::sync::Arc;

    /// The directory, held open; none where the kernel knows no such call.
    #[derive(Debug, Clone)]
    pub(in crate::disk) struct Handle(Option<Arc<OwnedFd>>);

    impl Handle {
        pub(in crate::disk) fn of(directory: &Utf8Path) -> Self {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Self(openat(CWD, directory.as_str(), flags, Mode::empty()).ok().map(Arc::new))
        }

        /// The file, if it was reached without leaving the directory; none means: look again, slowly, and say why.
        pub(in crate::disk) fn open(&self, path: &Utf8Path) -> Option<Opened> {
            match self.call(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)? {
                Ok(file) => Some(Opened::File(File::from(file))),
                Err(Errno::NOENT) => Some(Opened::Missing),
                Err(_) => None,
            }
        }

        /// Whether something is there; none means: look again, slowly.
        pub(in crate::disk) fn exists(&self, path: &Utf8Path) -> Option<bool> {
            match self.call(path, OFlags::PATH)? {
                Ok(_) => Some(true),
                Err(Errno::NOENT) => Some(false),
                Err(_) => None,
            }
        }

        fn call(&self, path: &Utf8Path, flags: OFlags) -> Option<Result<OwnedFd, Errno>> {
            let directory = self.0.as_ref()?;
            Some(openat2(
                directory,
                path.as_str(),
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
            ))
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use super::{Opened, Utf8Path};

    /// Nothing: other systems walk every component.
    #[derive(Debug, Clone)]
    pub(in crate::disk) struct Handle;

    impl Handle {
        pub(in crate::disk) fn of(_directory: &Utf8Path) -> Self {
            Self
        }

        #[expect(clippy::unused_self, reason = "the same shape as on Linux")]
        pub(in crate::disk) fn open(&self, _path: &Utf8Path) -> Option<Opened> {
            None
        }

        #[expect(clippy::unused_self, reason = "the same shape as on Linux")]
        pub(in crate::disk) fn exists(&self, _path: &Utf8Path) -> Option<bool> {
            None
        }
    }
}

pub(super) use kernel::Handle;
