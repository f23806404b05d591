//! `relapse diagnose` as a user meets it: two recordings, a case, and what is wrong with a command line.

#[expect(dead_code, reason = "not every test file needs all of the harness")]
mod support;

use insta::assert_snapshot;
use serde_json::{Value, json};
use support::Repository;

/// Seconds since 1970 at which every request begins.
const BEGIN: f64 = 1_767_000_000.0;
/// Seconds that each attempt of the incident's eight failing ones takes, and the waits after them.
const ATTEMPT: f64 = 0.25;
const WAITS: [f64; 8] = [0.5, 1.0, 2.0, 4.0, 0.5, 1.0, 2.0, 4.0];

fn span(id: u64, parent: Option<u64>, name: &str, (from, to): (f64, f64), attributes: &Value) -> Value {
    let nanos = |seconds: f64| format!("{:.0}", (BEGIN + seconds) * 1e9);
    let attribute = |(key, value): (&String, &Value)| {
        let kind = if value.is_number() { "intValue" } else { "stringValue" };
        json!({"key": key, "value": {kind: value}})
    };
    let attributes: Vec<Value> = attributes.as_object().expect("a map").iter().map(attribute).collect();
    json!({
        "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": format!("{id:016x}"),
        "parentSpanId": parent.map_or(String::new(), |parent| format!("{parent:016x}")), "name": name,
        "startTimeUnixNano": nanos(from), "endTimeUnixNano": nanos(to), "attributes": attributes,
    })
}

/// Telemetry of a request that searches, asks the model and answers: one span for the model call, however often it was tried.
fn telemetry(retrieval: f64, model: f64, total: f64) -> String {
    let chat = json!({
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.response.model": "m",
        "gen_ai.usage.input_tokens": 900, "gen_ai.usage.output_tokens": 120,
    });
    let spans = [
        span(1, None, "answer", (0.0, total), &json!({"gen_ai.operation.name": "invoke_agent"})),
        span(2, Some(1), "search", (0.1, 0.1 + retrieval), &json!({"gen_ai.operation.name": "retrieval"})),
        span(3, Some(1), "chat m", (0.1 + retrieval, 0.1 + retrieval + model), &chat),
    ];
    json!({"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": "by-hand"}, "spans": spans}]}]}).to_string() + "\n"
}

fn at(seconds: f64) -> String {
    chrono::DateTime::from_timestamp_millis(((BEGIN + seconds) * 1e3) as i64).expect("a time").to_rfc3339()
}

/// One attempt on the wire: it fails, or it streams an answer of which the first token comes after 0.4 s.
fn attempt(from: f64, took: f64, is_answered: bool) -> Value {
    let response = if is_answered {
        let event = |t_ms: f64, event: Value| json!({"t_ms": t_ms, "data": event.to_string()});
        let head = json!({"model": "m", "choices": [{"delta": {"content": "Within"}, "finish_reason": null}]});
        let tail = json!({"model": "m", "choices": [{"delta": {"content": " 30 days."}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 900, "completion_tokens": 120}});
        json!({"status": 200, "headers": {"content-type": "text/event-stream"},
            "sse": [event(400.0, head), event(took * 1e3, tail), json!({"t_ms": took * 1e3, "data": "[DONE]"})]})
    } else {
        json!({"status": 429, "headers": {"content-type": "application/json"}, "body": {"error": {"message": "slow down"}}})
    };
    let body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "How long can I return it?"}]});
    json!({"at": at(from), "ms": took * 1e3, "request": {"method": "POST", "path": "/v1/chat/completions", "body": body}, "response": response})
}

fn lines(exchanges: &[Value]) -> String {
    exchanges.iter().map(|exchange| format!("{exchange}\n")).collect()
}

/// The worked example: 4.20 s in health, 21.34 s in the incident, of which eight failed attempts and the waits after them
/// are 17 s, and the attempt that counts is hardly slower.
fn worked_example() -> Repository {
    let repository = Repository::empty();
    let mut from = 0.1 + 0.52;
    let mut exchanges = Vec::new();
    for wait in WAITS {
        exchanges.push(attempt(from, ATTEMPT, false));
        from += ATTEMPT + wait;
    }
    exchanges.push(attempt(from, 3.55, true));
    repository.write("good.jsonl", telemetry(0.50, 3.43, 4.20));
    repository.write("bad.jsonl", telemetry(0.52, 20.55, 21.34));
    repository.write("good.http.jsonl", lines(&[attempt(0.6, 3.43, true)]));
    repository.write("bad.http.jsonl", lines(&exchanges));
    repository
}

