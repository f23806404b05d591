//! The workflow's step that writes the comment, run against a `gh` that only notes what it was asked for.
#![cfg(unix)]

#[expect(dead_code, reason = "not every test file needs all of the harness")]
mod support;

use relapse::report::markdown::COMMENT_MARKER;
use relapse::yaml;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use support::Repository;

const GH: &str = r#"#!/bin/sh
echo "$*" >> asked
case "$*" in
  *--paginate*) printf '%s' "$IDS"; exit "$LISTED" ;;
  *) exit "$WRITTEN" ;;
esac
"#;

fn step() -> String {
    let text = std::fs::read_to_string(".github/workflows/relapse.yml").expect("the workflow");
    let workflow = yaml::parse(&text, "relapse.yml", 1).expect("YAML").to_json();
    workflow.pointer("/jobs/comment/steps/1/run").and_then(|run| run.as_str()).expect("the step").to_string()
}

/// What the step prints, and what it asked `gh` for; it never fails.
fn comment((ids, listed, written): (&str, &str, &str), has_report: bool) -> (String, String) {
    let folder = Repository::empty();
    folder.write("bin/gh", GH);
    std::fs::set_permissions(folder.path("bin/gh"), std::fs::Permissions::from_mode(0o755)).expect("executable");
    folder.write("asked", "");
    if has_report {
        folder.write("relapse-report/comment.md", COMMENT_MARKER);
    }
    let path = format!("{}:{}", folder.path("bin").display(), std::env::var("PATH").unwrap_or_default());
    let mut bash = Command::new("bash");
    bash.args(["-e", "-c", &step()]).current_dir(folder.path("")).env("PATH", path);
    bash.env("GITHUB_REPOSITORY", "o/r").env("PULL", "7").env("IDS", ids).env("LISTED", listed).env("WRITTEN", written);
    let output = bash.output().expect("bash runs");
    assert!(output.status.success(), "{output:?}");
    (String::from_utf8(output.stdout).expect("UTF-8"), folder.read("asked"))
}

#[test]
fn the_first_run_writes_a_comment_and_later_ones_write_there() {
    let (printed, asked) = comment(("", "0", "0"), true);
    assert_eq!(printed, "");
    assert!(asked.ends_with("--method POST repos/o/r/issues/7/comments --field body=@relapse-report/comment.md\n"), "{asked}");
    let (_, asked) = comment(("11\n12\n", "0", "0"), true);
    assert!(asked.ends_with("--method PATCH repos/o/r/issues/comments/11 --field body=@relapse-report/comment.md\n"), "{asked}");
    assert!(asked.contains(COMMENT_MARKER), "the step looks for what the report writes: {asked}");
}

#[test]
fn a_comment_that_cannot_be_written_is_a_notice() {
    for (answers, has_report) in [(("", "0", "1"), true), (("", "1", "0"), true), (("", "0", "0"), false)] {
        let (printed, asked) = comment(answers, has_report);
        assert!(printed.starts_with("::notice title=relapse::no comment was written"), "{printed}");
        assert!(has_report || asked.is_empty(), "{asked}");
    }
}
