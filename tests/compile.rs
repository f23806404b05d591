//! `relapse compile` as a user meets it: the proof, what is refused and where, and the bytes it writes.

#[expect(dead_code, reason = "not every test file needs all of the harness")]
mod support;

use insta::assert_snapshot;
use support::{Output, Repository};

const POSTMORTEM: &str = "postmortems/refund-window.md";
const CASE: &str = "cases/refund-window/case.yaml";
const INCIDENT: &str = "postmortems/refund-window/incident.http.jsonl";

/// The project `passed`, with its second test replaced.
fn expecting(expect: &str) -> Repository {
    let repository = Repository::of("passed");
    repository.edit(POSTMORTEM, "{contains: 30 days}", expect);
    repository
}

/// The same, where a judge is to say whether an answer is good.
fn judged(rubric: &str) -> Repository {
    let repository = expecting(&format!("{{judge: {rubric}}}"));
    repository.edit("relapse.yaml", "version: 1", "version: 1\njudge: {model: openai/gpt-4o}");
    repository
}

/// The project `passed`, with another file as its incident.
fn with_incident(file: &str) -> Repository {
    let repository = Repository::of("passed");
    repository.edit(POSTMORTEM, "incident: incident.http.jsonl", &format!("incident: {file}"));
    repository
}

/// Compiling is refused, says so, and writes nothing.
fn refused(repository: &Repository) -> Output {
    let before = repository.tree();
    let output = repository.relapse("compile").expects(2);
    assert!(before == repository.tree(), "something was written");
    assert!(output.stdout.is_empty(), "{output}");
    output
}

// What is written.

