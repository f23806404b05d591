//! What changed waits for a person, in the tree and in a report directory.

mod support;

use insta::assert_snapshot;
use support::Repository;

const SNAPSHOT: &str = "cases/refund-window/snapshots/bot.snap";

/// A repository whose prompt target keeps snapshots.
fn keeping() -> Repository {
    let repository = Repository::compiled("passed");
    repository.edit("relapse.yaml", ", snapshot: off", "");
    repository
}

#[test]
fn what_was_never_accepted_waits_and_passes_once_accepted() {
    let repository = keeping();
    let run = repository.relapse("run").expects(5);
    assert!(run.stdout.contains("nothing was accepted yet"), "{}", run.stdout);
    let listed = repository.relapse("review").expects(5);
    assert_snapshot!(listed.stdout, @"pending  refund-window@bot    relapse review --accept refund-window@bot");
    let accepted = repository.relapse("review --accept refund-window").expects(0);
    assert_snapshot!(accepted.stdout, @"
    accepted refund-window@bot
    next: commit the snapshots, then run `relapse run`
    ");
    assert!(!repository.path(&format!("{SNAPSHOT}.new")).exists());
    repository.relapse("run").expects(0);
}

#[test]
fn a_first_run_may_accept_what_is_new_but_never_what_differs() {
    let repository = keeping();
    repository.relapse("run --accept-new").expects(0);
    repository.edit(SNAPSHOT, "30 days", "60 days");
    let differing = repository.relapse("run --accept-new").expects(5);
    assert!(differing.stdout.contains("differs from what was accepted"), "{}", differing.stdout);
    assert!(differing.stdout.contains("[-60-]") && differing.stdout.contains("{+30+}"), "{}", differing.stdout);
}

#[test]
fn a_rejected_snapshot_is_gone_and_comes_back_with_the_next_run() {
    let repository = keeping();
    repository.relapse("run").expects(5);
    repository.relapse("review --reject refund-window@bot").expects(0);
    assert!(!repository.path(&format!("{SNAPSHOT}.new")).exists());
    repository.relapse("run").expects(5);
    assert!(repository.path(&format!("{SNAPSHOT}.new")).exists());
}

#[test]
fn a_pending_snapshot_that_is_right_again_is_taken_away() {
    let repository = keeping();
    repository.relapse("run --accept-new").expects(0);
    repository.edit(SNAPSHOT, "30 days", "60 days");
    repository.relapse("run").expects(5);
    repository.edit(SNAPSHOT, "60 days", "30 days");
    repository.relapse("run").expects(0);
    assert!(!repository.path(&format!("{SNAPSHOT}.new")).exists());
}

#[test]
fn in_ci_the_tree_stays_as_it_was_and_the_report_directory_brings_it_home() {
    let repository = keeping();
    let before = repository.tree();
    let lost = repository.relapse("run").env("CI", "true").expects(5);
    assert!(lost.stdout.contains("pending snapshots were not written"), "{}", lost.stdout);
    assert_eq!(repository.tree(), before);
    let report = tempfile::tempdir().expect("a temporary folder");
    repository.relapse("run --report-dir").argument(report.path()).env("CI", "true").expects(5);
    assert_eq!(repository.tree(), before);
    assert!(report.path().join("report.json").is_file() && report.path().join("junit.xml").is_file());
    repository.relapse("review --accept refund-window --from").argument(report.path()).expects(0);
    repository.relapse("run").expects(0);
}

#[test]
fn a_strange_report_directory_brings_nothing_from_elsewhere() {
    let repository = keeping();
    let report = tempfile::tempdir().expect("a temporary folder");
    for path in ["cases/nobody/snapshots/bot.snap.new", "cases/refund-window/case.yaml", "relapse.yaml"] {
        let path = report.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, "mine").expect("written");
    }
    let before = repository.tree();
    repository.relapse("review --from").argument(report.path()).expects(2);
    assert_eq!(repository.tree(), before);
}

#[test]
fn a_name_that_is_not_pending_is_a_mistake() {
    let repository = keeping();
    repository.relapse("run").expects(5);
    let mistaken = repository.relapse("review --accept refund-windo@bot").expects(2);
    assert_snapshot!(mistaken.stderr, @"
    nothing is pending for `refund-windo@bot`
      help: did you mean `refund-window@bot`?
    ");
    repository.relapse("review --accept refund-window --reject refund-window").expects(2);
}

#[test]
fn clean_removes_what_nothing_refers_to() {
    let repository = keeping();
    repository.relapse("run --accept-new").expects(0);
    repository.write("cases/refund-window/snapshots/gone.snap", "---\nsource: x\n---\nold\n");
    repository.write("cases/refund-window/recordings/gone.jsonl", "{}\n");
    repository.relapse("clean --dry-run").expects(0);
    assert!(repository.path("cases/refund-window/snapshots/gone.snap").exists());
    let cleaned = repository.relapse("clean").expects(0);
    assert_snapshot!(cleaned.stdout, @"
    removed cases/refund-window/recordings/gone.jsonl
    removed cases/refund-window/snapshots/gone.snap
    ");
    repository.relapse("run").expects(0);
    assert_snapshot!(repository.relapse("clean").expects(0).stdout, @"nothing to remove");
    repository.remove(SNAPSHOT);
    repository.relapse("run").expects(5);
}