#[test]
fn telemetry_without_attempts_is_blind_for_retries_and_never_blames_the_model() {
    assert_snapshot!(worked_example().relapse("diagnose --base good.jsonl --now bad.jsonl").expects(0), @"
    exit 0
    -- stdout --
      diagnosis: latency (blind)
        look first retries is blind: add relapse.retry.count on the model span (the
                   SDK retries inside it), or instrument the HTTP client for
                   retries.count; add an attribute named under telemetry.aliases for
                   error.type
        blind      retries · nothing tells retries.count: add relapse.retry.count on
                   the model span (the SDK retries inside it), or instrument the
                   HTTP client · nothing tells error.type: add an attribute named
                   under telemetry.aliases
        blind      retried-too-early · nothing tells retries.count: add
                   relapse.retry.count on the model span (the SDK retries inside
                   it), or instrument the HTTP client
        blind      no-answer-in-time · nothing tells error.type: add an attribute
                   named under telemetry.aliases · nothing tells retries.count: add
                   relapse.retry.count on the model span (the SDK retries inside
                   it), or instrument the HTTP client
        refuted    blocked-or-queued · 0.00 of the change · change.share.gap = 0
        refuted    retrieval-slow · 0.00 of the change · change.share.retrieval =
                   0.001
        refuted    tools-slow · 0.00 of the change · change.share.tools = 0
        refuted    longer-answer · 1.00 of the change · base.tokens.output = 120 ·
                   change.share.model = 0.999 · now.tokens.output = 120
        blind      model-slow · 1.00 of the change · nothing tells retries.count:
                   add relapse.retry.count on the model span (the SDK retries inside
                   it), or instrument the HTTP client · nothing tells
                   latency.first_token: add gen_ai.response.time_to_first_chunk
        time       share of the change: model 1.00 · retrieval 0.00 · tools 0.00 ·
                   gap 0.00
        page       latency.total: 4.2 → 21.34
    ");
}

#[test]
fn with_the_wire_retries_explain_what_looked_like_a_slow_model() {
    let words = "diagnose --base good.jsonl --now bad.jsonl --base-wire good.http.jsonl --now-wire bad.http.jsonl";
    let repository = worked_example();
    assert_snapshot!(repository.relapse(words).expects(0), @r#"
    exit 0
    -- stdout --
      diagnosis: latency (supported)
        look first retries is supported with 0.99 of the change: cap total attempts,
                   disable the inner SDK's retries, honour Retry-After; replay
                   without faults
        supported  retries · 0.99 of the change · base.retries.amplification = 1 ·
                   change.attempts.unanswered = 0 · change.share.gap = 0 ·
                   change.share.retries = 0.992 · change.slower = true · now.outcome
                   = "success" · now.retries.amplification = 9
        refuted    retried-too-early · change.attempts.early = 0
        refuted    no-answer-in-time · change.attempts.unanswered = 0
        refuted    blocked-or-queued · 0.00 of the change ·
                   base.retries.amplification = 1 · change.share.gap = 0 ·
                   now.retries.amplification = 9
        refuted    retrieval-slow · 0.00 of the change · change.share.retrieval =
                   0.001
        refuted    tools-slow · 0.00 of the change · change.share.tools = 0
        refuted    longer-answer · 0.01 of the change · base.retries.amplification =
                   1 · base.tokens.output = 120 · change.pace = 1.04 ·
                   change.share.model = 0.007 · now.retries.amplification = 9 ·
                   now.tokens.output = 120
        refuted    model-slow · 0.01 of the change · change.first_token = 1 ·
                   change.pace = 1.04 · change.share.model = 0.007
        time       share of the change: retries 0.99 · model 0.01 · retrieval 0.00 ·
                   tools 0.00 · gap 0.00
        page       latency.total: 4.2 → 21.34
        page       retries.amplification: 1 → 9
    "#);
    let output = repository.relapse(&format!("{words} --format json")).expects(0);
    let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let diagnosis = &report["diagnosis"];
    let retries = &diagnosis["hypotheses"][0];
    assert_eq!((&report["format"], &diagnosis["class"], &diagnosis["standing"]), (&json!(1), &json!("latency"), &json!("supported")));
    assert_eq!((&retries["hypothesis"], &retries["standing"]), (&json!("retries"), &json!("supported")));
    assert!((retries["share"].as_f64().expect("a share") - 0.99).abs() < 0.005, "{retries}");
    let slow = diagnosis["hypotheses"].as_array().expect("a list").last().expect("the model comes last");
    assert_eq!((&slow["hypothesis"], &slow["standing"]), (&json!("model-slow"), &json!("refuted")));
}

#[test]
fn a_case_is_diagnosed_from_its_own_evidence_and_on_a_target() {
    let repository = Repository::compiled("passed");
    assert_snapshot!(repository.relapse("diagnose refund-window").expects(0), @r#"
    exit 0
    -- stdout --
      diagnosis: prompt (supported)
        look first instructions-removed is supported: read the removed lines; replay
                   with the previous prompt, then line by line
        refuted    variables-unfilled · change.prompt.unfilled = 0
        supported  instructions-removed · change.prompt.removed = 1
        unclear    instructions-added · change.prompt.added = 1 ·
                   change.prompt.removed = 1 · the evidence speaks neither for nor
                   against it
        unclear    version-changed · there is no telemetry that could tell
                   field('prompt.hash'), field('prompt.version')
        changed    answer: "You have 30 days." → "You have 90 days."
        prompt     - Be kind. 30 days.
        prompt     + Be kind.
    "#);
    assert_snapshot!(repository.relapse("diagnose refund-window --target bot").expects(0), @"
    exit 0
    -- stdout --
    refund-window does not fail on bot, so there is nothing to diagnose
    ");
    assert_snapshot!(repository.relapse("diagnose refund-window --target last-winter").expects(0), @r#"
    exit 0
    -- stdout --
      diagnosis: prompt (supported)
        look first instructions-removed is supported: read the removed lines; replay
                   with the previous prompt, then line by line
        refuted    variables-unfilled · change.prompt.unfilled = 0
        supported  instructions-removed · change.prompt.removed = 1
        unclear    instructions-added · change.prompt.added = 1 ·
                   change.prompt.removed = 1 · the evidence speaks neither for nor
                   against it
        unclear    version-changed · there is no telemetry that could tell
                   field('prompt.hash'), field('prompt.version')
        changed    answer: "You have 30 days." → "You have 90 days."
        prompt     - Be kind. 30 days.
        prompt     + Be kind.
    "#);
}

#[test]
fn what_cannot_be_diagnosed_is_a_mistake_that_says_what_to_do() {
    let repository = Repository::compiled("passed");
    for words in [
        "diagnose",
        "diagnose --base good.jsonl",
        "diagnose refund-windw",
        "diagnose refund-window --target bott",
        "diagnose refund-window --base a.jsonl --now b.jsonl",
        "diagnose --base missing.jsonl --now missing.jsonl",
    ] {
        let output = repository.relapse(words).expects(2);
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{words}\n{output}");
    }
    repository.write("empty.jsonl", "");
    assert_snapshot!(repository.relapse("diagnose --base empty.jsonl --now empty.jsonl").expects(2), @"
    exit 2
    -- stderr --
    empty.jsonl: no telemetry: the file is empty
      help: expected OTLP (JSON, JSON lines or protobuf; plain, gzip or zstd), or an export of Langfuse ({trace, observations}, a trace with observations, or observations with traceId and type), OpenAI Agents (objects `trace` and `trace.span` with span_data), LangSmith (runs with id, run_type and start_time), MLflow ({info, data: {spans}}), Phoenix (spans with context, span_kind and attributes), Datadog (spans with span_id, start_ns and meta), LiteLLM (payloads with call_type, startTime and response)
    ");
    assert_snapshot!(Repository::empty().relapse("diagnose refund-window").expects(2), @"
    exit 2
    -- stderr --
    a case needs a repository, and there is no relapse.yaml here or above
    ");
}

#[test]
fn attempts_that_came_before_the_wait_was_over_are_counted() {
    let repository = worked_example();
    let head = "\"headers\":{\"content-type\":\"application/json\"";
    repository.edit("bad.http.jsonl", head, &format!("{head},\"retry-after\":\"2\""));
    let words = "diagnose --base good.jsonl --now bad.jsonl --base-wire good.http.jsonl --now-wire bad.http.jsonl --format json";
    let output = repository.relapse(words).expects(0);
    let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let early =
        report["diagnosis"]["hypotheses"].as_array().expect("a list").iter().find(|judged| judged["hypothesis"] == "retried-too-early");
    let early = early.expect("it is in the class");
    assert_eq!((&early["standing"], &early["values"]["change.attempts.early"]), (&json!("supported"), &json!(4)));
}

#[test]
fn a_runbook_of_ones_own_may_hold_an_answer_to_the_scripts_of_its_user() {
    let repository = worked_example();
    let class = "script:\n    enters: change.answer.foreign >= 0.05\n    hypotheses:\n      - {id: foreign-script, supports: change.answer.foreign >= 0.05, refutes: change.answer.foreign == 0, next: name the language in the prompt}\n";
    repository.write("relapse.yaml", "version: 1\n");
    repository.write("runbook.yaml", format!("version: 1\nclasses:\n  {class}"));
    let wire = repository.read("good.http.jsonl");
    repository.write("foreign.http.jsonl", wire.replace(" 30 days.", " 30 วัน นับจากวันที่ได้รับสินค้า"));
    let words = "diagnose --base good.jsonl --now good.jsonl --base-wire good.http.jsonl --now-wire foreign.http.jsonl";
    let output = repository.relapse(words).expects(0);
    assert!(output.stdout.contains("foreign-script is supported"), "{output}");
}
