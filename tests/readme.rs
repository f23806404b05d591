//! What the README shows is what the program does.

use std::fs;
use std::path::Path;
use std::process::Command;

fn relapse(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_relapse"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .env_clear()
        .env("COLUMNS", "100")
        .output()
        .expect("relapse starts");
    (output.status.code().expect("an exit code"), String::from_utf8(output.stdout).expect("UTF-8"))
}

fn readme() -> String {
    fs::read_to_string("README.md").expect("the README is there")
}

#[test]
fn the_console_block_is_what_the_command_prints() {
    let readme = readme();
    let block = readme.split("```console\n").nth(1).and_then(|rest| rest.split("\n```").next()).expect("a console block");
    let (command, shown) = block.split_once('\n').expect("a command and its output");
    let arguments: Vec<&str> = command.trim_start_matches("$ relapse ").split(' ').collect();
    let (exit, printed) = relapse(&arguments);
    assert_eq!(printed.trim(), shown.trim());
    assert_eq!(exit, 1);
}

#[test]
fn the_exit_codes_are_those_of_the_program() {
    let readme = readme();
    for (outcome, word, exit) in relapse::verdict::Outcome::ALL {
        let listed = readme.contains(&format!("\n| {exit} |"));
        assert!(listed || exit >= 130, "{word} ({outcome:?}) is not in the table");
    }
}

#[test]
fn our_own_cases_are_fresh_pass_today_and_catch_their_incidents() {
    assert_eq!(relapse(&["compile", "--check"]).0, 0);
    let (exit, printed) = relapse(&["run"]);
    assert_eq!(exit, 0, "{printed}");
    let (exit, proof) = relapse(&["run", "--prove"]);
    assert_eq!(exit, 0, "{proof}");
    for case in fs::read_dir("cases").expect("cases").flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()) {
        assert!(printed.contains(&format!("passed     {case} [")), "{case} passes nowhere");
        assert!(proof.contains(&format!("regressed  {case} [")), "{case} regresses nowhere");
    }
}

#[test]
fn the_postmortem_shown_is_one_of_ours() {
    let readme = readme();
    let shown = readme.split("```markdown\n").nth(1).and_then(|rest| rest.split("\n```").next()).expect("a postmortem");
    let ours = fs::read_to_string("postmortems/retrieval-empty-invented-policy.md").expect("ours");
    for line in shown.lines() {
        assert!(ours.contains(line), "not in our postmortem: {line}");
    }
}
