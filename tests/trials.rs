//! Trials and gates as a user meets them: recorded trials of one case, replayed offline.

#[expect(dead_code, reason = "not every test file needs all of the harness")]
mod support;

#[expect(dead_code, reason = "not every test file needs all of the server")]
#[path = "support/server.rs"]
mod server;

use insta::assert_snapshot;
use serde_json::{Value, json};
use server::{Reply, Say, Server};
use support::{Output, Repository};

const POSTMORTEM: &str = "postmortems/refund-window.md";
const RECORDING: &str = "cases/refund-window/recordings/bot.jsonl";

/// The project `passed` whose test `says-30-days` has further keys, with one recorded trial for each sign: `+` says 30
/// days, `-` says something else that is no incident either.
fn recorded(keys: &str, signs: &str) -> Repository {
    let repository = Repository::of("passed");
    repository.edit(POSTMORTEM, "    expect: {contains: 30 days}\n", &format!("    expect: {{contains: 30 days}}\n{keys}"));
    let mut lines = repository.read(RECORDING).lines().map(str::to_string).collect::<Vec<_>>();
    let exchange: Value = serde_json::from_str(&lines.pop().expect("an exchange")).expect("JSON");
    for (index, sign) in signs.chars().enumerate() {
        let mut exchange = exchange.clone();
        exchange["trial"] = json!(index + 1);
        if sign == '-' {
            exchange["response"]["sse"][0]["data"] = json!({"choices": [{"delta": {"content": "Within a month."}}]}).to_string().into();
        }
        lines.push(exchange.to_string());
    }
    repository.write(RECORDING, lines.join("\n") + "\n");
    repository.relapse("compile").expects(0);
    repository
}

const RATE: &str = "    gate: {rate: 0.95}\n";

#[test]
fn a_rate_is_decided_as_soon_as_the_evidence_is_enough() {
    let repository = recorded(RATE, "++++++++----");
    repository.relapse("run --report json=out.json").expects(0);
    let report: Value = serde_json::from_str(&repository.read("out.json")).expect("JSON");
    let test = &report["cases"][0]["tests"][1];
    assert_eq!(test["trials"], json!({"n": 8, "held": 8}));
    assert_eq!(test["flaky"], false);
    assert_eq!(test["bounds"], "rate 0.95 against 0.70: evidence -2.44, holds at -2.25, fails at 2.89, at most 30 trials");
}

