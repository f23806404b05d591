//! `relapse trace` on captured runs, as a user meets it.

#[expect(dead_code, reason = "not every test file needs all of the harness")]
mod support;

use flate2::Compression;
use flate2::write::GzEncoder;
use insta::assert_snapshot;
use serde_json::{Value, json};
use std::io::Write as _;
use support::Repository;

/// A repository with captured runs in it, each as `NAME.jsonl` and `NAME.http.jsonl`.
fn with(captures: &[&str]) -> Repository {
    let repository = Repository::empty();
    for capture in captures {
        let name = capture.replace('/', "-");
        for end in ["jsonl", "http.jsonl"] {
            let file = format!("{}/tests/captures/{capture}.{end}", env!("CARGO_MANIFEST_DIR"));
            repository.write(&format!("{name}.{end}"), std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}")));
        }
    }
    repository
}

#[test]
fn what_an_sdk_hides_and_gets_wrong_is_on_one_screen() {
    let repository = with(&["pydantic-ai/retry_429_recovered", "anthropic-traceloop/stream_reset"]);
    let run =
        repository.relapse("trace pydantic-ai-retry_429_recovered.jsonl --wire pydantic-ai-retry_429_recovered.http.jsonl").expects(0);
    assert_snapshot!("hidden_retries", run.stdout);
    let run =
        repository.relapse("trace anthropic-traceloop-stream_reset.jsonl --wire anthropic-traceloop-stream_reset.http.jsonl").expects(0);
    assert_snapshot!("lost_span", run.stdout);
}

#[test]
fn without_the_wire_what_is_missing_says_what_to_add() {
    let repository = with(&["openai-zerocode/missing_telemetry", "ai-sdk5/retry_429_recovered"]);
    let run = repository.relapse("trace openai-zerocode-missing_telemetry.jsonl").expects(0);
    assert_snapshot!("missing_telemetry", run.stdout);
    let run = repository.relapse("trace ai-sdk5-retry_429_recovered.jsonl").expects(0);
    assert_snapshot!("attempts_as_spans", run.stdout);
}

/// One model call with a system prompt and a list of messages.
fn asked(messages: &str) -> String {
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let span = json!({
        "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "00f067aa0ba902b7", "name": "chat m", "kind": 3,
        "startTimeUnixNano": "1770000000000000000", "endTimeUnixNano": "1770000001000000000",
        "attributes": [
            attribute("gen_ai.operation.name", "chat"),
            attribute("gen_ai.request.model", "m"),
            attribute("gen_ai.system_instructions", r#"[{"type":"text","content":"Be kind."}]"#),
            attribute("gen_ai.input.messages", messages),
        ],
    });
    json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string()
}

#[test]
fn messages_that_cannot_be_read_are_told_and_are_no_empty_history() {
    let repository = Repository::empty();
    let message = r#"{"role":"user","parts":[{"type":"text","content":"Hi"}]}"#;
    let deep = format!(r#"[{{"role":"user","parts":[{{"type":"data","content":{}0{}}}]}}]"#, "[".repeat(200), "]".repeat(200));
    repository.write("whole.jsonl", asked(&format!("[{message}]")));
    repository.write("deep.jsonl", asked(&deep));
    repository.write("cut.jsonl", asked(&format!("[{message},{}", &message[..20])));
    let odd = "span 00f067aa0ba902b7: the messages that went into the model are no JSON list to its end; what was asked is unknown";
    for (file, told) in [("whole.jsonl", None), ("deep.jsonl", Some(odd)), ("cut.jsonl", Some(odd))] {
        let machine: Value =
            serde_json::from_str(&repository.relapse(&format!("trace {file} --format json")).expects(0).stdout).expect("JSON");
        let diagnostics = machine["traces"][0]["diagnostics"].as_array().expect("a list");
        assert_eq!(
            diagnostics.iter().map(|odd| odd.as_str()).collect::<Vec<_>>(),
            told.into_iter().map(Some).collect::<Vec<_>>(),
            "{file}"
        );
        let screen = repository.relapse(&format!("trace {file}")).expects(0).stdout;
        assert_eq!(screen.contains("odd "), told.is_some(), "{file}: {screen}");
    }
}

#[test]
fn the_wire_alone_is_a_request_too() {
    let repository = with(&["openai-openinference/refusal"]);
    assert_snapshot!("wire_only", repository.relapse("trace --wire openai-openinference-refusal.http.jsonl").expects(0).stdout);
}

#[test]
fn several_requests_are_told_apart_and_many_are_listed() {
    let repository = with(&["openai-openinference/concurrent_service", "openai-zerocode/missing_telemetry", "openai-agents/refusal"]);
    let all = "trace openai-openinference-concurrent_service.jsonl openai-zerocode-missing_telemetry.jsonl openai-agents-refusal.jsonl";
    assert_snapshot!("list", repository.relapse(all).expects(0).stdout);
    let one = repository.relapse(&format!("{all} --trace-id 0AF76519")).expects(0);
    assert!(one.stdout.starts_with("trace 0af7651916cd43dd8448eb211c80319c"), "{}", one.stdout);
    let none = repository.relapse(&format!("{all} --trace-id beef")).expects(2);
    assert!(none.stderr.contains("no trace here has an id that begins with `beef`"), "{}", none.stderr);
}

#[test]
fn a_large_export_is_told_request_by_request_as_traces_become_complete() {
    let padding = "x".repeat(1 << 20);
    let mut archive = GzEncoder::new(Vec::new(), Compression::fast());
    for trace in 1..=20 {
        let line = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{
            "traceId": format!("{trace:032x}"), "spanId": format!("{trace:016x}"), "name": format!("request {trace}"),
            "startTimeUnixNano": "1", "endTimeUnixNano": "2", "attributes": [{"key": "padding", "value": {"stringValue": padding}}],
        }]}]}]});
        writeln!(archive, "{line}").expect("a line");
    }
    let repository = Repository::empty();
    repository.write("export.jsonl.gz", archive.finish().expect("an archive"));
    let run = repository.relapse("trace export.jsonl.gz").expects(0);
    let told: Vec<&str> = run.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    // The first three may have begun in a file before this one, so they wait for its end.
    let ids: Vec<String> = (4..=16).chain(1..=3).chain(17..=20).map(|trace| format!("{trace:032x}")).collect();
    assert_eq!(told, ids, "{}", run.stdout);
}

