//! Shards of a run, merged again; and the cases that a change touches.

mod support;

use std::path::Path;
use std::process::Command;
use support::Repository;

/// A repository of several cases: copies of one.
fn suite() -> Repository {
    let repository = Repository::of("passed");
    let tree = repository.tree();
    for name in ["second", "third", "fourth"] {
        for (path, bytes) in &tree {
            if path.contains("refund-window") {
                repository.write(&path.replace("refund-window", name), bytes);
            }
        }
    }
    repository.relapse("compile").expects(0);
    repository
}

fn shard(repository: &Repository, part: &str, into: &Path) {
    repository.relapse(&format!("run --shard {part} --report-dir")).argument(into).env("CI", "true").expects(0);
}

#[test]
fn merged_shards_are_the_whole_run_byte_for_byte() {
    let repository = suite();
    let out = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| out.path().join(name);
    repository.relapse("run --report-dir").argument(path("whole")).env("CI", "true").expects(0);
    for part in 1..=3 {
        shard(&repository, &format!("{part}/3"), &path(&format!("shards/{part}")));
    }
    repository.relapse("merge").argument(path("shards")).argument("--report-dir").argument(path("merged")).expects(0);
    for name in ["report.json", "junit.xml", "summary.md", "comment.md", "report.html"] {
        let read = |folder: &str| std::fs::read_to_string(path(folder).join(name)).expect("written");
        assert_eq!(read("merged"), read("whole"), "{name}");
    }
}

#[test]
fn a_shard_that_is_missing_or_there_twice_is_no_run() {
    let repository = suite();
    let out = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| out.path().join(name);
    shard(&repository, "1/3", &path("1"));
    shard(&repository, "3/3", &path("3"));
    let missing = repository.relapse("merge").argument(path("1")).argument(path("3")).expects(2);
    assert!(missing.stderr.contains("no report of shard 2/3"), "{}", missing.stderr);
    shard(&repository, "3/3", &path("2"));
    let twice = repository.relapse("merge").argument(path("1")).argument(path("2")).argument(path("3")).expects(2);
    assert!(twice.stderr.contains("shard 3/3 is there twice"), "{}", twice.stderr);
    repository.edit("postmortems/third.md", "title: ", "title: Again, ");
    repository.relapse("compile").expects(0);
    shard(&repository, "2/3", &path("2"));
    let foreign = repository.relapse("merge").argument(path("1")).argument(path("2")).argument(path("3")).expects(2);
    assert!(foreign.stderr.contains("is of another run"), "{}", foreign.stderr);
}

#[test]
fn a_shard_with_nothing_in_it_is_not_affected() {
    let repository = Repository::compiled("passed");
    let run = repository.relapse("run --shard 2/2").expects(0);
    assert!(run.stdout.trim_end().ends_with("not-affected"), "{}", run.stdout);
    repository.relapse("run --shard 3/2").expects(2);
}

fn git(repository: &Repository, arguments: &[&str]) {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"];
    let status = Command::new("git").current_dir(repository.path("")).args(identity).args(arguments).status().expect("git starts");
    assert!(status.success(), "git {arguments:?}");
}

#[test]
fn only_what_a_change_touches_runs_and_the_rest_is_named() {
    let repository = suite();
    git(&repository, &["init", "--quiet"]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "--quiet", "--message", "before"]);
    let run = repository.relapse("run --changed-since HEAD").expects(0);
    assert!(run.stdout.trim_end().ends_with("not-affected"), "{}", run.stdout);
    repository.edit("postmortems/third.md", "title: ", "title: Again, ");
    repository.relapse("compile").expects(0);
    repository.write("app/bot.py", "print()");
    let run = repository.relapse("run --changed-since HEAD").expects(0);
    assert!(run.stdout.contains("passed     third [bot]") && run.stdout.contains("1 passed"), "{}", run.stdout);
    assert!(run.stdout.contains("changed, and no case is selected by it: app/bot.py"), "{}", run.stdout);
    repository.remove("app/bot.py");
    let run = repository.relapse("run --changed-since HEAD").expects(0);
    assert!(!run.stdout.contains("app/bot.py"), "{}", run.stdout);
    let unknown = repository.relapse("run --changed-since nowhere").expects(2);
    assert!(unknown.stderr.contains("git: "), "{}", unknown.stderr);
}
