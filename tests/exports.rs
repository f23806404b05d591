//! Exports of vendors, read like telemetry; the samples are made by hand in the vendors' shapes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use relapse::evidence::Evidence;
use relapse::field::State;
use relapse::mapping::Mapping;
use relapse::request::Request;
use relapse::vendor;
use serde_json::{Value, json};

const LANGFUSE: &str = include_str!("exports/langfuse.trace.json");
const LANGSMITH: &str = include_str!("exports/langsmith.runs.jsonl");
const OPENAI_AGENTS: &str = include_str!("exports/openai-agents.jsonl");

const SAMPLES: [&str; 7] = [LANGFUSE, LANGSMITH, OPENAI_AGENTS, MLFLOW, PHOENIX, DATADOG, LITELLM];

fn requests(text: &str) -> (Vec<Request>, Vec<String>) {
    let mut evidence = Evidence::default();
    evidence.take_traces(text.as_bytes(), "export").unwrap();
    let diagnostics = std::mem::take(&mut evidence.diagnostics);
    (evidence.requests(Mapping::built_in()), diagnostics)
}

fn only(text: &str) -> Request {
    let (mut requests, diagnostics) = requests(text);
    assert_eq!((requests.len(), diagnostics), (1, vec![]));
    requests.remove(0)
}

fn values(request: &Request, fields: &[&str]) -> Vec<Value> {
    fields.iter().map(|field| request.fields.get(field).and_then(State::value).cloned().unwrap_or_default()).collect()
}

fn signals(request: &Request, names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| request.signals.read(name).to_json()).collect()
}

const IDENTITY: [&str; 3] = ["request.id", "session.id", "user.id"];
const CALL: [&str; 6] = ["latency.total", "latency.first_token", "tokens.input", "tokens.output", "tokens.cached", "tokens.reasoning"];

#[test]
fn a_langfuse_trace_is_one_request() {
    let request = only(LANGFUSE);
    assert_eq!(values(&request, &IDENTITY), ["r-1", "s-1", "u-1"]);
    assert_eq!(
        values(&request, &["feature", "prompt.version", "model.requested", "model.responded", "finish_reason", "release"]),
        ["ask", "3", "gpt-4o-mini", "gpt-4o-mini-2026-01-01", "stop", "1.4.2"]
    );
    assert_eq!(signals(&request, &CALL), [json!(2), json!(0.25), json!(100), json!(10), json!(60), json!(1)]);
    assert_eq!(
        signals(&request, &["retrieval.documents", "retrieval.top_score", "cost.usd", "score.correctness", "feedback.complaint"]),
        [json!(1), json!(0.9), json!(0.0002), json!(0.5), json!(true)]
    );
    assert_eq!((request.input().as_deref(), request.answer.as_deref()), (Some("Can I return it?"), Some("Within 30 days.")));
}

#[test]
fn a_langfuse_trace_is_read_in_the_shape_of_the_api_and_as_loose_records_too() {
    let whole: Value = serde_json::from_str(LANGFUSE).unwrap();
    let mut nested = whole["trace"].clone();
    nested["observations"] = whole["observations"].clone();
    let answer = |text: &str| only(text).answer;
    assert_eq!(answer(&nested.to_string()), answer(LANGFUSE));
    assert_eq!(answer(&json!({"data": [nested]}).to_string()), answer(LANGFUSE));
    let loose: Vec<String> = whole["observations"].as_array().unwrap().iter().map(Value::to_string).collect();
    let request = only(&loose.join("\n"));
    assert_eq!(signals(&request, &["calls.model", "tokens.input"]), [json!(1), json!(100)]);
}

#[test]
fn langsmith_runs_are_one_request_though_one_comes_in_two_halves() {
    let request = only(LANGSMITH);
    assert_eq!(values(&request, &IDENTITY), ["r-1", "s-1", "u-1"]);
    assert_eq!(
        values(&request, &["model.requested", "model.responded", "finish_reason", "provider"]),
        ["gpt-4o-mini", "gpt-4o-mini-2026-01-01", "stop", "openai"]
    );
    assert_eq!(signals(&request, &CALL), [json!(2), json!(0.25), json!(100), json!(10), json!(60), json!(1)]);
    assert_eq!(
        signals(&request, &["calls.model", "retrieval.documents", "retrieval.top_score", "score.correctness"]),
        [json!(1), json!(1), json!(0.9), json!(0.5)]
    );
    assert_eq!((request.input().as_deref(), request.answer.as_deref()), (Some("Can I return it?"), Some("Within 30 days.")));
}

#[test]
fn langsmith_runs_inside_their_parent_are_found() {
    let lines: Vec<Value> = LANGSMITH.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut root = lines[0].clone();
    root["child_runs"] = Value::from(lines[1..].to_vec());
    assert_eq!(signals(&only(&root.to_string()), &["calls.model", "tokens.input"]), [json!(1), json!(100)]);
}

