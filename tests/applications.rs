//! A real program under relapse: between the proxy and the receiver, well-behaved and not.
//!
//! The program is `tests/apps/support_bot.rs`, which cargo builds as an example before it runs the tests.
#![cfg(unix)]

#[expect(dead_code, reason = "not every test file needs all of the harness")]
mod support;

use serde_json::Value;
use std::path::PathBuf;
use support::{Invocation, Output, Repository};

/// The project of the nine attempts, compiled.
fn project() -> Repository {
    Repository::compiled("application")
}

/// The same with one more target: the fixed bot with more lines of its own.
fn project_with(lines: &str) -> Repository {
    let repository = project();
    let target = format!(
        "targets:\n  odd:\n    command: [support_bot, \"{{{{ input }}}}\"]\n    output: {{answer: json:answer, outcome: json:outcome}}\n    upstreams: {{OPENAI_BASE_URL: \"https://api.openai.com/v1\"}}\n    snapshot: off\n{lines}\n"
    );
    repository.edit("relapse.yaml", "targets:\n", &target);
    repository
}

/// `PATH` with the folder that cargo puts examples into.
fn path() -> String {
    let tests = std::env::current_exe().expect("this test");
    let examples: PathBuf = tests.ancestors().nth(2).expect("target/debug").join("examples");
    assert!(examples.join("support_bot").exists(), "build the bot first: cargo build --examples");
    format!("{}:{}", examples.display(), std::env::var("PATH").expect("PATH"))
}

fn run(repository: &Repository, words: &str) -> Invocation {
    repository.relapse(words).env("PATH", &path()).env("COLUMNS", "1000")
}

/// Runs the case on a bot that misbehaves; it says so, and ends as stated.
fn misbehaving(lines: &str, exit: i32, says: &[&str]) -> Output {
    let output = run(&project_with(lines), "run --target odd").expects(exit);
    for part in says {
        assert!(output.stdout.contains(part), "{part:?} is not said:\n{output}");
    }
    output
}

#[test]
fn nine_attempts_of_nested_retries_regress_and_three_pass() {
    let repository = project();
    let nested = run(&repository, "run --target nested").expects(1);
    for value in ["retries.count = 8", "retries.amplification = 9"] {
        assert!(nested.stdout.contains(value), "{nested}");
    }
    let fixed = run(&repository, "run --target fixed --report json=out.json").expects(0);
    assert!(fixed.stdout.contains("the telemetry does not tell `retries.count`; on the wire it is 2"), "{fixed}");
    let report: Value = serde_json::from_str(&repository.read("out.json")).unwrap();
    let signals = &report["cases"][0]["signals"];
    let values = ["retries.count", "retries.amplification", "outcome"].map(|name| signals[name].clone());
    assert_eq!(values, [Value::from(2), Value::from(3), Value::from("error")]);
}

#[test]
fn a_time_that_was_measured_gates_only_where_the_test_says_so() {
    let test = |more: &str| {
        let repository = project();
        let tests = format!("tests:\n  - {{name: in-time, expect: \"latency.total < 5\"{more}}}\n");
        repository.edit("postmortems/eight-429s.md", "tests:\n", &tests);
        repository.relapse("compile").expects(0);
        run(&repository, "run --target fixed --report json=out.json").expects(0);
        let report: Value = serde_json::from_str(&repository.read("out.json")).unwrap();
        report["cases"][0]["tests"][0].clone()
    };
    let shown = test("");
    assert_eq!((&shown["applicable"], &shown["held"]), (&Value::from(false), &Value::Null), "{shown}");
    assert!(shown["actual"].to_string().contains("latency.total = 0."), "{shown}");
    let gating = test(", measured: true");
    assert_eq!((&gating["applicable"], &gating["held"], &gating["trials"]["n"]), (&true.into(), &true.into(), &1.into()), "{gating}");
}

#[test]
fn a_program_that_fails_without_an_answer_is_no_verdict_on_the_case() {
    misbehaving("    env: {BOT_FAULT: exit}", 3, &["(infrastructure)", "the application exited with code 3", "BOT_TENANT is not set"]);
    misbehaving("    env: {BOT_FAULT: crash}", 3, &["the application was ended by signal 6"]);
    misbehaving("    env: {BOT_FAULT: hang}\n    timeout: 300ms", 3, &["did not end within its time"]);
}

#[test]
fn a_program_that_is_not_there_is_no_verdict_on_the_case() {
    let repository = project();
    repository.edit("relapse.yaml", "[support_bot, \"{{ input }}\"]", "[no_such_bot, \"{{ input }}\"]");
    let output = run(&repository, "run --target fixed").expects(3);
    assert!(output.stdout.contains("the application does not start: no_such_bot"), "{output}");
}

