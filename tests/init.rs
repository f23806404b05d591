//! `relapse init` as a user meets it: what it writes, what it never touches, and what comes next.

#[expect(dead_code, reason = "not every test file needs all of the harness")]
mod support;

use insta::assert_snapshot;
use std::path::Path;
use support::Repository;

#[test]
fn an_empty_directory_becomes_a_repository_in_which_nothing_ran() {
    let repository = Repository::empty();
    assert_snapshot!(repository.relapse("init").expects(0), @"
    exit 0
    -- stdout --
    wrote       relapse.yaml
    wrote       postmortems/README.md
    wrote       .github/workflows/relapse.yml
    wrote       .github/actions/relapse/action.yml
    wrote       .github/actions/relapse/install.sh
    wrote       .github/actions/relapse/run.sh
    next: name a target in relapse.yaml, record with `relapse record -- CMD`, then start a page with `relapse new`
    for CI: say in .github/actions/relapse/action.yml where relapse comes from (`archive` and `sha256`)
    ");
    assert_snapshot!(repository.relapse("compile").expects(4), @"
    exit 4
    -- stdout --
    no postmortems; write one with `relapse new`
    ");
    assert_snapshot!(repository.relapse("run").expects(4), @"
    exit 4
    -- stdout --
    note       no cases: write a postmortem with `relapse new`, then run `relapse
               compile`

    0 passed, 0 regressed, 0 changed, 0 undecided · nothing-ran
    ");
    assert_snapshot!(repository.relapse("clean").expects(0), @"
    exit 0
    -- stdout --
    nothing to remove
    ");
}

#[test]
fn what_healthy_telemetry_lacks_is_waived_so_that_the_first_day_is_not_red() {
    let (repository, traces) = (Repository::empty(), Repository::of("traces"));
    repository.write("good.otlp.jsonl", traces.read("postmortems/token-flood/healthy.otlp.jsonl"));
    let first = repository.relapse("init --healthy good.otlp.jsonl").expects(0);
    assert!(first.stdout.contains("waived      session.id: to tell it, add session.id on the root span\n"), "{first}");
    let project = repository.read("relapse.yaml");
    assert!(
        project.contains("    - {field: session.id, why: \"not told when relapse came; to tell it, add session.id on the root span\"}\n")
    );
    repository.write("bad.otlp.jsonl", traces.read("postmortems/token-flood/incident.otlp.jsonl"));
    let page = repository.relapse("new --incident bad.otlp.jsonl --healthy good.otlp.jsonl flood").expects(0);
    assert!(!page.stdout.contains("waived ") && repository.read("relapse.yaml") == project, "{page}");
    let again = repository.relapse("init --healthy good.otlp.jsonl").expects(2);
    assert!(again.stderr.contains("relapse.yaml exists"), "{again}");
}

#[test]
fn a_second_time_changes_nothing() {
    let repository = Repository::empty();
    repository.relapse("init").expects(0);
    let first = repository.tree();
    let again = repository.relapse("init").expects(0);
    assert!(!again.stdout.contains("wrote") && again.stdout.contains("left alone  relapse.yaml"), "{again}");
    assert_eq!(repository.tree(), first);
}

#[test]
fn what_a_project_has_stays_as_it_is() {
    let repository = Repository::compiled("passed");
    let before = repository.tree();
    repository.write(".github/workflows/relapse.yml", "ours\n");
    repository.relapse("init").expects(0);
    let after = repository.tree();
    assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)));
    assert_eq!(repository.read(".github/workflows/relapse.yml"), "ours\n");
    repository.relapse("run").expects(0);
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_left_alone_and_one_out_of_the_repository_is_refused() {
    let (repository, outside) = (Repository::empty(), Repository::empty());
    std::os::unix::fs::symlink("nowhere", repository.path("relapse.yaml")).expect("linked");
    std::os::unix::fs::symlink(outside.path(""), repository.path("postmortems")).expect("linked");
    let output = repository.relapse("init").expects(2);
    assert!(output.stderr.contains("`postmortems/README.md` leaves the repository"), "{output}");
    assert!(repository.path("relapse.yaml").is_symlink() && outside.tree().is_empty());
}

#[test]
fn what_github_runs_is_what_runs_here() {
    let repository = Repository::empty();
    repository.relapse("init").expects(0);
    let written: Vec<String> = repository.tree().into_keys().filter(|path| path.starts_with(".github")).collect();
    assert_eq!(written.len(), 4, "{written:?}");
    for path in written {
        let ours = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).expect("ours");
        assert_eq!(repository.read(&path), ours, "{path}");
    }
}

#[test]
fn github_reads_nothing_below_the_root_of_the_git_repository() {
    let repository = Repository::empty();
    repository.write(".git/HEAD", "ref: refs/heads/main\n");
    repository.write("bot/main.py", "");
    let output = repository.relapse("--root bot init").expects(0);
    assert!(output.stdout.contains("left out    .github/workflows/relapse.yml: GitHub reads it only in [root]\n"), "{output}");
    assert!(repository.tree().keys().all(|path| !path.contains(".github")));
    repository.relapse("init").expects(0);
    assert!(repository.path(".github/workflows/relapse.yml").is_file());
}

#[test]
fn a_folder_of_a_project_becomes_one_of_its_own_only_by_name() {
    let repository = Repository::of("passed");
    repository.write("sub/file", "");
    let refused = |words: &str, exit| {
        let mut invocation = repository.relapse(words);
        invocation.command.current_dir(repository.path("sub"));
        invocation.expects(exit)
    };
    assert_snapshot!(refused("init", 2), @"
    exit 2
    -- stderr --
    [root]/sub belongs to the project of [root]
      help: run it there, or say `--root .` for a project of its own
    ");
    refused("--root . init", 0);
    assert!(repository.path("sub/relapse.yaml").is_file());
}

#[cfg(unix)]
#[test]
fn without_an_archive_the_action_says_where_to_name_one() {
    let (repository, runner) = (Repository::empty(), Repository::empty());
    repository.relapse("init").expects(0);
    repository.write("Cargo.toml", "[package]\nname = \"somebody-elses\"\n");
    let mut install = std::process::Command::new("bash");
    install
        .arg(repository.path(".github/actions/relapse/install.sh"))
        .env("RUNNER_TEMP", runner.path(""))
        .env("RELAPSE_SOURCE", repository.path(""));
    let output = install.output().expect("bash runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains(".github/actions/relapse/action.yml"), "{output:?}");
}