#[test]
fn an_openai_agents_trace_is_the_root_of_its_spans() {
    let request = only(OPENAI_AGENTS);
    assert_eq!(values(&request, &IDENTITY), ["r-1", "s-1", "u-1"]);
    assert_eq!(
        values(&request, &["feature", "prompt.version", "model.requested", "tool.executed"]),
        ["ask", "v7", "gpt-4o-mini", "look_up"]
    );
    assert_eq!(values(&request, &["tool.requested"]), [json!(["look_up"])]);
    assert_eq!(
        signals(&request, &["latency.total", "tokens.input", "policy.blocked", "outcome"]),
        [json!(2), json!(100), json!(true), json!("blocked")]
    );
}

/// One model call below a root, in the shapes of vendors whose exports are lists of spans.
const MLFLOW: &str = r#"{"info": {"trace_id": "tr-0a1b", "client_request_id": "r-1", "trace_metadata": {"mlflow.trace.session": "s-1", "mlflow.trace.user": "u-1"},
  "assessments": [{"assessment_name": "correctness", "source": {"source_type": "LLM_JUDGE"}, "feedback": {"value": 0.5}}]},
 "data": {"spans": [
  {"trace_id": "ChsCAw==", "span_id": "AAAAAAAAAAE=", "parent_span_id": null, "name": "ask", "start_time_unix_nano": 1773474900000000000, "end_time_unix_nano": 1773474902000000000, "status": {"code": "STATUS_CODE_OK"},
   "attributes": {"mlflow.spanType": "\"CHAIN\"", "mlflow.spanInputs": "{\"question\": \"Can I return it?\"}", "mlflow.spanOutputs": "\"Within 30 days.\""}},
  {"trace_id": "ChsCAw==", "span_id": "AAAAAAAAAAI=", "parent_span_id": "AAAAAAAAAAE=", "name": "chat", "start_time_unix_nano": 1773474900400000000, "end_time_unix_nano": 1773474901900000000, "status": {"code": "STATUS_CODE_OK"},
   "attributes": {"mlflow.spanType": "\"CHAT_MODEL\"", "mlflow.spanInputs": "{\"model\": \"gpt-4o-mini\", \"messages\": [{\"role\": \"user\", \"content\": \"Can I return it?\"}]}",
    "mlflow.spanOutputs": "{\"id\": \"chatcmpl-1\", \"model\": \"gpt-4o-mini-2026-01-01\", \"choices\": [{\"finish_reason\": \"stop\", \"message\": {\"role\": \"assistant\", \"content\": \"Within 30 days.\"}}]}",
    "mlflow.chat.tokenUsage": "{\"input_tokens\": 100, \"output_tokens\": 10}"}}]}}"#;
const PHOENIX: &str = r#"[{"name": "ask", "context": {"trace_id": "0A1B", "span_id": "01"}, "span_kind": "CHAIN", "parent_id": null, "start_time": "2026-03-14T07:55:00Z", "end_time": "2026-03-14T07:55:02Z", "status_code": "OK",
  "attributes": {"input": {"value": "Can I return it?"}, "output": {"value": "Within 30 days."}, "session": {"id": "s-1"}, "user": {"id": "u-1"}, "metadata": {"request_id": "r-1"}}},
 {"name": "ChatCompletion", "context": {"trace_id": "0a1b", "span_id": "02"}, "span_kind": "LLM", "parent_id": "01", "start_time": "2026-03-14T07:55:00.400Z", "end_time": "2026-03-14T07:55:01.900Z", "status_code": "OK",
  "attributes": {"llm": {"model_name": "gpt-4o-mini-2026-01-01", "invocation_parameters": "{\"model\": \"gpt-4o-mini\"}", "token_count": {"prompt": 100, "completion": 10}, "finish_reason": "stop",
   "input_messages": [{"message": {"role": "user", "content": "Can I return it?"}}], "output_messages": [{"message": {"role": "assistant", "content": "Within 30 days."}}]}}}]"#;
const DATADOG: &str = r#"{"spans": [{"span_id": "1", "trace_id": "0a1b", "parent_id": "undefined", "name": "ask", "start_ns": 1773474900000000000, "duration": 2000000000, "status": "ok", "session_id": "s-1", "tags": ["user_id:u-1", "request.id:r-1", "ml_app:faq"],
  "meta": {"span.kind": "workflow", "input": {"value": "Can I return it?"}, "output": {"value": "Within 30 days."}}, "metrics": {}},
 {"span_id": "2", "trace_id": "0a1b", "parent_id": "1", "name": "chat", "start_ns": 1773474900400000000, "duration": 1500000000, "status": "ok", "tags": [],
  "meta": {"span": {"kind": "llm"}, "model_name": "gpt-4o-mini", "model_provider": "openai", "input": {"messages": [{"role": "user", "content": "Can I return it?"}]}, "output": {"messages": [{"role": "assistant", "content": "Within 30 days."}]}},
  "metrics": {"input_tokens": 100, "output_tokens": 10, "time_to_first_token": 0.25}}]}"#;