#[test]
fn a_flood_of_output_does_not_hide_the_answer() {
    misbehaving("    env: {BOT_FAULT: flood, BOT_INNER: \"9\"}", 1, &["retries.count = 8"]);
}

#[test]
fn processes_that_are_left_behind_are_ended_and_told() {
    misbehaving("    env: {BOT_FAULT: grandchild}", 3, &["processes that it had started did not; they were ended"]);
}

#[test]
fn a_program_that_asks_nobody_proves_nothing() {
    misbehaving("    env: {BOT_FAULT: mute}", 3, &["no request reached the proxy", "I know that by heart."]);
    misbehaving("    env: {BOT_FAULT: past}", 3, &["api.openai.com:443", "upstreams"]);
}

#[test]
fn missing_telemetry_is_a_regression_of_a_program_that_ran() {
    misbehaving("    env: {BOT_FAULT: silent}", 1, &["(missing-telemetry)", "no telemetry arrived", "model.requested"]);
    misbehaving(
        "    env: {BOT_FAULT: thrift}",
        1,
        &["(missing-telemetry)", "telemetry arrived as application/x-thrift, which is not OTLP"],
    );
}

#[test]
fn a_request_that_nothing_answers_needs_a_recording() {
    let repository = project();
    repository.edit("postmortems/eight-429s.md", "conditions:", "input: Where is my parcel?\nconditions:");
    repository.edit("postmortems/eight-429s.md", "times: 8", "times: 1");
    repository.relapse("compile").expects(0);
    let output = run(&repository, "run --target fixed").expects(5);
    assert!(output.stdout.contains("requests 2, 3: POST /v1/chat/completions is not recorded"), "{output}");
    assert!(output.stdout.contains("[-kettle?-] {+parcel?+}"), "{output}");
}

#[test]
fn a_condition_that_met_no_request_is_told_and_one_that_cannot_meet_any_is_refused() {
    let repository = project();
    repository.edit("postmortems/eight-429s.md", "[{call: 1, status: 429, times: 8}]", "[{call: 7, end: close}]");
    repository.relapse("compile").expects(0);
    let output = run(&repository, "run --target fixed --report markdown=out.md --report html=out.html").expects(0);
    let told = "a condition of the case met no request: call 7: end close";
    assert!(output.stdout.contains(told), "{output}");
    for file in ["out.html", "out.md"] {
        assert!(repository.read(file).contains("met no request"), "{file}");
    }
    repository.edit("postmortems/eight-429s.md", "conditions:", "conditions:\n  upstream: {SEARCH_URL: {json: []}}");
    repository.relapse("compile").expects(0);
    let refused = run(&repository, "run --target fixed").expects(2);
    assert!(refused.stderr.contains("the case answers for `SEARCH_URL`, which is no upstream of target `fixed`"), "{refused}");
    repository.edit("relapse.yaml", "upstreams: {OPENAI", "upstreams: {SEARCH_URL: \"https://search.test\", OPENAI");
    let unasked = run(&repository, "run --target fixed").expects(0);
    assert!(unasked.stdout.contains("a condition of the case met no request: upstream SEARCH_URL"), "{unasked}");
}

#[test]
fn an_empty_list_of_conditions_is_a_calm_day() {
    let repository = project();
    repository.edit("postmortems/eight-429s.md", "[{call: 1, status: 429, times: 8}]", "[]");
    repository.relapse("compile").expects(0);
    let calm = run(&repository, "run --target nested --report json=out.json").expects(0);
    let report: Value = serde_json::from_str(&repository.read("out.json")).unwrap();
    assert_eq!(report["cases"][0]["signals"]["retries.count"], 0, "{calm}");
    repository.edit("postmortems/eight-429s.md", "conditions:\n  model: []\n", "");
    repository.relapse("compile").expects(0);
    run(&repository, "run --target nested").expects(1);
}

#[test]
fn a_case_sets_only_variables_that_the_target_allows() {
    let repository = project();
    repository.edit("postmortems/eight-429s.md", "conditions:", "conditions:\n  env: {BOT_INNER: \"9\"}");
    repository.relapse("compile").expects(0);
    let refused = run(&repository, "run --target fixed").expects(2);
    assert!(refused.stderr.contains("the case sets `BOT_INNER`, which target `fixed` does not allow"), "{refused}");
    repository.edit("relapse.yaml", "    env: {BOT_INNER: \"3\"}", "    env: {BOT_INNER: \"3\"}\n    case_env: [BOT_INNER]");
    let allowed = run(&repository, "run --target fixed").expects(1);
    assert!(allowed.stdout.contains("retries.count = 8"), "{allowed}");
}