#[test]
fn a_test_that_holds_most_of_the_time_is_shown_as_flaky() {
    let repository = recorded(RATE, "++-++++++++++++++");
    assert_snapshot!(repository.relapse("run --report json=out.json --report junit=out.xml").expects(0), @"
    exit 0
    -- stdout --
    passed     refund-window [bot] (flaky)
      says-30-days: held in 14 of 15; rate 0.95 against 0.70: evidence -2.48, holds
      at -2.25, fails at 2.89, at most 30 trials

    note       refund-window [bot]: answer, signals and fields are those of number
               3, the worst of 15 trials

    1 passed, 0 regressed, 0 changed, 0 undecided · passed
    ");
    let report: Value = serde_json::from_str(&repository.read("out.json")).expect("JSON");
    assert_eq!(report["cases"][0]["tests"][1]["flaky"], true);
    assert!(repository.read("out.xml").contains("<flakyFailure"), "{}", repository.read("out.xml"));
}

#[test]
fn a_broken_test_is_decided_after_two_trials() {
    assert_snapshot!(recorded(RATE, "--").relapse("run").expects(1), @r#"
    exit 1
    -- stdout --
    regressed  refund-window [bot] (regression)
      Promised a 90-day refund window

      says-30-days
        expected   contains "30 days"
        actual     "Within a month."
        trials     held in 0 of 2
        gate       rate 0.95 against 0.70: evidence 3.58, holds at -2.25, fails at
                   2.89, at most 30 trials
        where      postmortems/refund-window.md:9

      diagnosis: prompt (supported)
        look first instructions-removed is supported: read the removed lines; replay
                   with the previous prompt, then line by line
        supported  instructions-removed · change.prompt.removed = 1
        unclear    instructions-added, version-changed
        refuted    variables-unfilled
        prompt     - Be kind. 30 days.
        prompt     + Be kind. Refunds take 30 days, no more.

      1 other test holds

      note:  answer, signals and fields are those of number 1, the worst of 2 trials
      next:  relapse run refund-window --target bot --verbose

    0 passed, 1 regressed, 0 changed, 0 undecided · regressed
    "#);
}

#[test]
fn too_few_recorded_trials_need_a_recording() {
    assert_snapshot!(recorded(RATE, "+++").relapse("run").expects(5), @r#"
    exit 5
    -- stdout --
    undecided  refund-window [bot] (needs-recording)
      Promised a 90-day refund window

      trial 4, call 1: POST /v1/chat/completions is not recorded for trial 4

      says-30-days (nothing can be said)
        expected   contains "30 days"
        actual     "Within 30 days."
        trials     held in 3 of 3
        gate       rate 0.95 against 0.70: evidence -0.92, holds at -2.25, fails at
                   2.89, at most 30 trials
        why        3 of at most 30 trials do not decide it
        where      postmortems/refund-window.md:9

      1 other test holds

      next:
        relapse run refund-window --target bot --mode record, or take the change back

    0 passed, 0 regressed, 0 changed, 1 undecided · needs-person
    "#);
}

#[test]
fn evidence_against_a_test_at_its_last_trial_makes_it_suspect() {
    assert_snapshot!(recorded("    gate: {rate: 0.95}\n    trials: 4\n", "+++-").relapse("run").expects(1), @r#"
    exit 1
    -- stdout --
    regressed  refund-window [bot] (regression)
      Promised a 90-day refund window

      says-30-days (suspect: the trials are used up, with the evidence against it)
        expected   contains "30 days"
        actual     "Within a month."
        trials     held in 3 of 4
        gate       rate 0.95 against 0.70: evidence 0.88, holds at -2.25, fails at
                   2.89, at most 4 trials
        where      postmortems/refund-window.md:9

      diagnosis: prompt (supported)
        look first instructions-removed is supported: read the removed lines; replay
                   with the previous prompt, then line by line
        supported  instructions-removed · change.prompt.removed = 1
        unclear    instructions-added, version-changed
        refuted    variables-unfilled
        prompt     - Be kind. 30 days.
        prompt     + Be kind. Refunds take 30 days, no more.

      1 other test holds

      note:  answer, signals and fields are those of number 4, the worst of 4 trials
      next:  relapse run refund-window --target bot --verbose

    0 passed, 1 regressed, 0 changed, 0 undecided · regressed
    "#);
}

#[test]
fn of_several_recorded_trials_every_one_must_hold() {
    assert_snapshot!(recorded("", "++-").relapse("run").expects(1), @r#"
    exit 1
    -- stdout --
    regressed  refund-window [bot] (regression)
      Promised a 90-day refund window

      says-30-days
        expected   contains "30 days"
        actual     "Within a month."
        trials     held in 2 of 3
        where      postmortems/refund-window.md:9

      diagnosis: prompt (supported)
        look first instructions-removed is supported: read the removed lines; replay
                   with the previous prompt, then line by line
        supported  instructions-removed · change.prompt.removed = 1
        unclear    instructions-added, version-changed
        refuted    variables-unfilled
        prompt     - Be kind. 30 days.
        prompt     + Be kind. Refunds take 30 days, no more.

      1 other test holds

      note:  answer, signals and fields are those of number 3, the worst of 3 trials
      next:  relapse run refund-window --target bot --verbose

    0 passed, 1 regressed, 0 changed, 0 undecided · regressed
    "#);
    recorded("", "+++").relapse("run").expects(0);
}

#[test]
fn a_number_of_trials_that_is_asked_for_must_be_recorded() {
    recorded("    trials: 5\n", "+++++").relapse("run").expects(0);
    recorded("    trials: 5\n", "++++").relapse("run").expects(5);
}

#[test]
fn a_missing_recording_never_hides_a_failure() {
    let repository = recorded(RATE, "+++");
    let recording = repository.read(RECORDING).replace("Within 30 days.", "Within 30 or 90 days.");
    repository.write(RECORDING, recording);
    repository.relapse("run").expects(1);
}

// Live.

/// A live run of the project without recordings, on a model that says what the script says of each request.
fn live(keys: &str, exit: i32, script: impl Fn(usize) -> Option<&'static str> + Send + Sync + 'static) -> (Repository, Server, Output) {
    let repository = recorded(keys, "");
    repository.remove(RECORDING);
    let provider = "version: 1\nproviders:\n  local: {api: openai, base_url: \"${LLM_URL}\"}\n";
    repository.edit("relapse.yaml", "version: 1\n", provider);
    repository.edit("relapse.yaml", "bot: {model: openai/m", "bot: {model: local/m");
    let server = Server::start(move |asked, count| match script(count) {
        Some(text) => Say::text(text).to(asked),
        None => Reply::Whole(400, vec![], "{}".into()),
    });
    let words = "run --mode record --allow-host 127.0.0.1 --report json=out.json";
    let output = repository.relapse(words).env("LLM_URL", &server.url()).expects(exit);
    (repository, server, output)
}

fn test_of(repository: &Repository) -> Value {
    let report: Value = serde_json::from_str(&repository.read("out.json")).expect("JSON");
    report["cases"][0]["tests"][1].clone()
}

#[test]
fn a_live_rate_asks_no_more_than_it_needs_and_replays_to_the_same_verdict() {
    // The rate is lost after two trials; the other test wants three.
    for (text, exit, trials) in [("Within 30 days.", 0, 8), ("Within a month.", 1, 3)] {
        let (repository, server, _) = live(RATE, exit, move |_| Some(text));
        assert_eq!(server.asked().len(), trials, "{text}");
        let decided = test_of(&repository);
        repository.relapse("run --report json=out.json").expects(exit);
        assert_eq!(test_of(&repository), decided, "{text}");
    }
}

#[test]
fn an_outage_among_live_trials_neither_passes_nor_fails() {
    let (repository, _, output) = live(RATE, 3, |count| (count != 5).then_some("Within 30 days."));
    assert!(output.stdout.contains("(infrastructure)") && output.stdout.contains("trial 5"), "{output}");
    assert_eq!(test_of(&repository)["trials"], json!({"n": 4, "held": 4}));
}

#[test]
fn an_outage_among_live_trials_does_not_hide_what_failed_before() {
    let (_, _, output) = live("", 1, |count| if count == 1 { Some("Within 30 or 90 days.") } else { None });
    assert!(output.stdout.contains("(regression)"), "{output}");
}