const LITELLM: &str = r#"{"id": "chatcmpl-1", "trace_id": "0a1b", "call_type": "acompletion", "status": "success", "model": "gpt-4o-mini-2026-01-01", "model_group": "gpt-4o-mini", "custom_llm_provider": "openai", "stream": true,
 "startTime": 1773474900.0, "completionStartTime": 1773474900.25, "endTime": 1773474902.0, "end_user": "u-1", "metadata": {"request_id": "r-1", "session_id": "s-1"}, "prompt_tokens": 100, "completion_tokens": 10, "response_cost": 0.0002,
 "messages": [{"role": "user", "content": "Can I return it?"}], "response": {"id": "chatcmpl-1", "model": "gpt-4o-mini-2026-01-01", "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "Within 30 days."}}]}}"#;

#[test]
fn spans_of_mlflow_phoenix_datadog_and_litellm_are_one_request_each() {
    for (vendor, text) in [("MLflow", MLFLOW), ("Phoenix", PHOENIX), ("Datadog", DATADOG), ("LiteLLM", LITELLM)] {
        let request = only(text);
        assert_eq!(values(&request, &IDENTITY), ["r-1", "s-1", "u-1"], "{vendor}");
        assert_eq!(values(&request, &["model.requested"]), ["gpt-4o-mini"], "{vendor}");
        let numbers = signals(&request, &["calls.model", "tokens.input", "tokens.output", "latency.total"]);
        assert_eq!(numbers, [json!(1), json!(100), json!(10), json!(2)], "{vendor}");
        assert_eq!(
            (request.input().as_deref(), request.answer.as_deref()),
            (Some("Can I return it?"), Some("Within 30 days.")),
            "{vendor}"
        );
        if vendor != "Datadog" {
            assert_eq!(values(&request, &["model.responded", "finish_reason"]), ["gpt-4o-mini-2026-01-01", "stop"], "{vendor}");
        }
    }
    assert_eq!(signals(&only(MLFLOW), &["score.correctness"]), [json!(0.5)]);
    assert_eq!(signals(&only(LITELLM), &["latency.first_token", "cost.usd"]), [json!(0.25), json!(0.0002)]);
}

#[test]
fn what_is_no_export_is_refused_with_what_was_expected() {
    let mut evidence = Evidence::default();
    let fault = evidence.take_traces(br#"{"rows": [1, 2]}"#, "x.json").unwrap_err();
    assert!(fault.message.contains("found \"rows\""), "{}", fault.message);
    let help = fault.help.unwrap();
    assert!(["OTLP", "Langfuse", "LangSmith", "OpenAI Agents"].iter().all(|name| help.contains(name)), "{help}");
}

#[test]
fn a_broken_line_costs_itself_only() {
    let broken = LANGSMITH.replacen("\n", "\n{\"id\": \n", 1);
    let (requests, diagnostics) = requests(&broken);
    assert_eq!(signals(&requests[0], &["calls.model", "tokens.input"]), [json!(1), json!(100)]);
    assert!(diagnostics[0].starts_with("export: line 2: not JSON"), "{diagnostics:?}");
}

/// A sample with one of its values replaced.
fn mutated() -> impl Strategy<Value = String> {
    let odd = prop_oneof![
        Just(Value::Null),
        Just(json!(-1)),
        Just(json!(1e300)),
        Just(json!("")),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[[{"id": {}}]]])),
        Just(json!("\u{d7ff}{\"")),
        Just(json!({"kwargs": {"content": [{"type": 3}]}})),
        Just(json!(true)),
    ];
    (prop::sample::select(SAMPLES.to_vec()), any::<prop::sample::Index>(), odd).prop_map(|(sample, place, odd)| {
        let mut documents: Vec<Value> = serde_json::Deserializer::from_str(sample).into_iter().map(Result::unwrap).collect();
        let mut pointers = Vec::new();
        documents.iter().enumerate().for_each(|(index, document)| collect(document, format!("/{index}"), &mut pointers));
        let mut all = Value::from(std::mem::take(&mut documents));
        *all.pointer_mut(place.get::<String>(&pointers)).unwrap() = odd;
        all.to_string()
    })
}

fn collect(value: &Value, at: String, pointers: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| collect(item, format!("{at}/{index}"), pointers)),
        Value::Object(map) => {
            map.iter().for_each(|(key, item)| collect(item, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), pointers))
        }
        _ => {}
    }
    pointers.push(at);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn an_export_with_any_value_replaced_is_read_or_refused(text in mutated()) {
        let mut evidence = Evidence::default();
        if evidence.take_traces(text.as_bytes(), "export").is_ok() {
            evidence.requests(Mapping::built_in());
        }
    }

    #[test]
    fn an_export_cut_anywhere_is_read_or_refused(sample in prop::sample::select(SAMPLES.to_vec()), at in any::<prop::sample::Index>()) {
        let _ = vendor::read(&sample.as_bytes()[..at.index(sample.len())]);
    }

    #[test]
    fn bytes_of_any_kind_are_no_export(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = vendor::read(&bytes);
    }
}
