//! One harness for whole-program tests: a repository in a temporary folder, and the binary run in it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A repository of its own for one test; it is gone when the test ends.
pub(crate) struct Repository {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

impl Repository {
    /// A folder with nothing in it, not even relapse.yaml.
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("it is there");
        Self { _folder: folder, root }
    }

    /// A copy of `tests/projects/<name>/`.
    pub(crate) fn of(name: &str) -> Self {
        let repository = Self::empty();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/projects").join(name);
        for (path, bytes) in files(&source) {
            repository.write(&path, bytes);
        }
        repository
    }

    /// The same with its cases compiled.
    pub(crate) fn compiled(name: &str) -> Self {
        let repository = Self::of(name);
        repository.relapse("compile").expects(0);
        repository
    }

    /// The root, without links.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Writes a file, making its folders.
    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    /// The text of a file.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Replaces a text that must be there.
    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "{path} does not say {from:?}:\n{text}");
        self.write(path, text.replace(from, to));
    }

    /// Removes a file.
    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Every file with its bytes, by path from the root.
    pub(crate) fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        files(&self.root)
    }

    /// The binary with the words of a command line, in an environment that has only `PATH` and 80 columns.
    pub(crate) fn relapse(&self, words: &str) -> Invocation {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relapse"));
        command.current_dir(&self.root).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("COLUMNS", "80");
        command.args(words.split_whitespace());
        Invocation { command, root: self.root.clone() }
    }
}

/// Every file below a folder with its bytes; links are named, not followed.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.expect("an entry"));
    let files = entries.filter(|entry| entry.file_type().is_file());
    files
        .map(|entry| {
            let path = entry.path().strip_prefix(folder).expect("below the folder").to_string_lossy().into_owned();
            (path, fs::read(entry.path()).expect("read"))
        })
        .collect()
}

/// The binary, about to be run.
pub(crate) struct Invocation {
    /// For what the methods here do not cover.
    pub command: Command,
    root: PathBuf,
}

impl Invocation {
    /// One more argument, which may hold spaces.
    pub(crate) fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// One more variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it; any other exit code fails the test.
    pub(crate) fn expects(mut self, exit: i32) -> Output {
        let output = self.command.output().expect("the binary runs");
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).expect("output is UTF-8");
            text.replace(self.root.to_str().expect("UTF-8"), "[root]")
        };
        let output = Output { exit: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        assert_eq!(output.exit, Some(exit), "{:?}\n{output}", self.command);
        output
    }
}

/// What a run left, with the repository's path as `[root]`.
pub(crate) struct Output {
    exit: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exit {
            Some(exit) => writeln!(f, "exit {exit}")?,
            None => writeln!(f, "ended by a signal")?,
        }
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(f, "-- {name} --\n{text}")?;
            }
        }
        Ok(())
    }
}