#[test]
fn a_field_that_is_required_and_missing_fails_the_gate() {
    let repository = with(&["openai-zerocode/missing_telemetry", "anthropic-both/healthy"]);
    let run = repository.relapse("trace openai-zerocode-missing_telemetry.jsonl --require session.id,model.responded").expects(1);
    assert_eq!(
        run.stdout.matches("required: session.id is missing: add session.id on the root span of trace ").count(),
        2,
        "{}",
        run.stdout
    );
    repository.relapse("trace anthropic-both-healthy.jsonl --require session.id,usage.input_tokens").expects(0);
    let run = repository.relapse("trace anthropic-both-healthy.jsonl --require sesion.id").expects(2);
    assert!(run.stderr.contains("session.id"), "{}", run.stderr);
}

#[test]
fn the_machine_form_has_fields_signals_stages_hidden_and_contradictions() {
    let repository = with(&["anthropic-openinference/tool_bad_args"]);
    let words = "trace anthropic-openinference-tool_bad_args.jsonl --wire anthropic-openinference-tool_bad_args.http.jsonl --format json";
    let page: Value = serde_json::from_str(&repository.relapse(words).expects(0).stdout).expect("JSON");
    assert_eq!(page["format"], 1);
    let trace = &page["traces"][0];
    assert_eq!(trace["conventions"][0], "openinference");
    assert_eq!(trace["fields"]["prompt.version"]["state"], "present");
    assert_eq!(trace["fields"]["retries.count"]["state"], "indeterminate");
    assert_eq!(trace["signals"]["calls.model"], 2);
    assert!(trace["signals"]["cost.usd"].is_null());
    assert_eq!(trace["stages"][0]["kind"], "retrieval");
    assert_eq!(trace["hidden"][0]["field"], "latency.first_token");
    assert_eq!(trace["contradictions"][0]["wire"], "{\"order_id\": \"A-1001\"");
}

#[test]
fn recorded_text_does_nothing_to_a_terminal_and_a_narrow_one_loses_nothing() {
    let repository = with(&["openai-genai/refusal"]);
    let text =
        repository.read("openai-genai-refusal.jsonl").replace("POST /chat", "POST \\u001b[31m/chat").replace("support-chat", "::error::x");
    repository.write("odd.jsonl", text);
    let run = repository.relapse("trace odd.jsonl").expects(0);
    assert!(!run.stdout.contains('\u{1b}') && !run.stdout.lines().any(|line| line.trim_start().starts_with("::")), "{}", run.stdout);
}
