//! `relapse new` as a user meets it: the page it drafts, and what it keeps out of the repository.

#[expect(dead_code, reason = "not every test file needs all of the harness")]
mod support;

use insta::assert_snapshot;
use support::{Invocation, Repository};

/// A repository with a target, and two recordings that are not in it yet.
fn with_recordings() -> Repository {
    let (repository, traces) = (Repository::of("passed"), Repository::of("traces"));
    for path in repository.tree().into_keys().filter(|path| path.starts_with("postmortems") || path.starts_with("cases")) {
        repository.write(&format!("in/{}", path.rsplit('/').next().unwrap_or_default()), repository.read(&path));
        repository.remove(&path);
    }
    for side in ["incident", "healthy"] {
        let path = format!("postmortems/token-flood/{side}.otlp.jsonl");
        repository.write(&format!("in/{side}.otlp.jsonl"), traces.read(&path));
    }
    repository
}

fn new(repository: &Repository, title: &str) -> Invocation {
    repository.relapse("new --incident in/incident.otlp.jsonl --healthy in/healthy.otlp.jsonl").argument(title)
}

#[test]
fn a_pair_of_traces_becomes_a_page_that_compiles_as_it_is() {
    let repository = with_recordings();
    assert_snapshot!(new(&repository, "One question cost a hundred thousand tokens").expects(0), @r#"
    exit 0
    -- stdout --
    postmortems/one-question-cost-a-hundred-thousand.md: 2 tests and 1 fields proposed
    waived      session.id: to tell it, add session.id on the root span
    waived      user.id: to tell it, add user.id on the root span
    waived      feature: to tell it, add app.feature (or gen_ai.workflow.name) on the root span
    waived      model.responded: to tell it, add gen_ai.response.model
    waived      latency.first_token: to tell it, add gen_ai.response.time_to_first_chunk
    waived      retries.count: to tell it, add relapse.retry.count on the model span (the SDK retries inside it), or instrument the HTTP client
    waived      usage.output_tokens: to tell it, add gen_ai.usage.output_tokens (ask for usage in the stream: stream_options.include_usage)
    next: read postmortems/one-question-cost-a-hundred-thousand.md, correct it, then run `relapse compile one-question-cost-a-hundred-thousand`
    "#);
    assert_snapshot!(repository.read("postmortems/one-question-cost-a-hundred-thousand.md"), @r#"
    ---
    title: "One question cost a hundred thousand tokens"
    class: tokens                        # question-grew is supported with 1.00 of the change: bound what a user can send in
    severity: sev3
    status: active
    evidence:
      incident: incident.otlp.jsonl
      healthy: healthy.otlp.jsonl
    detected_by: user                    # user, alert, review, vendor, bill, chance
    # cause:                             one line: what was wrong
    ruled_out:                           # refuted by the runbook; compile holds it to that
      - {hypothesis: repeated-calls, because: "change.tools.repeated = 0"}
      - {hypothesis: tools-grew, because: "change.growth.tools = 0"}
      - {hypothesis: tool-results-grew, because: "change.growth.tool_results = 0"}
      - {hypothesis: history-grew, because: "change.growth.history = 0"}
      - {hypothesis: retrieved-grew, because: "change.growth.retrieved = 0"}
      - {hypothesis: prompt-grew, because: "change.growth.system = 0, change.prompt = false"}
    # blind, for want of telemetry:      retries: relapse.retry.count on the model span (the SDK retries inside it), or instrument the HTTP client
    # blind, for want of telemetry:      cache-broken: an attribute named under telemetry.aliases
    # blind, for want of telemetry:      repetition: gen_ai.output.messages
    # blind, for want of telemetry:      repetition: gen_ai.usage.output_tokens (ask for usage in the stream: stream_options.include_usage)
    # blind, for want of telemetry:      longer-answer: gen_ai.usage.output_tokens (ask for usage in the stream: stream_options.include_usage)
    fields_missing:                      # absent in the incident, present when healthy
      - prompt.version
    tests:                               # each fails on the incident and holds when healthy
      - name: succeeds
        expect: "outcome == 'success'"
      - name: tokens-input-budget
        expect: "tokens.input <= 2 * healthy.tokens.input"
    ---
    ## What happened

    The user asked:

    ```text
    Sum it up.
    ```
    "#);
    assert_snapshot!(repository.relapse("compile --verbose").expects(0), @"
    exit 0
    -- stdout --
    one-question-cost-a-hundred-thousand: 3 proved
      field  prompt.version (any)         proved    absent in the incident, present when healthy
      test   succeeds                     proved    incident: outcome = 'error' · healthy: outcome = 'success'
      test   tokens-input-budget          proved    incident: healthy.tokens.input = 100, tokens.input = 100000 · healthy: healthy.tokens.input = 100, tokens.input = 100
    1 compiled, 1 changed
    ");
}

#[test]
fn a_pair_of_wires_becomes_a_page_with_nothing_to_tell_them_apart() {
    let repository = with_recordings();
    let invocation = repository.relapse("new --wire-incident in/incident.http.jsonl --wire-healthy in/healthy.http.jsonl --id window");
    assert_snapshot!(invocation.argument("Promised a window").expects(0), @"
    exit 0
    -- stdout --
    postmortems/window.md: 0 tests and 0 fields proposed
    next: read postmortems/window.md, correct it, then run `relapse compile window`
    ");
    assert_snapshot!(repository.read("postmortems/window.md"), @r#"
    ---
    title: "Promised a window"
    class: prompt                        # instructions-removed is supported: read the removed lines; replay with the previous prompt, then line by line
    severity: sev3
    status: active
    evidence:
      wire: {incident: incident.http.jsonl, healthy: healthy.http.jsonl}
    detected_by: user                    # user, alert, review, vendor, bill, chance
    # cause:                             one line: what was wrong
    ruled_out:                           # refuted by the runbook; compile holds it to that
      - {hypothesis: variables-unfilled, because: "change.prompt.unfilled = 0"}
    tests: []                            # nothing in the recordings tells them apart: say what must hold
    ---
    ## What happened

    The user asked:

    ```text
    How long can I return it?
    ```

    and got:

    ```text
    You have 90 days.
    ```
    "#);
}

#[test]
fn a_key_in_a_recording_never_enters_the_repository() {
    let key = format!("sk-ant-{}", "api03AbCdEfGhIjKlMnOp0123456789");
    let repository = with_recordings();
    let leaking = repository.read("in/incident.otlp.jsonl").replace("Sum it up.", &format!("My key is {key}"));
    repository.write("in/incident.otlp.jsonl", leaking);
    let output = new(&repository, "A leak").expects(0);
    assert!(!output.stdout.contains(&key[7..]) && !output.stderr.contains(&key[7..]));
    for (path, bytes) in repository.tree().into_iter().filter(|(path, _)| !path.starts_with("in/")) {
        assert!(!String::from_utf8_lossy(&bytes).contains(&key[7..]), "{path}");
    }
    repository.relapse("compile").expects(0);
}

#[test]
fn an_id_that_is_taken_is_refused_and_nothing_is_written() {
    let repository = with_recordings();
    new(&repository, "Twice").expects(0);
    let before = repository.tree();
    assert_snapshot!(new(&repository, "Twice").expects(2), @"
    exit 2
    -- stderr --
    postmortems/twice.md exists
      help: choose another name with --id
    ");
    assert!(before == repository.tree());
}

#[test]
fn a_recording_that_cannot_be_read_is_refused_and_nothing_is_written() {
    let repository = with_recordings();
    let before = repository.tree();
    let mut told = Vec::new();
    for file in ["gone.jsonl", "in", "prompts/v1.md", "/dev/null"] {
        let output = repository.relapse("new --incident").argument(file).argument("Odd").expects(2);
        told.push(output.stderr);
    }
    assert_snapshot!(told.concat(), @"
    `gone.jsonl` does not exist
    `in` is a directory, not a file
      help: name a regular file
    --incident or --healthy: no telemetry: not OTLP: neither JSON nor protobuf, plain or compressed by gzip or zstd
      help: expected OTLP (JSON, JSON lines or protobuf; plain, gzip or zstd), or an export of Langfuse ({trace, observations}, a trace with observations, or observations with traceId and type), OpenAI Agents (objects `trace` and `trace.span` with span_data), LangSmith (runs with id, run_type and start_time), MLflow ({info, data: {spans}}), Phoenix (spans with context, span_kind and attributes), Datadog (spans with span_id, start_ns and meta), LiteLLM (payloads with call_type, startTime and response)
    `/dev/null` is a pipe, socket or device, not a file
      help: name a regular file
    ");
    assert!(before == repository.tree());
}

#[test]
fn a_title_is_data() {
    for title in ["::error::x", "---", "a: b #c", "\"quoted\" 'title'", "Ünïcödé", "-rf", "x\u{202e}y", "{{ 7 * 7 }}"] {
        let repository = with_recordings();
        let output = repository
            .relapse("new --id odd --incident in/incident.otlp.jsonl --healthy in/healthy.otlp.jsonl --")
            .argument(title)
            .expects(0);
        assert!(output.stdout.lines().all(|line| !line.trim_start().starts_with("::")));
        repository.relapse("compile").expects(0);
        let case = repository.read("cases/odd/case.yaml");
        let title = serde_json::Value::from(title).to_string().replace('\u{202e}', "\\u202e");
        assert!(case.contains(&format!("title: {title}")), "{case}");
    }
}

#[test]
fn a_title_without_a_letter_asks_for_an_id() {
    assert_snapshot!(new(&with_recordings(), "???").expects(2), @"
    exit 2
    -- stderr --
    id `` must begin with a letter or digit and consist of a-z, 0-9 and -
    ");
}

#[test]
fn a_title_of_two_lines_is_refused_or_compiles() {
    let repository = with_recordings();
    let output = new(&repository, "one\ntwo").expects(2);
    assert!(output.stderr.contains("a title is one line"), "{output}");
}

#[test]
fn an_incident_alone_is_drafted_and_says_that_it_proves_nothing_yet() {
    let repository = with_recordings();
    let output = repository.relapse("new --incident in/incident.otlp.jsonl --id alone").argument("Alone").expects(0);
    assert_snapshot!(output, @r#"
    exit 0
    -- stdout --
    postmortems/alone.md: 1 tests and 0 fields proposed
    not told    session.id: add session.id on the root span, or under telemetry.waive - {field: session.id, why: "not told when relapse came; to tell it, add session.id on the root span"}
    not told    user.id: add user.id on the root span, or under telemetry.waive - {field: user.id, why: "not told when relapse came; to tell it, add user.id on the root span"}
    not told    feature: add app.feature (or gen_ai.workflow.name) on the root span, or under telemetry.waive - {field: feature, why: "not told when relapse came; to tell it, add app.feature (or gen_ai.workflow.name) on the root span"}
    not told    model.responded: add gen_ai.response.model, or under telemetry.waive - {field: model.responded, why: "not told when relapse came; to tell it, add gen_ai.response.model"}
    not told    prompt.version: add gen_ai.prompt.version (or app.prompt.version) on the root span, or under telemetry.waive - {field: prompt.version, why: "not told when relapse came; to tell it, add gen_ai.prompt.version (or app.prompt.version) on the root span"}
    not told    latency.first_token: add gen_ai.response.time_to_first_chunk, or under telemetry.waive - {field: latency.first_token, why: "not told when relapse came; to tell it, add gen_ai.response.time_to_first_chunk"}
    not told    retries.count: add relapse.retry.count on the model span (the SDK retries inside it), or instrument the HTTP client, or under telemetry.waive - {field: retries.count, why: "not told when relapse came; to tell it, add relapse.retry.count on the model span (the SDK retries inside it), or instrument the HTTP client"}
    not told    usage.output_tokens: add gen_ai.usage.output_tokens (ask for usage in the stream: stream_options.include_usage), or under telemetry.waive - {field: usage.output_tokens, why: "not told when relapse came; to tell it, add gen_ai.usage.output_tokens (ask for usage in the stream: stream_options.include_usage)"}
    next: read postmortems/alone.md, correct it, then run `relapse compile alone`
    "#);
    assert!(repository.relapse("compile").expects(2).stderr.contains("nothing in this postmortem is proved"));
}

#[test]
fn what_a_healthy_recording_lacks_is_waived_in_the_project_once() {
    let repository = with_recordings();
    let before = repository.read("relapse.yaml");
    new(&repository, "First").expects(0);
    let after = repository.read("relapse.yaml");
    let waivers = after.strip_prefix(&before).expect("what a person wrote stays");
    assert!(waivers.starts_with("\ntelemetry:\n  waive:\n    - {field: session.id, why: \"not told when relapse came; to tell it, add session.id on the root span\"}\n"), "{waivers}");
    let second = new(&repository, "Second").expects(0);
    assert!(!second.stdout.contains("waived "), "{second}");
    assert_eq!(repository.read("relapse.yaml"), after);

    let repository = with_recordings();
    repository.write("relapse.yaml", format!("{before}telemetry: {{require: minimum}}\n"));
    let by_hand = new(&repository, "By hand").expects(0);
    assert!(
        by_hand.stdout.contains("not told    session.id: add session.id on the root span, or under telemetry.waive - {field: session.id, "),
        "{by_hand}"
    );
    assert_eq!(repository.read("relapse.yaml"), format!("{before}telemetry: {{require: minimum}}\n"));
}

#[test]
fn a_recording_is_asked_for() {
    assert_snapshot!(with_recordings().relapse("new Odd").expects(2), @"
    exit 2
    -- stderr --
    error: the following required arguments were not provided:
      --incident <FILE>

    Usage: relapse new --incident <FILE> <TITLE>

    For more information, try '--help'.
    ");
}