/// The report without what is declared to be measured.
fn without_times(repository: &Repository, file: &str) -> Value {
    let mut report: Value = serde_json::from_str(&repository.read(file)).expect("JSON");
    for case in report["cases"].as_array_mut().expect("cases") {
        let is_time = |name: &str| name.starts_with("latency.") && !matches!(name, "latency.first_token" | "latency.model");
        case["signals"].as_object_mut().expect("signals").retain(|name, _| !is_time(name) && name != "retries.wasted");
        for stage in case["stages"].as_array_mut().expect("stages") {
            stage.as_object_mut().expect("a stage").retain(|key, _| !matches!(key.as_str(), "start" | "duration"));
        }
    }
    report
}

/// The case, and as many copies of it.
fn copies(repository: &Repository, count: u32) {
    let page = repository.read("postmortems/eight-429s.md");
    for copy in 1..=count {
        repository.write(&format!("postmortems/copy-{copy}.md"), &page);
        for file in ["incident.otlp.jsonl", "incident.http.jsonl", "healthy.otlp.jsonl", "healthy.http.jsonl"] {
            let text = repository.read(&format!("postmortems/eight-429s/{file}"));
            repository.write(&format!("postmortems/copy-{copy}/{file}"), text);
        }
    }
    repository.relapse("compile").expects(0);
}

#[test]
fn the_same_case_gives_the_same_report_alone_and_with_eight_at_once() {
    let repository = project();
    repository.edit("relapse.yaml", "targets:\n", &service(8));
    copies(&repository, 7);
    let written = repository.read("relapse.yaml");
    let reports: Vec<Value> = [1, 8, 8]
        .iter()
        .enumerate()
        .map(|(index, width)| {
            repository.write("relapse.yaml", format!("{written}concurrency: {width}\n"));
            run(&repository, &format!("run --report json=out-{index}.json")).expects(1);
            without_times(&repository, &format!("out-{index}.json"))
        })
        .collect();
    assert_eq!(reports[0]["cases"].as_array().unwrap().len(), 24);
    assert_eq!(reports[0].to_string(), reports[1].to_string());
    assert_eq!(reports[1].to_string(), reports[2].to_string());
}

#[test]
fn a_service_that_passes_traces_on_is_asked_for_several_cases_at_once() {
    let repository = project();
    repository.edit("relapse.yaml", "targets:\n", &service(1));
    repository.edit("relapse.yaml", "env: {BOT_INNER: \"3\"}", "env: {BOT_INNER: \"3\", BOT_TRACED: \"1\", BOT_FAULT: meet}");
    copies(&repository, 2);
    let together = run(&repository, "run --target service --report json=together.json").expects(0);
    assert!(together.stdout.contains("3 passed"), "{together}");
    repository.edit("relapse.yaml", "BOT_FAULT: meet", "BOT_FAULT: forget");
    run(&repository, "run --target service --report json=again.json").expects(0);
    repository.edit("relapse.yaml", ", BOT_TRACED: \"1\", BOT_FAULT: forget", "");
    run(&repository, "run --target service --report json=alone.json").expects(0);
    let reports = ["together.json", "again.json", "alone.json"].map(|file| without_times(&repository, file));
    assert_eq!(reports[0].to_string(), reports[2].to_string());
    assert_eq!(reports[1].to_string(), reports[2].to_string());
}

/// The targets, and before them the fixed bot as a service.
fn service(instances: u32) -> String {
    format!(
        "targets:\n  service:\n    start: [env, \"BOT_PORT={{{{ port }}}}\", support_bot]\n    ready: /\n    http: {{path: /chat, body: {{question: \"{{{{ input }}}}\"}}, output: {{answer: answer, outcome: outcome}}}}\n    env: {{BOT_INNER: \"3\"}}\n    upstreams: {{OPENAI_BASE_URL: \"https://api.openai.com/v1\"}}\n    instances: {instances}\n    snapshot: off\n"
    )
}

#[test]
fn a_service_is_started_once_and_asked_for_every_case() {
    let repository = project();
    repository.edit("relapse.yaml", "targets:\n", &service(1));
    copies(&repository, 1);
    let fixed = run(&repository, "run --target service").expects(0);
    assert!(fixed.stdout.contains("2 passed"), "{fixed}");
    repository.edit("relapse.yaml", "BOT_INNER: \"3\"", "BOT_INNER: \"9\"");
    let nested = run(&repository, "run --target service").expects(1);
    assert!(nested.stdout.contains("retries.count = 8"), "{nested}");
}
