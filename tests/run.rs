//! `relapse run` as a user meets it: one fact a test, on the tiny repositories of `tests/projects/`.

#[expect(dead_code, reason = "not every test file needs all of the harness")]
mod support;

use insta::assert_snapshot;
use serde_json::Value;
use support::Repository;

const RECORDING: &str = "cases/refund-window/recordings/bot.jsonl";
const POSTMORTEM: &str = "postmortems/refund-window.md";
const TRACE: &str = "out/app.otlp.jsonl";

/// The project `passed` with a line more in its front matter.
fn with_status(status: &str) -> Repository {
    let repository = Repository::of("passed");
    repository.edit(POSTMORTEM, "class: prompt", &format!("class: prompt\nstatus: {status}"));
    repository.relapse("compile").expects(0);
    repository
}

/// The compiled project `traces`, whose exported trace says something else.
fn with_trace(from: &str, to: &str) -> Repository {
    let repository = Repository::compiled("traces");
    repository.edit(TRACE, from, to);
    repository
}

fn json(repository: &Repository, path: &str) -> Value {
    serde_json::from_str(&repository.read(path)).expect("JSON")
}

// Verdicts and exit codes.

#[test]
fn a_case_that_holds_passes() {
    assert_snapshot!(Repository::compiled("passed").relapse("run").expects(0), @"
    exit 0
    -- stdout --
    passed     refund-window [bot]

    1 passed, 0 regressed, 0 changed, 0 undecided · passed
    ");
}

#[test]
fn the_incidents_own_configuration_regresses() {
    assert_snapshot!(Repository::compiled("passed").relapse("run --target last-winter").expects(1), @r#"
    exit 1
    -- stdout --
    regressed  refund-window [last-winter] (regression)
      Promised a 90-day refund window

      no-invented-window
        expected   not contains "90 days"
        actual     says "90 days": "You have 90 days."
        where      postmortems/refund-window.md:7

      says-30-days
        expected   contains "30 days"
        actual     "You have 90 days."
        where      postmortems/refund-window.md:9

      diagnosis: prompt (supported)
        look first instructions-removed is supported: read the removed lines; replay
                   with the previous prompt, then line by line
        supported  instructions-removed · change.prompt.removed = 1
        unclear    instructions-added, version-changed
        refuted    variables-unfilled
        prompt     - Be kind. 30 days.
        prompt     + Be kind.

      next:  relapse run refund-window --target last-winter --verbose

    0 passed, 1 regressed, 0 changed, 0 undecided · regressed
    "#);
}

#[test]
fn verbose_shows_the_answer_and_the_signals_too() {
    assert_snapshot!(Repository::compiled("passed").relapse("run --verbose").expects(0), @r#"
    exit 0
    -- stdout --
    passed     refund-window [bot]
      Promised a 90-day refund window

      no-invented-window (holds)
        expected   not contains "90 days"
        actual     "Within 30 days."
        where      postmortems/refund-window.md:7

      says-30-days (holds)
        expected   contains "30 days"
        actual     "Within 30 days."
        where      postmortems/refund-window.md:9

        answer     Within 30 days.
        signals    calls.model = 1
                   calls.repeated = 0
                   calls.tool = 0
                   calls.tool_errors = 0
                   calls.unrecorded = 0
                   contradictions = 0
                   latency.first_token = 0.005
                   latency.model = 0.009
                   outcome = "success"
                   output.empty = false
                   output.json = false
                   output.refused = false
                   output.truncated = false
                   output.words = 3
                   policy.blocked = false
                   policy.unattributed = false
                   retries.amplification = 1
                   retries.count = 0
                   retries.wasted = 0

    1 passed, 0 regressed, 0 changed, 0 undecided · passed
    "#);
}

#[test]
fn a_proof_is_green_when_every_case_regresses() {
    assert_snapshot!(Repository::compiled("passed").relapse("run --prove").expects(0), @"
    exit 0
    -- stdout --
    regressed  refund-window [last-winter] (regression)

    proof      1 of 1 case regressed, as every one must

    0 passed, 1 regressed, 0 changed, 0 undecided · passed
    ");
}

#[test]
fn a_proof_is_red_when_a_case_passes_on_the_incidents_target() {
    let repository = Repository::compiled("passed");
    repository.write("prompts/v1.md", "Be kind. 30 days.\n");
    assert_snapshot!(repository.relapse("run --prove").expects(1), @r#"
    exit 1
    -- stdout --
    passed     refund-window [last-winter] (not-regressed)
      Promised a 90-day refund window
      It did not regress on a target that carries the incident, so it would not have
      caught it.

      no-invented-window (holds)
        expected   not contains "90 days"
        actual     "You have 30 days."
        where      postmortems/refund-window.md:7

      says-30-days (holds)
        expected   contains "30 days"
        actual     "You have 30 days."
        where      postmortems/refund-window.md:9

    proof      0 of 1 case regressed, as every one must

    1 passed, 0 regressed, 0 changed, 0 undecided · regressed
    "#);
}

#[test]
fn a_proof_names_the_cases_that_no_target_proves() {
    let repository = Repository::of("passed");
    repository.edit(POSTMORTEM, "class: prompt", "class: prompt\ntargets: [bot]");
    repository.relapse("compile").expects(0);
    assert_snapshot!(repository.relapse("run --prove").expects(4), @"
    exit 4
    -- stdout --
    note       none of the 1 cases and 2 targets is selected
    note       refund-window: no target with `expect: regressed` runs it
    proof      0 of 0 cases regressed, as every one must

    0 passed, 0 regressed, 0 changed, 0 undecided · nothing-ran
    ");
}

#[test]
fn answers_of_every_api_replay_streamed_or_whole() {
    assert_snapshot!(Repository::compiled("providers").relapse("run").expects(0), @"
    exit 0
    -- stdout --
    passed     refund-window [chat]
    passed     refund-window [claude]
    passed     refund-window [responses]
    passed     refund-window [whole]

    target     chat: 1 case, 1 passed, 0 regressed
    target     claude: 1 case, 1 passed, 0 regressed, 9 tokens in, 4 out
    target     responses: 1 case, 1 passed, 0 regressed, 9 tokens in, 4 out
    target     whole: 1 case, 1 passed, 0 regressed, 9 tokens in, 4 out
    compared   whole with chat: 1 case, none went another way
               so few cases hide a harm below 95 %
    compared   responses with chat: 1 case, none went another way
               so few cases hide a harm below 95 %
    compared   claude with chat: 1 case, none went another way
               so few cases hide a harm below 95 %

    4 passed, 0 regressed, 0 changed, 0 undecided · passed
    ");
}

#[test]
fn tools_are_answered_from_the_case_on_every_api() {
    assert_snapshot!(Repository::compiled("tool-loop").relapse("run").expects(0), @"
    exit 0
    -- stdout --
    passed     lost-order [chat]
    passed     lost-order [claude]
    passed     lost-order [responses]

    target     chat: 1 case, 1 passed, 0 regressed
    target     claude: 1 case, 1 passed, 0 regressed, 18 tokens in, 8 out
    target     responses: 1 case, 1 passed, 0 regressed, 18 tokens in, 8 out
    compared   responses with chat: 1 case, none went another way
               so few cases hide a harm below 95 %
    compared   claude with chat: 1 case, none went another way
               so few cases hide a harm below 95 %

    3 passed, 0 regressed, 0 changed, 0 undecided · passed
    ");
}

#[test]
fn a_tool_call_without_an_answer_prints_the_line_to_paste() {
    let repository = Repository::of("tool-loop");
    let path = "postmortems/lost-order/healthy.http.jsonl";
    let asked = repository.read(path).lines().next().expect("the model's call").to_string();
    repository.write(path, asked);
    repository.write(
        "postmortems/lost-order.md",
        "---\ntitle: Lost\nclass: tools\nevidence:\n  wire: {incident: incident.http.jsonl, healthy: healthy.http.jsonl}\n\
         tests: [{name: looks-it-up, expect: {tool_called: lookup}}]\n---\n",
    );
    repository.relapse("compile").expects(0);
    assert_snapshot!(repository.relapse("run --target chat").expects(5), @r#"
    exit 5
    -- stdout --
    undecided  lost-order [chat] (needs-recording)
      Lost

      the model called lookup({"order": 7}), and the case has no answer to it; add
      to `tool_results` of postmortems/lost-order.md:
        - {"name":"lookup","arguments":{"order":7},"result":"…"}

      looks-it-up (nothing can be said)
        expected   calls lookup
        actual     not asked
        where      postmortems/lost-order.md:6

      next:  add the lines above to `tool_results`, then run `relapse compile`

    0 passed, 0 regressed, 0 changed, 1 undecided · needs-person
    "#);
}

#[test]
fn a_prompt_changed_by_one_word_needs_a_recording() {
    let repository = Repository::compiled("passed");
    repository.edit("prompts/v3.md", "30 days", "60 days");
    assert_snapshot!(repository.relapse("run").expects(5), @r#"
    exit 5
    -- stdout --
    undecided  refund-window [bot] (needs-recording)
      Promised a 90-day refund window

      call 1: POST /v1/chat/completions is not recorded; nearest is
      cases/refund-window/recordings/bot.jsonl #1, a semantic change (prompt):
        /messages/0/content: Be kind. Refunds take [-30-] {+60+} days, no more.

      no-invented-window (nothing can be said)
        expected   not contains "90 days"
        actual     not asked
        where      postmortems/refund-window.md:7

      says-30-days (nothing can be said)
        expected   contains "30 days"
        actual     not asked
        where      postmortems/refund-window.md:9

      next:
        relapse run refund-window --target bot --mode record, or take the change back

    0 passed, 0 regressed, 0 changed, 1 undecided · needs-person
    "#);
}

#[test]
fn a_question_asked_once_more_than_recorded_needs_a_recording() {
    let repository = Repository::compiled("tool-loop");
    let path = "cases/lost-order/recordings/chat.jsonl";
    let text = repository.read(path);
    let lines: Vec<&str> = text.lines().collect();
    repository.write(path, format!("{}\n{}\n", lines[0], lines[1]));
    assert_snapshot!(repository.relapse("run --target chat").expects(5), @r#"
    exit 5
    -- stdout --
    undecided  lost-order [chat] (needs-recording)
      Said that an order does not exist without looking it up

      call 2: POST /v1/chat/completions is not recorded; nearest is
      postmortems/lost-order/healthy.http.jsonl #2, a semantic change (prompt):
        /messages/0/content: [-Help.-] {+Look orders up.+}

      looks-it-up (nothing can be said)
        expected   calls lookup({"order":7})
        actual     not asked
        where      postmortems/lost-order.md:9

      says-where-it-is (nothing can be said)
        expected   contains "sent"
        actual     not asked
        where      postmortems/lost-order.md:11

      next:
        relapse run lost-order --target chat --mode record, or take the change back

    0 passed, 0 regressed, 0 changed, 1 undecided · needs-person
    "#);
}

#[test]
fn a_deleted_recording_needs_a_recording() {
    let repository = Repository::compiled("passed");
    repository.remove(RECORDING);
    let output = repository.relapse("run").expects(5);
    assert!(output.stdout.contains("undecided  refund-window [bot] (needs-recording)"), "{output}");
}

#[test]
fn a_broken_recording_is_refused_and_left_alone() {
    let good = Repository::of("passed").read(RECORDING);
    let exchange = good.lines().nth(1).expect("an exchange");
    let header = good.lines().next().expect("a header");
    for (broken, message) in [
        (format!("{header}\n{}\n{exchange}\n", &exchange[..80]), "cases/refund-window/recordings/bot.jsonl:2:80: not an exchange"),
        (format!("{exchange}\n"), "the first line is no header of a recording"),
        (good.replace("\"relapse_recording\":1", "\"relapse_recording\":2"), "recording of format 2, expected 1"),
        (String::new(), "the first line is no header of a recording"),
        (
            good.replacen(r#"\"content\":\"Within 30 days.\"}}]}"#, r#"\"content\":\"Within 30"#, 1),
            "cases/refund-window/recordings/bot.jsonl:2:1: event 1 of the answer is no JSON: found `{\"choices\":[{\"delta\":{\"content\":\"Within 30`",
        ),
        (format!("{header}\n\u{0}"), "is NUL"),
    ] {
        let repository = Repository::compiled("passed");
        repository.write(RECORDING, &broken);
        let output = repository.relapse("run --report json=out.json").expects(2);
        assert!(output.stderr.contains(message), "{message}\n{output}");
        assert_eq!(repository.read(RECORDING), broken);
        assert!(!repository.path("out.json").exists());
    }
}

#[test]
fn half_a_last_line_is_no_answer() {
    let repository = Repository::compiled("passed");
    let text = repository.read(RECORDING);
    repository.write(RECORDING, &text[..text.len() - 20]);
    repository.relapse("run").expects(5);
}

#[test]
fn a_required_field_that_is_missing_regresses() {
    assert_snapshot!(with_trace("app.prompt.version", "app.prompt.motto").relapse("run").expects(1), @"
    exit 1
    -- stdout --
    regressed  token-flood [app] (missing-telemetry)
      One question cost a hundred thousand tokens

      telemetry field prompt.version
        expected   on any
        actual     absent
        why        add gen_ai.prompt.version (or app.prompt.version) on the root
                   span
        where      postmortems/token-flood.md:6

      diagnosis: context-integrity (supported)
        look first telemetry-lost is supported: require the lost fields in CI; look
                   at what set them before
        supported  telemetry-lost · change.fields.lost = 1
        refuted    window-exceeded, turns-dropped, turns-orphaned, input-truncated,
                   prompt-changed

      2 other tests hold

      next:
        add the attribute that is named, or waive the field under `telemetry.waive` in relapse.yaml

    0 passed, 1 regressed, 0 changed, 0 undecided · regressed
    ");
}

#[test]
fn a_required_field_that_a_person_waived_does_not_regress() {
    let repository = with_trace("app.request.id", "app.request.name");
    repository.edit("relapse.yaml", "telemetry:", "telemetry:\n  waive: [{field: request.id, why: gateway drops it, until: 2999-12-31}]");
    assert_snapshot!(repository.relapse("run").expects(0), @"
    exit 0
    -- stdout --
    passed     token-flood [app]

    waived     request.id (1 case): gateway drops it
    note       waived until 2999-12-31: request.id (gateway drops it)

    1 passed, 0 regressed, 0 changed, 0 undecided · passed
    ");
}

#[test]
fn a_waiver_ends_on_its_day() {
    let repository = with_trace("app.request.id", "app.request.name");
    repository.edit("relapse.yaml", "telemetry:", "telemetry:\n  waive: [{field: request.id, why: gateway drops it, until: 2020-01-01}]");
    assert!(repository.relapse("run").expects(1).stdout.contains("telemetry field request.id"));
}

#[test]
fn a_waiver_that_is_not_needed_asks_for_a_person() {
    let repository = Repository::compiled("traces");
    repository.edit("relapse.yaml", "telemetry:", "telemetry:\n  waive: [{field: request.id, why: gateway drops it}]");
    assert_snapshot!(repository.relapse("run").expects(5), @"
    exit 5
    -- stdout --
    changed    token-flood [app] (different)
      One question cost a hundred thousand tokens

      where: postmortems/token-flood.md:1

      2 other tests hold

      note:  `request.id` is there, so its waiver is not needed any more: take it
             out of relapse.yaml

    waived     request.id (1 case): gateway drops it
    note       waived: request.id (gateway drops it)

    0 passed, 0 regressed, 1 changed, 0 undecided · needs-person
    ");
}

#[test]
fn telemetry_that_contradicts_the_wire_on_a_required_field_regresses() {
    let repository = Repository::compiled("traces");
    let exchange = r#"{"request":{"method":"POST","path":"/v1/chat/completions","body":{"model":"m","messages":[]}},"#;
    let cut_off = r#""response":{"status":200,"body":{"choices":[{"message":{"content":"It is"},"finish_reason":"length"}]}}}"#;
    repository.write("out/app.http.jsonl", format!("{exchange}{cut_off}\n"));
    assert_snapshot!(repository.relapse("run").expects(1), @r#"
    exit 1
    -- stdout --
    regressed  token-flood [app] (contradiction)
      One question cost a hundred thousand tokens

      succeeds
        expected   outcome == 'success'
        actual     outcome = 'truncated'
        values     outcome = "truncated"
        where      postmortems/token-flood.md:10

      telemetry contradicts the wire on finish_reason
        telemetry  "stop"
        wire       "length"

      telemetry contradicts the wire on outcome
        telemetry  "success"
        wire       "truncated"

      diagnosis: output-contract (supported)
        look first cut-at-limit is supported: raise the token limit, or ask for
                   shorter answers; treat `length` as failed
        supported  cut-at-limit · change.finish.at_limit = true
        blind      model-changed · nothing tells model.responded: add
                   gen_ai.response.model (in the baseline)
        blind      format-lost · nothing tells output: add gen_ai.output.messages
        unclear    params-changed
        refuted    stream-broken, finish-unknown, prompt-changed
        warn       output.truncated: false → true
        changed    finish_reason: "stop" → "length"

      1 other test holds

      next:  relapse run token-flood --target app --verbose

    0 passed, 1 regressed, 0 changed, 0 undecided · regressed
    "#);
}

#[test]
fn what_the_wire_does_not_say_the_telemetry_may() {
    let repository = Repository::compiled("traces");
    let exchange = r#"{"request":{"method":"POST","path":"/v1/chat/completions","body":{"model":"m","messages":[]}},"#;
    let without_usage = r#""response":{"status":200,"body":{"choices":[{"message":{"content":"It is."},"finish_reason":"stop"}]}}}"#;
    repository.write("out/app.http.jsonl", format!("{exchange}{without_usage}\n"));
    repository.relapse("run").expects(0);
}

#[test]
fn a_test_that_needs_what_nobody_recorded_is_undecided() {
    assert_snapshot!(with_trace("gen_ai.usage.input_tokens", "gen_ai.usage.bananas").relapse("run").expects(3), @"
    exit 3
    -- stdout --
    undecided  token-flood [app] (blind)
      One question cost a hundred thousand tokens

      token-budget (nothing can be said)
        expected   tokens.input <= 2 * healthy.tokens.input
        actual     healthy.tokens.input = 100, tokens.input = unknown
        values     healthy.tokens.input = 100
                   tokens.input is unknown
        why        tokens.input is unknown: `usage.input_tokens` needs
                   gen_ai.usage.input_tokens (ask for usage in the stream:
                   stream_options.include_usage)
        where      postmortems/token-flood.md:8

      1 other test holds

      next:  add the attribute that is named, so that the test can decide

    0 passed, 0 regressed, 0 changed, 1 undecided · infrastructure
    ");
}

#[test]
fn a_case_without_a_trace_is_undecided() {
    assert_snapshot!(with_trace("Sum it up.", "Sum it down.").relapse("run").expects(3), @"
    exit 3
    -- stdout --
    undecided  token-flood [app] (no-trace)
      One question cost a hundred thousand tokens

      none of the 1 requests in 1 files of `out/*.otlp.jsonl` has the attribute
      `relapse.case = token-flood` or the case's input

      token-budget (nothing can be said)
        expected   tokens.input <= 2 * healthy.tokens.input
        actual     not asked
        where      postmortems/token-flood.md:8

      succeeds (nothing can be said)
        expected   outcome == 'success'
        actual     not asked
        where      postmortems/token-flood.md:10

      next:
        set the attribute `relapse.case` to `token-flood` on the run's root span

    0 passed, 0 regressed, 0 changed, 1 undecided · infrastructure
    ");
}

#[test]
fn a_trace_is_matched_by_the_attribute_relapse_case_too() {
    let repository = with_trace("Sum it up.", "Sum it down.");
    repository.edit(
        TRACE,
        r#"{"key":"app.outcome""#,
        r#"{"key":"relapse.case","value":{"stringValue":"token-flood"}},{"key":"app.outcome""#,
    );
    repository.relapse("run").expects(0);
}

#[test]
fn of_several_traces_the_worst_counts() {
    let repository = Repository::compiled("traces");
    let other = repository.read(TRACE).replace("\"120\"", "\"120000\"").replace("0003", "0004").replace("r3", "r4");
    repository.write("out/other.otlp.jsonl", other);
    let output = repository.relapse("run").expects(1);
    assert!(output.stdout.contains("the worst of 2 traces"), "{output}");
}

#[test]
fn a_target_whose_traces_were_not_exported_is_misconfigured() {
    let repository = Repository::compiled("traces");
    repository.remove(TRACE);
    assert_snapshot!(repository.relapse("run").expects(2), @r#"
    exit 2
    -- stderr --
    relapse.yaml:3:17: no file fits `out/*.otlp.jsonl`
      3 |   app: {traces: "out/*.otlp.jsonl", wire: "out/*.http.jsonl"}
        |                 ^
      help: target `app` judges what another run exported: run it first
    "#);
}

#[test]
fn an_open_case_that_regresses_is_expected_and_shows_nothing_to_pass() {
    assert_snapshot!(with_status("open").relapse("run --target last-winter").expects(4), @"
    exit 4
    -- stdout --
    expected   refund-window [last-winter] (regressed: regression)
      the postmortem is open, so a regression is expected until the fix lands
      no-invented-window
        where      postmortems/refund-window.md:8
      says-30-days
        where      postmortems/refund-window.md:10

    note       no case gates: all are expected, muted or not applicable, so nothing
               was shown to pass

    0 passed, 0 regressed, 0 changed, 0 undecided, 1 not counted · nothing-ran
    ");
}

#[test]
fn an_open_case_that_passes_asks_for_its_status() {
    assert_snapshot!(with_status("open").relapse("run").expects(5), @"
    exit 5
    -- stdout --
    changed    refund-window [bot] (different)
      Promised a 90-day refund window

      where: postmortems/refund-window.md:1

      2 other tests hold

      note:  the postmortem is open, and the case passes: the incident is fixed
      next:
        set `status: active` in postmortems/refund-window.md, then run `relapse compile`

    0 passed, 0 regressed, 1 changed, 0 undecided · needs-person
    ");
}

#[test]
fn an_open_case_counts_in_a_proof() {
    with_status("open").relapse("run --prove").expects(0);
}

#[test]
fn a_muted_case_does_not_gate_until_its_date() {
    let repository = with_status("{muted: {until: 2999-12-31, why: the vendor is slow}}");
    assert_snapshot!(repository.relapse("run --target last-winter").expects(4), @"
    exit 4
    -- stdout --
    muted      refund-window [last-winter] (regressed: regression)
      the postmortem is muted, so this case does not gate until its date
      no-invented-window
        where      postmortems/refund-window.md:8
      says-30-days
        where      postmortems/refund-window.md:10

    note       refund-window [last-winter]: muted until 2999-12-31: the vendor is
               slow
    note       no case gates: all are expected, muted or not applicable, so nothing
               was shown to pass

    0 passed, 0 regressed, 0 changed, 0 undecided, 1 not counted · nothing-ran
    ");
}

#[test]
fn a_muted_case_gates_after_its_date() {
    let repository = with_status("{muted: {until: 2020-01-01, why: the vendor is slow}}");
    let output = repository.relapse("run --target last-winter").expects(1);
    assert!(output.stdout.contains("muted until 2020-01-01, which is over: the vendor is slow"), "{output}");
}

#[test]
fn a_judge_without_an_answer_is_undecided_and_never_green() {
    let repository = Repository::of("passed");
    repository.edit(POSTMORTEM, "{contains: 30 days}", "{judge: Names the refund window.}");
    repository.edit("relapse.yaml", "version: 1", "version: 1\njudge: {model: openai/gpt-4o}");
    repository.relapse("compile").expects(0);
    assert_snapshot!(repository.relapse("run").expects(5), @"
    exit 5
    -- stdout --
    undecided  refund-window [bot] (needs-recording)
      Promised a 90-day refund window

      says-30-days (nothing can be said)
        expected   judge: Names the refund window.
        actual     no judge has answered
        where      postmortems/refund-window.md:9

      1 other test holds

      next:
        relapse run refund-window --target bot --mode record, or take the change back

    0 passed, 0 regressed, 0 changed, 1 undecided · needs-person
    ");
}

#[test]
fn a_suite_without_cases_is_nothing_run() {
    assert_snapshot!(Repository::of("empty").relapse("run").expects(4), @"
    exit 4
    -- stdout --
    note       no cases: write a postmortem with `relapse new`, then run `relapse
               compile`

    0 passed, 0 regressed, 0 changed, 0 undecided · nothing-ran
    ");
}

#[test]
fn a_suite_that_nothing_selects_is_nothing_run() {
    let repository = Repository::compiled("passed");
    repository.edit("relapse.yaml", "v3.md, snapshot: off}", "v3.md, expect: regressed}");
    assert_snapshot!(repository.relapse("run").expects(4), @"
    exit 4
    -- stdout --
    note       none of the 1 cases and 2 targets is selected

    0 passed, 0 regressed, 0 changed, 0 undecided · nothing-ran
    ");
}

#[test]
fn a_folder_without_relapse_yaml_is_misconfigured() {
    assert_snapshot!(Repository::empty().relapse("run --root .").expects(2), @"
    exit 2
    -- stderr --
    no relapse.yaml in [root]
      help: run `relapse init`
    ");
}

#[test]
fn the_root_is_found_from_a_folder_below() {
    let repository = Repository::compiled("passed");
    let mut invocation = repository.relapse("run");
    invocation.command.current_dir(repository.path("postmortems"));
    invocation.expects(0);
}

/// One case, with targets that regress, pass, and lack a recording.
fn in_all_states() -> Repository {
    let repository = Repository::compiled("passed");
    repository.edit("relapse.yaml", "targets:", "targets:\n  lost: {model: openai/lost, prompt: prompts/v3.md, snapshot: off}");
    repository
}

#[test]
fn of_several_outcomes_the_gravest_decides() {
    let repository = in_all_states();
    repository.write("blocked", "a file where the report wants a folder");
    let unwritable = "--report json=blocked/out.json";
    for (arguments, exit) in [
        ("--target bot", 0),
        ("--target bot --target lost", 5),
        ("--target bot --target lost --target last-winter", 1),
        (&format!("--target bot {unwritable}"), 74),
        (&format!("--target lost {unwritable}"), 74),
        (&format!("--target last-winter {unwritable}"), 1),
        (&format!("--target bto {unwritable}"), 2),
    ] {
        repository.relapse(&format!("run {arguments}")).expects(exit);
    }
}

#[test]
fn a_report_that_cannot_be_written_keeps_the_verdict_and_the_other_reports() {
    let repository = Repository::compiled("passed");
    repository.write("blocked", "");
    assert_snapshot!(repository.relapse("run --report json=blocked/out.json --report junit=out.xml").expects(74), @"
    exit 74
    -- stdout --
    passed     refund-window [bot]

    1 passed, 0 regressed, 0 changed, 0 undecided · unreported
    -- stderr --
    the report could not be written to `blocked/out.json`: File exists (os error 17)
      help: check that its folder can be written to and that the disk has room
    ");
    assert!(repository.read("out.xml").contains("refund-window [bot]"));
}

// What is refused before anything runs.

#[test]
fn every_unknown_name_is_refused_with_a_suggestion() {
    let repository = Repository::compiled("passed");
    assert_snapshot!(repository.relapse("run refund-windwo --target bto --class promt").expects(2), @"
    exit 2
    -- stderr --
    no case `refund-windwo`
      help: did you mean `refund-window`?
    no case is of class `promt`
      help: did you mean `prompt`?
    no target `bto` in relapse.yaml
      help: did you mean `bot`?
    ");
}

#[test]
fn the_help_of_every_command_is_one_screen_with_an_example() {
    let repository = Repository::empty();
    let commands = ["init", "new", "compile", "run", "review", "trace", "record", "merge", "clean", "diagnose", "schema", "doctor"];
    for command in commands {
        let help = repository.relapse(&format!("{command} --help")).env("COLUMNS", "100").expects(0).stdout;
        assert!(help.contains("\nExample") && help.lines().count() <= 50, "{command}: {} lines\n{help}", help.lines().count());
    }
    let help = repository.relapse("--help").expects(0).stdout;
    for word in commands.iter().chain(&["completions", "130, 143 interrupted"]) {
        assert!(help.contains(&format!("\n  {word}")), "{word}: {help}");
    }
}

#[test]
fn an_unknown_flag_is_refused_with_a_suggestion() {
    assert_snapshot!(Repository::of("passed").relapse("run --tarrget bot").expects(2), @"
    exit 2
    -- stderr --
    error: unexpected argument '--tarrget' found

      tip: a similar argument exists: '--target'

    Usage: relapse run --target <NAME> [ID]...

    For more information, try '--help'.
    ");
}

#[test]
fn a_report_of_an_unknown_kind_is_refused_and_nothing_runs() {
    let repository = Repository::compiled("passed");
    assert_snapshot!(repository.relapse("run --report jnuit=a.xml --report json").expects(2), @"
    exit 2
    -- stderr --
    `jnuit` is no kind of report
      help: did you mean `junit`?
    `json` names no file
      help: write it as KIND=FILE, as in `junit=target/relapse.xml`
    ");
}

#[test]
fn a_stale_case_is_refused_whatever_changed() {
    for path in [POSTMORTEM, "postmortems/refund-window/incident.http.jsonl", "postmortems/refund-window/healthy.http.jsonl"] {
        let repository = Repository::compiled("passed");
        repository.write(path, repository.read(path) + "\n");
        let output = repository.relapse("run --report json=out.json").expects(2);
        assert!(output.stderr.contains(&format!("stale: {path} changed")), "{output}");
        assert!(output.stdout.is_empty() && !repository.path("out.json").exists());
    }
}

#[test]
fn a_stale_case_says_what_to_do() {
    let repository = Repository::compiled("passed");
    repository.edit(POSTMORTEM, "30 days}", "60 days}");
    assert_snapshot!(repository.relapse("run").expects(2), @"
    exit 2
    -- stderr --
    cases/refund-window/case.yaml: stale: postmortems/refund-window.md changed
      help: run `relapse compile` and commit the case
    ");
}

#[test]
fn a_schema_beside_the_postmortem_is_evidence_too() {
    let repository = Repository::of("passed");
    repository.edit(POSTMORTEM, "{contains: 30 days}", "{contains: 30 days, json: shape.json}");
    repository.write("postmortems/refund-window/shape.json", "{}");
    for file in ["incident", "healthy"] {
        let path = format!("postmortems/refund-window/{file}.http.jsonl");
        repository.edit(&path, "You have ", r#"[\\\"You have "#);
        repository.edit(&path, " days.", r#" days.\\\"]"#);
    }
    repository.relapse("compile").expects(0);
    repository.write("postmortems/refund-window/shape.json", r#"{"type": "array"}"#);
    let output = repository.relapse("run").expects(2);
    assert!(output.stderr.contains("stale: postmortems/refund-window/shape.json changed"), "{output}");
}

#[test]
fn a_postmortem_that_was_never_compiled_is_refused() {
    assert_snapshot!(Repository::of("passed").relapse("run").expects(2), @"
    exit 2
    -- stderr --
    postmortems/refund-window.md: not compiled yet
      help: run `relapse compile`
    ");
}

#[test]
fn a_case_without_a_postmortem_is_refused() {
    let repository = Repository::compiled("passed");
    repository.remove(POSTMORTEM);
    assert_snapshot!(repository.relapse("run").expects(2), @"
    exit 2
    -- stderr --
    cases/refund-window/case.yaml: postmortems/refund-window.md is gone
      help: delete cases/refund-window too, or restore the postmortem
    ");
}

#[test]
fn a_case_that_is_no_case_any_more_is_refused_by_line() {
    let repository = Repository::compiled("passed");
    repository.edit("cases/refund-window/case.yaml", "class: \"prompt\"", "class: prompt");
    assert_snapshot!(repository.relapse("run").expects(2), @"
    exit 2
    -- stderr --
    cases/refund-window/case.yaml:5: not what relapse wrote: expected value at line 1 column 1
      5 | class: prompt
      help: run `relapse compile`; never edit a compiled case by hand
    ");
}

#[test]
fn a_prompt_with_an_unknown_variable_is_refused_by_line() {
    let repository = Repository::compiled("passed");
    repository.write("prompts/v3.md", "Be kind.\nUse {{ docments }}.\n");
    assert_snapshot!(repository.relapse("run").expects(2), @"
    exit 2
    -- stderr --
    prompts/v3.md:2: the template uses `docments`, which no case has
      2 | Use {{ docments }}.
      help: did you mean `documents`?
    ");
}

#[test]
fn recorded_text_is_never_rendered_as_a_template() {
    let repository = Repository::of("passed");
    let braces = "{{ 7 * 7 }} {# x #} ${{ y }} %s";
    for path in [RECORDING, "postmortems/refund-window/incident.http.jsonl", "postmortems/refund-window/healthy.http.jsonl"] {
        repository.edit(path, "How long can I return it?", braces);
    }
    repository.relapse("compile").expects(0);
    repository.relapse("run").expects(0);
}

// What a run leaves behind.

#[test]
fn a_run_writes_nothing() {
    for ci in ["false", "true"] {
        let repository = in_all_states();
        let before = repository.tree();
        for arguments in ["--target bot", "--target lost", "--target last-winter", "--prove"] {
            let mut invocation = repository.relapse(&format!("run {arguments}")).env("CI", ci).env("GITHUB_ACTIONS", ci);
            invocation.command.output().expect("it runs");
        }
        assert!(before == repository.tree());
    }
}

#[test]
fn the_json_report_has_the_shape_of_the_contract() {
    let repository = in_all_states();
    repository.relapse("run --target lost --target last-winter --report json=out/report.json").expects(1);
    let report = json(&repository, "out/report.json");
    assert_eq!(report["format"], 1);
    assert_eq!((&report["outcome"], &report["exit"]), (&"regressed".into(), &1.into()));
    assert_eq!(report["counts"], serde_json::json!({"passed": 0, "regressed": 1, "changed": 0, "undecided": 1, "aside": 0}));
    let case = &report["cases"][0];
    for (key, value) in [("id", "refund-window"), ("target", "last-winter"), ("verdict", "regressed"), ("reason", "regression")] {
        assert_eq!(case[key], value);
    }
    assert_eq!(case["postmortem"], serde_json::json!({"file": POSTMORTEM, "line": 7}));
    assert_eq!(case["tests"][0]["trials"], serde_json::json!({"n": 1, "held": 0}));
    for key in ["title", "fields", "contradictions", "signals", "diagnosis", "cost_usd", "live_requests"] {
        assert!(case.get(key).is_some(), "{key}");
    }
    for key in ["name", "held", "expected", "actual", "values", "line"] {
        assert!(case["tests"][0].get(key).is_some(), "{key}");
    }
    assert_eq!(report["cases"][1]["reason"], "needs-recording");
}

#[test]
fn the_junit_report_names_each_case_and_target_once_with_its_type() {
    let repository = in_all_states();
    repository.relapse("run --target bot --target lost --target last-winter --report junit=out.xml").expects(1);
    let xml = repository.read("out.xml");
    let report = quick_junit::Report::deserialize_from_str(&xml).expect("a JUnit report");
    let cases: Vec<_> = report.test_suites.iter().flat_map(|suite| &suite.test_cases).collect();
    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["refund-window [bot]", "refund-window [last-winter]", "refund-window [lost]"]);
    assert!(xml.contains(r#"<failure message="regression: "#) && xml.contains(r#"type="regression""#), "{xml}");
    assert!(xml.contains(r#"<error message="needs-recording: "#) && xml.contains(r#"type="needs-recording""#), "{xml}");
    assert!(xml.contains(r#"file="postmortems/refund-window.md""#) && xml.contains(r#"line="7""#), "{xml}");
}

/// The same incident many times, so that all cores have work.
fn many() -> Repository {
    let repository = Repository::of("passed");
    let page = repository.read(POSTMORTEM);
    for number in 0..12 {
        repository.write(&format!("postmortems/again-{number}.md"), &page);
        for file in ["incident.http.jsonl", "healthy.http.jsonl"] {
            let text = repository.read(&format!("postmortems/refund-window/{file}"));
            repository.write(&format!("postmortems/again-{number}/{file}"), text);
        }
    }
    repository.relapse("compile").expects(0);
    repository
}

#[test]
fn the_same_inputs_give_the_same_reports() {
    let (one, other) = (many(), many());
    let run = "run --target bot --target last-winter --report json=out.json --report junit=out.xml";
    let first = one.relapse(run).expects(1);
    let second = other.relapse(run).env("TZ", "Asia/Tokyo").env("LC_ALL", "tr_TR.UTF-8").expects(1);
    assert_eq!(first.stdout, second.stdout);
    assert!(one.tree() == other.tree());
}

#[cfg(target_os = "linux")]
#[test]
fn one_core_gives_the_same_reports_as_many() {
    let repository = many();
    let run = "run --target bot --target last-winter --report json=out.json --report junit=out.xml";
    let all = repository.relapse(run).expects(1);
    let reports = repository.tree();
    let mut one = std::process::Command::new("taskset");
    one.args(["-c", "0", env!("CARGO_BIN_EXE_relapse")]).args(run.split(' ')).current_dir(repository.path("")).env("COLUMNS", "80");
    // A machine without taskset has nothing to compare.
    let Ok(alone) = one.output() else { return };
    assert_eq!(String::from_utf8_lossy(&alone.stdout), all.stdout);
    assert!(repository.tree() == reports);
}

// What is shown, and where.

#[test]
fn cases_come_in_the_order_of_their_ids() {
    let output = many().relapse("run --target bot").expects(5);
    let ids: Vec<&str> = output.stdout.lines().filter_map(|line| line.strip_prefix("undecided  ")).collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    assert_eq!((ids.len(), ids), (12, sorted));
}

#[test]
fn a_reader_that_went_away_changes_no_verdict() {
    use std::process::Stdio;
    let repository = Repository::compiled("passed");
    for (arguments, exit) in [("run", 0), ("run --target last-winter --verbose", 1), ("doctor", 0), ("--help", 0)] {
        let mut invocation = repository.relapse(arguments);
        let mut child = invocation.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("ended");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{arguments}: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

#[test]
fn colour_is_for_terminals_unless_asked_for() {
    let repository = Repository::compiled("passed");
    let plain = repository.relapse("run --target last-winter").expects(1);
    assert!(!plain.stdout.contains('\u{1b}'));
    assert_eq!(repository.relapse("run --target last-winter").env("NO_COLOR", "1").env("TERM", "dumb").expects(1).stdout, plain.stdout);
    assert!(repository.relapse("run --target last-winter --color always").expects(1).stdout.contains('\u{1b}'));
    assert_eq!(repository.relapse("run --target last-winter --color never").env("CLICOLOR_FORCE", "1").expects(1).stdout, plain.stdout);
}

#[test]
fn forty_columns_lose_nothing() {
    let repository = in_all_states();
    let words = |columns: &str| {
        let run = "run --target bot --target lost --target last-winter";
        let output = repository.relapse(run).env("COLUMNS", columns).expects(1);
        output.stdout.split_whitespace().collect::<String>()
    };
    assert_eq!(words("40"), words("120"));
    assert_eq!(words("1"), words("100000"));
}

#[test]
fn hostile_text_in_an_answer_is_inert() {
    let hostile = "90 days\n::error::a\r::set-env name=X::y\n\u{a0}::add-mask::a\nb ##[error]c\n\u{1b}]8;;http://x\u{7}\u{1b}[31m\u{202e}d\u{200b}\n##vso[task.complete]";
    let escaped = Value::from(Value::from(hostile).to_string()).to_string();
    let inner = escaped.trim_start_matches("\"\\\"").trim_end_matches("\\\"\"");
    let repository = Repository::of("passed");
    repository.edit("postmortems/refund-window/incident.http.jsonl", "90 days", inner);
    repository.edit(POSTMORTEM, "title: ", "title: \"::warning::title\" #");
    repository.relapse("compile").expects(0);
    for verbose in ["", " --verbose"] {
        let run = format!("run --target last-winter --report json=out.json --report junit=out.xml{verbose}");
        let output = repository.relapse(&run).expects(1);
        let shown = [output.stdout, output.stderr, repository.read("out.json"), repository.read("out.xml")];
        for text in &shown {
            let acts = |line: &str| line.trim_start().starts_with("::") || line.contains("##[") || line.contains("##vso[");
            let acting: Vec<&str> = text.split(['\n', '\r']).filter(|line| acts(line)).collect();
            assert!(acting.is_empty(), "{acting:?}");
            assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{200b}', '\u{7}']), "{text}");
        }
    }
}

#[test]
fn a_clipped_answer_is_told_with_the_length_that_it_has() {
    let repository = Repository::of("passed");
    let answer = format!("90 days {}", "and more ".repeat(100));
    repository.edit("postmortems/refund-window/incident.http.jsonl", "You have 90 days.", answer.trim());
    repository.relapse("compile").expects(0);
    let output = repository.relapse("run --target last-winter --report json=out.json").expects(1);
    let report = json(&repository, "out.json");
    let actual = report["cases"][0]["tests"][0]["actual"].as_str().expect("a text");
    assert_eq!(actual, format!("says \"90 days\": \"{}\"", answer.trim()));
    let unwrapped: String = output.stdout.split_whitespace().collect();
    assert!(unwrapped.contains(&format!("…{}bytes,sha256:", actual.len())), "{output}");
}

#[test]
fn a_secret_in_an_answer_is_in_no_report() {
    let key = format!("sk-ant-{}", "api03AbCdEfGhIjKlMnOp0123456789");
    let repository = Repository::compiled("passed");
    repository.edit(RECORDING, "Within 30 days.", &format!("90 days {key}"));
    let output = repository.relapse("run --verbose --report json=out.json --report junit=out.xml").expects(1);
    for text in [output.stdout, output.stderr, repository.read("out.json"), repository.read("out.xml")] {
        assert!(!text.contains(&key[7..]), "{text}");
    }
}

#[test]
fn on_github_the_run_annotates_and_appends_a_summary() {
    let repository = Repository::compiled("passed");
    let (page, output) = (repository.path("summary.md"), repository.path("output"));
    let run = repository.relapse("run --target last-winter").env("GITHUB_ACTIONS", "true");
    let run =
        run.env("GITHUB_STEP_SUMMARY", page.to_str().expect("UTF-8")).env("GITHUB_OUTPUT", output.to_str().expect("UTF-8")).expects(1);
    let annotated = run.stdout.lines().filter(|line| line.starts_with("::error file=postmortems/refund-window.md,line=")).count();
    assert_eq!(annotated, 1, "{}", run.stdout);
    assert!(repository.read("summary.md").starts_with("## relapse: regressed"));
    assert!(repository.read("output").contains("outcome=regressed\nexit=1\n"));
    let lost = repository.relapse("run --github").env("GITHUB_STEP_SUMMARY", "nowhere/at/all").expects(74);
    assert!(lost.stderr.contains("could not be written"), "{}", lost.stderr);
}

const FAILURES: usize = 300;

/// Copies of one case, each with a postmortem of its own.
fn failing() -> Repository {
    let repository = Repository::of("passed");
    let tree = repository.tree();
    for copy in 1..FAILURES {
        for (path, bytes) in tree.iter().filter(|(path, _)| path.contains("refund-window")) {
            repository.write(&path.replace("refund-window", &format!("copy-{copy:03}")), bytes);
        }
    }
    repository.relapse("compile").expects(0);
    repository
}

/// The places at which a text occurs.
fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn every_report_counts_300_failures_and_keeps_its_limit() {
    let repository = failing();
    let path = |name: &str| repository.path(name).to_str().expect("UTF-8").to_string();
    let run = repository
        .relapse("run --target last-winter --report json=out.json --report junit=out.xml --report markdown=out.md --report html=out.html")
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &path("summary.md"))
        .env("GITHUB_OUTPUT", &path("output"))
        .expects(1);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(count(&run.stdout, "\nregressed  "), FAILURES - 1, "the first line has no line before it");
    assert!(lines.contains(&"0 passed, 300 regressed, 0 changed, 0 undecided · regressed"));

    let commands: Vec<&&str> = lines.iter().filter(|line| line.starts_with("::")).collect();
    assert_eq!(commands.len(), 10, "nine annotations of cases, and one that counts the rest");
    assert_eq!(*commands[9], "::error title=relapse::and 291 more; the job summary has all of them");

    let json: serde_json::Value = serde_json::from_str(&repository.read("out.json")).expect("JSON");
    assert_eq!(json["counts"]["regressed"], FAILURES);
    let ids: std::collections::BTreeSet<&str> =
        json["cases"].as_array().expect("a list").iter().filter_map(|case| case["id"].as_str()).collect();
    assert_eq!(ids.len(), FAILURES);

    let junit = repository.read("out.xml");
    assert!(junit.contains(r#"tests="300" skipped="0" failures="300" errors="0""#));
    assert_eq!((count(&junit, "<testcase "), count(&junit, "<failure ")), (FAILURES, FAILURES));

    for page in ["out.md", "summary.md"] {
        let text = repository.read(page);
        assert!(text.len() <= 900 * 1024, "{page}: {} bytes", text.len());
        assert!(text.contains("| 0 | 300 | 0 | 0 | 0 |"), "{page}");
        assert_eq!(count(&text, "\n### regressed: "), FAILURES, "{page}");
    }
    assert_eq!(count(&repository.read("out.html"), "<article"), FAILURES);
    assert!(repository.read("output").contains("passed=0\nregressed=300\nchanged=0\nundecided=0\n"));
}