#[test]
fn every_claim_is_shown_with_its_proof() {
    assert_snapshot!(Repository::of("traces").relapse("compile --verbose").expects(0), @"
    exit 0
    -- stdout --
    token-flood: 3 proved
      field  prompt.version (any)         proved    absent in the incident, present when healthy
      test   token-budget                 proved    incident: healthy.tokens.input = 100, tokens.input = 100000 · healthy: healthy.tokens.input = 100, tokens.input = 100
      test   succeeds                     proved    incident: outcome = 'error' · healthy: outcome = 'success'
    1 compiled, 1 changed
    ");
}

#[test]
fn only_the_case_is_written() {
    let repository = Repository::of("passed");
    let before = repository.tree();
    repository.relapse("compile").expects(0);
    let new: Vec<String> = repository.tree().into_keys().filter(|path| !before.contains_key(path)).collect();
    assert_eq!(new, [CASE]);
    assert!(before.iter().all(|(path, bytes)| repository.tree()[path] == *bytes));
}

#[test]
fn the_case_is_reviewable_text() {
    let repository = Repository::compiled("traces");
    let text = repository.read("cases/token-flood/case.yaml");
    let without_digests = regex::Regex::new("sha256:[0-9a-f]{64}").expect("a pattern").replace_all(&text, "sha256:…");
    assert_snapshot!(without_digests, @r#"
    # compiled by relapse from postmortems/token-flood.md; edit that file, then run `relapse compile`
    format: 1
    compiled: {"mapping": 1, "postmortem": "sha256:…", "evidence": {"healthy.otlp.jsonl": "sha256:…", "incident.otlp.jsonl": "sha256:…"}}
    title: "One question cost a hundred thousand tokens"
    class: "tokens"
    severity: "sev3"
    status: "active"
    input: "Sum it up."
    incident: {"signals": {"latency.total": 1, "latency.model": 1, "latency.retrieval": 0, "latency.tools": 0, "latency.gap": 0, "calls.model": 1, "calls.tool": 0, "calls.tool_errors": 0, "tokens.input": 100000, "output.truncated": false, "policy.blocked": false, "policy.unattributed": false, "outcome": "error"}}
    healthy: {"signals": {"latency.total": 1, "latency.model": 1, "latency.retrieval": 0, "latency.tools": 0, "latency.gap": 0, "calls.model": 1, "calls.tool": 0, "calls.tool_errors": 0, "tokens.input": 100, "output.truncated": false, "policy.blocked": false, "policy.unattributed": false, "outcome": "success"}}
    fields:
    - {"field": "prompt.version", "on": "any", "line": 6, "proof": "proved"}
    tests:
    - {"name": "token-budget", "expect": "tokens.input <= 2 * healthy.tokens.input", "gate": "every", "line": 8, "proof": "proved", "incident": {"held": false, "values": {"healthy.tokens.input": 100, "tokens.input": 100000}}, "healthy": {"held": true, "values": {"healthy.tokens.input": 100, "tokens.input": 100}}}
    - {"name": "succeeds", "expect": "outcome == 'success'", "gate": "every", "line": 10, "proof": "proved", "incident": {"held": false, "values": {"outcome": "error"}}, "healthy": {"held": true, "values": {"outcome": "success"}}}
    "#);
}

#[test]
fn two_compiles_in_two_folders_give_the_same_bytes() {
    for project in ["passed", "providers", "tool-loop", "traces"] {
        let (one, other) = (Repository::compiled(project), Repository::of(project));
        other.relapse("compile").env("TZ", "Asia/Tokyo").env("LC_ALL", "tr_TR.UTF-8").env("COLUMNS", "20").expects(0);
        assert!(one.tree() == other.tree(), "{project}");
    }
}

#[test]
fn compiling_again_changes_nothing() {
    assert_snapshot!(Repository::compiled("passed").relapse("compile").expects(0), @"
    exit 0
    -- stdout --
    refund-window: 2 proved
    1 compiled, 0 changed
    ");
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_give_the_same_case() {
    let (plain, windows) = (Repository::compiled("passed"), Repository::of("passed"));
    for path in [POSTMORTEM, "relapse.yaml", "prompts/v3.md"] {
        windows.write(path, format!("\u{feff}{}", plain.read(path).replace('\n', "\r\n")));
    }
    windows.relapse("compile").expects(0);
    assert_eq!(plain.read(CASE), windows.read(CASE));
    windows.relapse("run").expects(0);
}

#[test]
fn a_withdrawn_postmortem_takes_its_case_with_it() {
    let repository = Repository::compiled("passed");
    repository.edit(POSTMORTEM, "class: prompt", "class: prompt\nstatus: withdrawn");
    assert_snapshot!(repository.relapse("compile").expects(0), @"
    exit 0
    -- stdout --
    refund-window: withdrawn
    0 compiled, 0 changed
    ");
    assert!(!repository.path(CASE).exists());
    repository.relapse("run").expects(4);
}

#[test]
fn a_suite_without_postmortems_is_nothing_run() {
    assert_snapshot!(Repository::of("empty").relapse("compile").expects(4), @"
    exit 4
    -- stdout --
    no postmortems; write one with `relapse new`
    ");
}

// --check

#[test]
fn a_check_of_fresh_cases_passes_and_writes_nothing() {
    let repository = Repository::compiled("passed");
    let before = repository.tree();
    repository.relapse("compile --check").expects(0);
    assert!(before == repository.tree());
}

#[test]
fn a_check_of_an_edited_postmortem_fails_and_writes_nothing() {
    let repository = Repository::compiled("passed");
    repository.edit(POSTMORTEM, "30 days}", "30}");
    let before = repository.tree();
    assert_snapshot!(repository.relapse("compile --check").expects(2), @"
    exit 2
    -- stdout --
    refund-window: 2 proved
    -- stderr --
    cases/refund-window/case.yaml: not what its postmortem says, from line 3 on
      help: run `relapse compile` and commit the case
    ");
    assert!(before == repository.tree());
}

#[test]
fn a_check_finds_what_was_never_compiled_and_what_nothing_compiles_to() {
    let repository = Repository::compiled("passed");
    repository.write("postmortems/again.md", repository.read(POSTMORTEM));
    repository.write("postmortems/again/incident.http.jsonl", repository.read(INCIDENT));
    repository.write("postmortems/again/healthy.http.jsonl", repository.read("postmortems/refund-window/healthy.http.jsonl"));
    repository.remove(POSTMORTEM);
    let output = repository.relapse("compile --check").expects(2);
    assert_snapshot!(output, @"
    exit 2
    -- stderr --
    cases/refund-window/case.yaml: no postmortem postmortems/refund-window.md compiles to it
      help: delete the case, or restore the postmortem
    ");
}

#[test]
fn a_case_edited_by_hand_fails_the_check_and_compile_mends_it() {
    let repository = Repository::compiled("passed");
    let good = repository.read(CASE);
    repository.edit(CASE, "{\"held\": false}", "{\"held\": true}");
    repository.relapse("compile --check").expects(2);
    repository.relapse("compile").expects(0);
    assert_eq!(repository.read(CASE), good);
}

// The proof.

#[test]
fn a_test_that_holds_on_the_incident_is_vacuous() {
    assert_snapshot!(refused(&expecting("{contains: days}")), @r#"
    exit 2
    -- stderr --
    postmortems/refund-window.md:9:11: test `says-30-days` is vacuous: holds on the incident: "You have 90 days."
      9 |   - name: says-30-days
        |           ^
      help: make it stricter until it fails on the incident, or take it out: it would not have caught it
    "#);
}

#[test]
fn a_test_that_fails_when_healthy_is_a_false_alarm() {
    assert_snapshot!(refused(&expecting("{contains: 14 days}")), @r#"
    exit 2
    -- stderr --
    postmortems/refund-window.md:9:11: test `says-30-days` is false-alarm: fails when healthy: "You have 30 days."
      9 |   - name: says-30-days
        |           ^
      help: make it less strict until it holds when healthy
    "#);
}

#[test]
fn a_field_that_was_there_all_along_was_not_missing() {
    let repository = Repository::of("traces");
    repository.edit("postmortems/token-flood.md", "- prompt.version", "- request.id");
    assert_snapshot!(refused(&repository), @"
    exit 2
    -- stderr --
    postmortems/token-flood.md:6:5: field `request.id (any)` is vacuous: it was there all along, as app.request.id
      6 |   - request.id
        |     ^
      help: take it out of fields_missing: it was not missing
    ");
}

#[test]
fn a_field_that_nothing_could_carry_was_not_missing() {
    let repository = Repository::of("traces");
    repository.edit("postmortems/token-flood.md", "- prompt.version", "- {field: tool.returned, on: every tool call}");
    assert_snapshot!(refused(&repository), @"
    exit 2
    -- stderr --
    postmortems/token-flood.md:6:13: field `tool.returned (every tool call)` is vacuous: the incident has nothing that could carry it
      6 |   - {field: tool.returned, on: every tool call}
        |             ^
      help: take it out of fields_missing: it was not missing
    ");
}

/// A test that cannot be decided on the incident, because it told no session.
fn blind() -> Repository {
    let repository = Repository::of("traces");
    repository.edit("postmortems/token-flood.md", "outcome == 'success'", "tokens.output < 10");
    let healthy = "postmortems/token-flood/healthy.otlp.jsonl";
    for file in [healthy, "out/app.otlp.jsonl"] {
        let more = r#"{"key":"gen_ai.usage.output_tokens","value":{"intValue":"5"}},{"key":"app.outcome""#;
        repository.edit(file, r#"{"key":"app.outcome""#, more);
    }
    repository
}

#[test]
fn a_test_blind_on_the_incident_is_accepted_and_its_field_becomes_a_requirement() {
    let repository = blind();
    assert_snapshot!(repository.relapse("compile").expects(0), @"
    exit 0
    -- stdout --
    token-flood: 2 proved, 1 blind
      test   succeeds                     blind     unknown on the incident, for want of tokens.output
             at postmortems/token-flood.md:10:11
    1 compiled, 1 changed
    ");
    repository.relapse("run").expects(0);
    repository.edit("out/app.otlp.jsonl", "gen_ai.usage.output_tokens", "gen_ai.usage.bananas");
    assert_snapshot!(repository.relapse("run").expects(1), @r#"
    exit 1
    -- stdout --
    regressed  token-flood [app] (missing-telemetry)
      One question cost a hundred thousand tokens

      succeeds (nothing can be said)
        expected   tokens.output < 10
        actual     tokens.output = unknown
        values     tokens.output is unknown
        why        tokens.output is unknown: `usage.output_tokens` needs
                   gen_ai.usage.output_tokens (ask for usage in the stream:
                   stream_options.include_usage)
        where      postmortems/token-flood.md:10

      telemetry field usage.output_tokens
        expected   on any
        actual     absent
        why        add gen_ai.usage.output_tokens (ask for usage in the stream:
                   stream_options.include_usage)
        where      postmortems/token-flood.md:10

      diagnosis: prompt (supported)
        look first version-changed is supported: compare the two versions in your
                   prompt store; replay with the previous prompt
        supported  version-changed · field('prompt.version') = "v2"
        refuted    variables-unfilled, instructions-removed, instructions-added

      1 other test holds

      next:
        add the attribute that is named, or waive the field under `telemetry.waive` in relapse.yaml

    0 passed, 1 regressed, 0 changed, 0 undecided · regressed
    "#);
}

#[test]
fn a_test_blind_on_the_incident_gates_on_a_candidate_that_tells() {
    let repository = blind();
    repository.relapse("compile").expects(0);
    repository.edit("out/app.otlp.jsonl", r#""5""#, r#""50""#);
    assert!(repository.relapse("run").expects(1).stdout.contains("(regression)"));
}

#[test]
fn a_judge_without_an_answer_is_unproved_beside_what_is_proved() {
    assert_snapshot!(judged("Names the refund window.").relapse("compile").expects(0), @"
    exit 0
    -- stdout --
    refund-window: 1 proved, 1 unproved
      test   says-30-days                 unproved  no judge has answered: ask with `relapse compile --record`
             at postmortems/refund-window.md:9:11
    1 compiled, 1 changed
    ");
}

#[test]
fn a_postmortem_that_proves_nothing_is_refused() {
    let repository = judged("Names the refund window.");
    repository.edit(POSTMORTEM, "{not_contains: 90 days}", "{judge: Invents nothing.}");
    assert_snapshot!(refused(&repository), @"
    exit 2
    -- stderr --
    postmortems/refund-window.md:2:8: nothing in this postmortem is proved
      2 | title: Promised a 90-day refund window
        |        ^
      help: at least one test, field or signal must fail on the incident and hold when healthy; graders are asked with `relapse compile --record`
    ");
}

#[test]
fn a_postmortem_without_healthy_evidence_proves_nothing() {
    let repository = Repository::of("passed");
    repository.edit(POSTMORTEM, ", healthy: healthy.http.jsonl", "");
    assert_snapshot!(refused(&repository), @"
    exit 2
    -- stderr --
    postmortems/refund-window.md:2:8: nothing in this postmortem is proved
      2 | title: Promised a 90-day refund window
        |        ^
      help: at least one test, field or signal must fail on the incident and hold when healthy
    ");
}

#[test]
fn a_test_must_hold_on_every_healthy_request() {
    let repository = Repository::of("traces");
    let healthy = "postmortems/token-flood/healthy.otlp.jsonl";
    let other = repository.read(healthy).replace("0002", "0009").replace("r2", "r9").replace("success", "timeout");
    repository.write(healthy, repository.read(healthy) + &other);
    let output = refused(&repository);
    assert!(output.stderr.contains("test `succeeds` is false-alarm: fails when healthy: outcome = 'timeout'"), "{output}");
}

#[test]
fn a_signal_that_fires_in_time_is_proved_and_one_that_does_not_is_late() {
    let repository = Repository::of("traces");
    let late = "signals_late: [{name: flood, rule: \"tokens.input > 1000\", within: 30m}]\ntests:";
    repository.edit("postmortems/token-flood.md", "tests:", late);
    repository.relapse("compile").expects(0);
    // An hour of quiet before the flood.
    let incident = "postmortems/token-flood/incident.otlp.jsonl";
    let flood = repository.read(incident).replace("\"1000000000\"", "\"3601000000000\"").replace("\"2000000000\"", "\"3602000000000\"");
    let quiet = repository.read(incident).replace("0001", "0008").replace("r1", "r8").replace("100000", "100");
    repository.write(incident, quiet + &flood);
    repository.edit("postmortems/token-flood.md", "otlp.jsonl}", &format!("otlp.jsonl, pick: '{}1'}}", "0".repeat(31)));
    assert_snapshot!(refused(&repository), @r#"
    exit 2
    -- stderr --
    postmortems/token-flood.md:7:23: signal `flood` is late: it fires 60 min after onset, allowed are 30 min
      7 | signals_late: [{name: flood, rule: "tokens.input > 1000", within: 30m}]
        |                       ^
      help: loosen `share`, `over` or `min`, or allow more time in `within`
    "#);
}

#[test]
fn a_pick_that_is_not_there_names_what_is() {
    let repository = Repository::of("traces");
    repository.edit("postmortems/token-flood.md", "otlp.jsonl}", "otlp.jsonl, pick: abc}");
    assert_snapshot!(refused(&repository), @"
    exit 2
    -- stderr --
    postmortems/token-flood.md:4:78: no incident request has the trace id `abc`
      4 | nt: incident.otlp.jsonl, healthy: healthy.otlp.jsonl, pick: abc}
        |                                                             ^
      help: the evidence holds 00000000000000000000000000000001
    ");
}

// What is refused, where.

#[test]
fn all_mistakes_of_all_files_are_told_in_one_go() {
    let repository = Repository::of("passed");
    repository.write("postmortems/a.md", "no front matter\n");
    repository.write("postmortems/b.md", "---\ntitel: x\nclass: prompt\n---\n");
    repository.write("postmortems/c.md", "---\ntitle: x\nseverity: sev9\n");
    repository.edit("relapse.yaml", "version: 1", "version: 1\ntelemetri: {}");
    assert_snapshot!(refused(&repository), @r#"
    exit 2
    -- stderr --
    postmortems/a.md:1:1: no front matter: the first line of a postmortem is `---`
      1 | no front matter
        | ^
      help: begin the file with `---`, or move it out of postmortems/ (only README.md is left alone)
    postmortems/b.md:2:1: key `evidence` is missing
      2 | titel: x
        | ^
      help: add `evidence: …`
    postmortems/b.md:2:1: no case in this file: it has no `tests`, `fields_missing` or `signals_late`
      2 | titel: x
        | ^
      help: say what would have caught the incident, as in `tests: [{name: short, expect: "output.words <= 200"}]`
    postmortems/b.md:2:1: unknown key `titel`
      2 | titel: x
        | ^
      help: did you mean `title`?
    postmortems/c.md:1:1: front matter is opened here and never closed
      1 | ---
        | ^
      help: add a line `---` after the last key
    relapse.yaml:2:1: unknown key `telemetri`
      2 | telemetri: {}
        | ^
      help: did you mean `telemetry`?
    "#);
}

#[test]
fn one_broken_postmortem_keeps_the_others_from_being_written() {
    let repository = Repository::of("passed");
    repository.write("postmortems/broken.md", "---\ntitle: x\n---\n");
    refused(&repository);
}

#[test]
fn ids_that_differ_only_by_case_are_refused() {
    let repository = Repository::of("passed");
    repository.write("postmortems/Refund-Window.md", repository.read(POSTMORTEM));
    if repository.tree().keys().filter(|path| path.eq_ignore_ascii_case(POSTMORTEM)).count() < 2 {
        return; // This file system does not tell them apart.
    }
    let output = refused(&repository);
    assert!(output.stderr.contains("is also that of postmortems/Refund-Window.md: the two differ only by case"), "{output}");
}

#[test]
fn an_unknown_id_or_target_is_refused_with_a_suggestion() {
    let repository = Repository::of("passed");
    repository.edit(POSTMORTEM, "class: prompt", "class: prompt\ntargets: [bto]");
    assert_snapshot!(repository.relapse("compile refund-windwo").expects(2), @"
    exit 2
    -- stderr --
    no postmortem `refund-windwo`
      help: did you mean `refund-window`?
    ");
    assert_snapshot!(refused(&repository), @"
    exit 2
    -- stderr --
    postmortems/refund-window.md:4:11: no target `bto` in relapse.yaml
      4 | targets: [bto]
        |           ^
      help: did you mean `bot`?
    ");
}

#[test]
fn a_check_of_names_that_do_not_exist_points_at_the_name() {
    assert_snapshot!(refused(&expecting("\"tokens.inptu < 10 and outcome == 'sucess'\"")), @r#"
    exit 2
    -- stderr --
    postmortems/refund-window.md:10:14: unknown name `tokens.inptu`
      10 |     expect: "tokens.inptu < 10 and outcome == 'sucess'"
         |              ^
      help: did you mean `tokens.input`?
    "#);
}

#[test]
fn a_pattern_beyond_the_engine_is_refused() {
    assert_snapshot!(refused(&expecting("{matches: '(?=x)'}")), @"
    exit 2
    -- stderr --
    postmortems/refund-window.md:10:23: not a pattern: look-around, including look-ahead and look-behind, is not supported
      10 |     expect: {matches: '(?=x)'}
         |                       ^
      help: the engine is linear-time: it has no look-around and no back-references; use two checks
    ");
    assert!(refused(&expecting("{matches: 'a{1000000}'}")).stderr.contains("not a pattern"));
    expecting("{matches: '3(0+)+ days$|30'}").relapse("compile").expects(0);
}

#[test]
fn a_path_that_leads_elsewhere_is_refused_where_it_is_named() {
    let line = |output: &Output| output.stderr.lines().next().unwrap_or_default().to_string();
    let mut told = Vec::new();
    for file in ["../x", "/etc/passwd", "~/x", "file:x", "C:x", "'a\\b'", "%2e%2e/x", "''", ".", "x.jsonl"] {
        told.push(line(&refused(&with_incident(file))));
    }
    assert_snapshot!(told.join("\n"), @"
    postmortems/refund-window.md:5:3: key `incident` is missing
    postmortems/refund-window.md:5:3: key `incident` is missing
    postmortems/refund-window.md:5:3: key `incident` is missing
    postmortems/refund-window.md:5:3: key `incident` is missing
    postmortems/refund-window.md:5:3: key `incident` is missing
    postmortems/refund-window.md:5:3: key `incident` is missing
    postmortems/refund-window.md:5:20: `%` cannot begin a value
    postmortems/refund-window.md:5:3: key `incident` is missing
    postmortems/refund-window.md:5:3: key `incident` is missing
    postmortems/refund-window.md:5:20: `postmortems/refund-window/x.jsonl` does not exist
    ");
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_of_the_repository_is_refused_at_once() {
    use std::os::unix::fs::symlink;
    let outside = Repository::of("passed");
    let mut told = Vec::new();
    for kind in ["link outside", "link to itself", "dangling link", "folder", "pipe"] {
        let repository = with_incident("odd");
        let odd = repository.path("postmortems/refund-window/odd");
        match kind {
            "link outside" => symlink(outside.path(INCIDENT), &odd).expect("linked"),
            "link to itself" => symlink("odd", &odd).expect("linked"),
            "dangling link" => symlink("gone", &odd).expect("linked"),
            "folder" => std::fs::create_dir(&odd).expect("made"),
            _ => assert!(std::process::Command::new("mkfifo").arg(&odd).status().expect("mkfifo").success()),
        }
        let output = repository.relapse("compile").expects(2);
        told.push(format!("{kind}: {}", output.stderr.lines().next().unwrap_or_default()));
    }
    assert_snapshot!(told.join("\n"), @"
    link outside: postmortems/refund-window.md:5:20: `postmortems/refund-window/odd` leaves the repository through a link or `..`
    link to itself: postmortems/refund-window.md:5:20: cannot read `postmortems/refund-window/odd`: too many levels of symbolic links
    dangling link: postmortems/refund-window.md:5:20: `postmortems/refund-window/odd` does not exist
    folder: postmortems/refund-window.md:5:20: `postmortems/refund-window/odd` is a directory, not a file
    pipe: postmortems/refund-window.md:5:20: `postmortems/refund-window/odd` is a pipe, socket or device, not a file
    ");
}

#[test]
fn bombs_are_refused() {
    let aliases: String = (1..12).map(|level| format!("x-{level}: &x{level} [{}]\n", format!("*x{},", level - 1).repeat(9))).collect();
    let nested = format!("x: {}{}\n", "[".repeat(20_000), "]".repeat(20_000));
    for (bomb, message) in
        [(format!("x-0: &x0 [a]\n{aliases}"), "alias"), (nested, "nest"), (format!("x: {}\n", "a".repeat(2 << 20)), "bytes")]
    {
        let repository = Repository::of("passed");
        repository.write("postmortems/bomb.md", format!("---\n{bomb}---\n"));
        let output = refused(&repository);
        assert!(output.stderr.contains(message), "{message}: {}", output.stderr.chars().take(400).collect::<String>());
        assert!(output.stderr.len() < 4000);
    }
}

#[test]
fn odd_evidence_is_refused_with_what_it_is() {
    let mut told = Vec::new();
    for (name, bytes) in [
        ("empty", ""),
        ("prose", "hello\n"),
        ("torn in the middle", "{\"request\":{\n{\"request\":{}}\n"),
        ("no exchange", "{}\n"),
        ("null", "null\n"),
        ("latin-1", "\u{0}"),
    ] {
        let repository = Repository::of("passed");
        repository.write(INCIDENT, bytes);
        told.push(format!("{name}: {}", refused(&repository).stderr.lines().next().unwrap_or_default()));
    }
    let repository = Repository::of("traces");
    repository.write("postmortems/token-flood/incident.otlp.jsonl", "{\"resourceMetrics\":[]}\n");
    told.push(format!("metrics: {}", refused(&repository).stderr.lines().next().unwrap_or_default()));
    assert_snapshot!(told.join("\n"), @"
    empty: postmortems/refund-window.md:2:8: the incident's evidence holds no request
    prose: postmortems/refund-window/incident.http.jsonl:1:1: not an exchange: expected value at line 1 column 1
    torn in the middle: postmortems/refund-window/incident.http.jsonl:1:12: not an exchange: EOF while parsing an object at line 1 column 12
    no exchange: postmortems/refund-window/incident.http.jsonl:1:2: not an exchange: missing field `request` at line 1 column 2
    null: postmortems/refund-window/incident.http.jsonl:1:4: not an exchange: invalid type: null, expected struct RawExchange at line 1 column 4
    latin-1: postmortems/refund-window/incident.http.jsonl:1:1: byte 0 is NUL, which no text contains
    metrics: postmortems/token-flood/incident.otlp.jsonl: no telemetry: OTLP without spans and log records
    ");
}

#[test]
fn evidence_that_holds_a_secret_is_refused_by_line_and_the_secret_is_not_shown() {
    let key = format!("sk-ant-{}", "api03AbCdEfGhIjKlMnOp0123456789");
    let repository = Repository::of("passed");
    let good = repository.read(INCIDENT);
    repository.write(INCIDENT, format!("{good}{}", good.replace("Be kind.", &key)));
    let output = refused(&repository);
    assert_snapshot!(output, @r#"
    exit 2
    -- stderr --
    postmortems/refund-window/incident.http.jsonl:2: a secret (anthropic-key) is in the evidence
      2 | {"request":{"method":"POST","path":"/v1/chat/completions","b
      help: import it with `relapse new`, which redacts, or take the secret out by hand, and revoke it
    "#);
    assert!(!output.stderr.contains(&key[7..]));
}

#[test]
fn names_that_would_act_are_shown_escaped() {
    let repository = Repository::of("passed");
    repository.write("postmortems/::error::x.md", "---\n---\n");
    repository.write("postmortems/-rf.md", "---\n---\n");
    repository.write("postmortems/a\n::error::b.md", "---\n---\n");
    let output = refused(&repository);
    assert!(output.stderr.lines().all(|line| !line.trim_start().starts_with("::")), "{output}");
    assert!(output.stderr.contains("postmortems/a\\n"), "{output}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_not_utf_8_is_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let repository = Repository::of("passed");
    std::fs::write(repository.path("postmortems").join(std::ffi::OsStr::from_bytes(b"\xff.md")), "").expect("written");
    let output = repository.relapse("compile").expects(2);
    assert!(output.stderr.contains("is not UTF-8"), "{output}");
}

#[test]
fn a_class_that_the_runbook_does_not_know_is_refused_with_the_nearest() {
    let repository = Repository::of("passed");
    repository.edit("postmortems/refund-window.md", "class: prompt", "class: promt");
    assert_snapshot!(repository.relapse("compile").expects(2), @"
    exit 2
    -- stderr --
    postmortems/refund-window.md:3:8: unknown failure class `promt`
      3 | class: promt
        |        ^
      help: did you mean `prompt`? Classes stand in runbook.yaml, else in the built-in runbook
    ");
}

#[test]
fn a_repository_may_have_a_runbook_of_its_own() {
    let repository = Repository::of("passed");
    let own = "version: 1\nclasses:\n  promt:\n    enters: change.prompt\n    hypotheses:\n      - {id: edited, supports: change.prompt, refutes: not change.prompt, next: read it}\n";
    repository.write("runbook.yaml", own);
    repository.edit("postmortems/refund-window.md", "class: prompt", "class: promt");
    repository.relapse("compile").expects(0);
    repository.edit("runbook.yaml", "change.prompt\n", "change.promt\n");
    assert_snapshot!(repository.relapse("compile").expects(2), @"
    exit 2
    -- stderr --
    runbook.yaml:4:13: unknown name `change.promt`
      4 |     enters: change.promt
        |             ^
      help: did you mean `change.prompt`?
    ");
}

#[test]
fn what_a_postmortem_rules_out_is_held_against_the_runbook() {
    let repository = Repository::of("passed");
    let rule_out = |from: &str, hypothesis: &str| {
        repository.edit(
            "postmortems/refund-window.md",
            from,
            &format!("ruled_out: [{{hypothesis: {hypothesis}, because: it is}}]\ntests:"),
        );
    };
    rule_out("tests:", "variables-unfilled");
    repository.relapse("compile").expects(0);
    rule_out("ruled_out: [{hypothesis: variables-unfilled, because: it is}]\ntests:", "instructions-removed");
    assert_snapshot!(repository.relapse("compile").expects(2), @"
    exit 2
    -- stderr --
    postmortems/refund-window.md:6:26: `instructions-removed` is ruled out here, and the runbook supports it on this evidence
      6 | ruled_out: [{hypothesis: instructions-removed, because: it is}]
        |                          ^
      help: correct `ruled_out`, or the hypothesis in runbook.yaml: one of the two is wrong
    ");
}
