//! The whole process: start-up, and replaying suites of growing size with three checks a case.
//!
//! `cargo bench --bench replay`. Compare ratios of one run, not milliseconds of two.

#[path = "support/suite.rs"]
mod suite;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use suite::{RELAPSE, suite};
use tempfile::TempDir;

fn main() {
    divan::main();
}

fn relapse(root: &Path, arguments: &[&str]) -> bool {
    let status = Command::new(RELAPSE).args(arguments).current_dir(root).stdout(Stdio::null()).status();
    status.expect("relapse starts").success()
}

fn root_of(size: usize) -> PathBuf {
    static SMALL: OnceLock<TempDir> = OnceLock::new();
    static MIDDLE: OnceLock<TempDir> = OnceLock::new();
    static LARGE: OnceLock<TempDir> = OnceLock::new();
    let made = || suite(size, "openai/mock-model", "", true);
    let made = match size {
        100 => SMALL.get_or_init(made),
        1_000 => MIDDLE.get_or_init(made),
        _ => LARGE.get_or_init(made),
    };
    made.path().to_owned()
}

/// A process that does nothing: what every figure below contains.
#[divan::bench]
fn bare_process() {
    Command::new("true").status().expect("true starts");
}

#[divan::bench]
fn version() {
    Command::new(RELAPSE).arg("--version").stdout(Stdio::null()).status().expect("relapse starts");
}

#[divan::bench(args = [100, 1_000, 10_000], sample_count = 10)]
fn replay(bencher: divan::Bencher<'_, '_>, size: usize) {
    let root = root_of(size);
    bencher.bench(|| assert!(relapse(&root, &["run"]), "every case passes"));
}
