//! Every convention's own names, read into fields and signals; the cases stand in `tests/conventions.yaml`.

use relapse::field::On;
use relapse::mapping::{self, Mapping};
use relapse::normalise;
use relapse::otlp::{AnyValue, Attributes, Event, Scope, Span, Status};
use relapse::request::Request;
use relapse::wire;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    of: String,
    #[serde(default)]
    scope: String,
    r#type: Option<String>,
    attributes: BTreeMap<String, Value>,
    #[serde(default)]
    events: BTreeMap<String, BTreeMap<String, Value>>,
    #[serde(default)]
    fields: BTreeMap<String, Value>,
    #[serde(default)]
    signals: BTreeMap<String, Value>,
}

fn any(value: &Value) -> AnyValue {
    match value {
        Value::Null | Value::Object(_) => AnyValue::Null,
        Value::Bool(flag) => AnyValue::Bool(*flag),
        Value::Number(number) => number.as_i64().map_or_else(|| AnyValue::Double(number.as_f64().unwrap_or_default()), AnyValue::Int),
        Value::String(text) => AnyValue::Text(text.clone()),
        Value::Array(items) => AnyValue::List(items.iter().map(any).collect()),
    }
}

fn attributes(map: &BTreeMap<String, Value>) -> Attributes {
    map.iter().map(|(key, value)| (key.clone(), any(value))).collect()
}

fn span(id: u64, parent: Option<u64>, attributes: Attributes) -> Span {
    Span {
        trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
        span_id: format!("{id:016x}"),
        parent: parent.map(|parent| format!("{parent:016x}")),
        name: "a span".into(),
        start_ns: 1_000_000_000 + id * 1_000_000,
        end_ns: 9_000_000_000 - id * 1_000_000,
        attributes,
        ..Span::default()
    }
}

/// The request of one span below an application's own root.
fn request(case: &Case) -> Request {
    let of_event = |(name, map): (&String, &BTreeMap<String, Value>)| Event {
        name: name.clone(),
        time_ns: 2_000_000_000,
        attributes: attributes(map),
    };
    let told = Span {
        scope: Arc::new(Scope { name: case.scope.clone(), ..Scope::default() }),
        kind_type: case.r#type.clone(),
        events: case.events.iter().map(of_event).collect(),
        ..span(2, Some(1), attributes(&case.attributes))
    };
    let traces = normalise::requests(vec![span(1, None, Vec::new()), told], &[], Mapping::built_in());
    Request::new(traces.into_iter().next(), Vec::new(), Mapping::built_in())
}

#[test]
fn every_convention_is_read_by_its_own_names() {
    let text = std::fs::read_to_string("tests/conventions.yaml").expect("the cases");
    let cases: Vec<Case> = relapse::yaml::typed(&text).expect("cases");
    let mut wrong = Vec::new();
    for case in &cases {
        let request = request(case);
        for (field, known) in &case.fields {
            let state = request.state(field, On::Any, Mapping::built_in());
            let told = state.value().cloned().unwrap_or_default();
            if told != *known {
                wrong.push(format!("{}: {field} is {told}, not {known}", case.of));
            }
        }
        for (signal, known) in &case.signals {
            let told = request.signals.read(signal).to_json();
            if told != *known {
                wrong.push(format!("{}: {signal} is {told}, not {known}", case.of));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn http_spans_below_or_beside_a_model_call_are_its_attempts() {
    let operation = |name: &str| vec![("gen_ai.operation.name".to_string(), AnyValue::Text(name.into()))];
    let http = |id, parent| Span { kind: 3, ..span(id, Some(parent), vec![("http.request.method".into(), AnyValue::Text("POST".into()))]) };
    let retries = |spans: Vec<Span>| {
        let traces = normalise::requests(spans, &[], Mapping::built_in());
        Request::new(traces.into_iter().next(), Vec::new(), Mapping::built_in()).signals.read("retries.count").number()
    };
    let model = || vec![span(1, None, Vec::new()), span(2, Some(1), operation("chat"))];
    let with = |more: Vec<Span>| model().into_iter().chain(more).collect();
    assert_eq!(retries(with(vec![http(3, 2), http(4, 2), http(5, 2)])), Some(2.0));
    assert_eq!(retries(with(vec![http(3, 1), http(4, 1)])), Some(1.0));
    assert_eq!(retries(model()), None);
    // One call without a request says that the client is not instrumented everywhere.
    assert_eq!(retries(with(vec![http(4, 2), span(3, Some(1), operation("chat"))])), None);
}

#[test]
fn what_is_missing_is_named_in_the_words_of_the_instrumentation() {
    for (convention, field, word) in [
        ("openinference", "session.id", "using_session"),
        ("ai-sdk-5", "request.id", "experimental_telemetry"),
        ("ai-sdk-7", "user.id", "runtimeContext"),
        ("openllmetry", "prompt.version", "set_prompt"),
        ("langfuse", "user.id", "langfuse.user.id"),
        ("langsmith", "feature", "langsmith.metadata.feature"),
    ] {
        let add = mapping::advice(convention).and_then(|advice| advice[relapse::field::place(field)?].add).unwrap_or_default();
        assert!(add.contains(word), "{convention} {field}: {add}");
    }
}

/// A span with text attributes and a time of its own, in milliseconds.
fn told(id: u64, parent: Option<u64>, (from, to): (u64, u64), texts: &[(&str, &str)]) -> Span {
    let texts = texts.iter().map(|(key, text)| ((*key).to_string(), AnyValue::Text((*text).into())));
    let scope = Arc::new(Scope { name: "logfire.openai".into(), ..Scope::default() });
    Span { start_ns: 1_000_000 * from, end_ns: 1_000_000 * to, scope, ..span(id, parent, texts.collect()) }
}

fn only(spans: Vec<Span>) -> Request {
    let traces = normalise::requests(spans, &[], Mapping::built_in());
    assert_eq!(traces.len(), 1);
    Request::new(traces.into_iter().next(), Vec::new(), Mapping::built_in())
}

#[test]
fn a_record_of_a_streams_answer_is_the_answer_of_the_call_before_it() {
    let asks = [("gen_ai.operation.name", "chat"), ("gen_ai.input.messages", "[]")];
    let says = |words: &'static [(&'static str, &'static str)]| [asks.as_slice(), words].concat();
    let opened = says(&[("gen_ai.response.model", "gpt-x")]);
    let answer = says(&[("gen_ai.response.model", "gpt-x-1"), ("gen_ai.response.id", "a"), ("gen_ai.response.finish_reasons", "stop")]);
    let root = || told(1, None, (1, 100), &[]);
    let request = only(vec![root(), told(2, Some(1), (10, 20), &opened), told(3, Some(1), (60, 60), &answer)]);
    assert_eq!(request.signals.read("calls.model").number(), Some(1.0));
    assert_eq!(request.signals.read("latency.model").number(), Some(0.05));
    assert_eq!(request.state("model.responded", On::Any, Mapping::built_in()).value(), Some(&"gpt-x-1".into()));
    // The same question asked again is a call, also by calls that took no time.
    let request = only(vec![root(), told(2, Some(1), (10, 10), &opened), told(3, Some(1), (60, 60), &answer)]);
    assert_eq!(request.signals.read("calls.model").number(), Some(2.0));
    let request = only(vec![root(), told(2, Some(1), (10, 20), &answer), told(3, Some(1), (60, 70), &answer)]);
    assert_eq!(request.signals.read("calls.model").number(), Some(2.0));
}

#[test]
fn a_model_span_around_several_calls_is_none_itself() {
    let model = |words: &'static [(&'static str, &'static str)]| [[("gen_ai.operation.name", "chat")].as_slice(), words].concat();
    let (around, silent) = (model(&[("gen_ai.request.model", "gpt-x"), ("gen_ai.response.id", "b")]), model(&[]));
    let calls = |spans: Vec<Span>| only(spans).signals.read("calls.model").number();
    let (root, first, second) =
        (|| told(1, None, (1, 100), &around), || told(2, Some(1), (10, 20), &silent), || told(4, Some(1), (40, 50), &silent));
    let tool = || told(3, Some(1), (20, 30), &[("gen_ai.tool.name", "look")]);
    assert_eq!(calls(vec![root(), first(), tool(), second()]), Some(2.0));
    assert_eq!(calls(vec![root(), first()]), Some(1.0));
    let request = only(vec![root(), first(), tool()]);
    assert_eq!(request.signals.read("latency.model").number(), Some(0.01));
    assert_eq!(request.state("model.requested", On::Any, Mapping::built_in()).value(), Some(&"gpt-x".into()));
    // An attempt that failed below its call is no call of its own.
    let failed = Span { status: Status { code: 2, message: String::new() }, ..first() };
    assert_eq!(calls(vec![root(), failed, second()]), Some(1.0));
}

#[test]
fn steps_of_making_ready_are_no_calls_and_no_requests() {
    let llm = [("openinference.span.kind", "LLM"), ("llm.model_name", "gpt-x")];
    let ready = Span { name: "OpenAI._prepare_chat_with_tools".into(), ..told(2, Some(1), (10, 20), &llm) };
    let raw = Span {
        name: "raw_gen_ai_request".into(),
        scope: Arc::new(Scope { name: "litellm".into(), ..Scope::default() }),
        ..told(3, Some(1), (20, 30), &[])
    };
    let create = Span { trace_id: "1".repeat(32), ..told(1, None, (0, 1), &[("gen_ai.operation.name", "create_agent")]) };
    let request = only(vec![create.clone(), told(1, None, (1, 100), &[]), ready, raw]);
    assert_eq!(request.signals.read("calls.model").number(), Some(1.0));
    assert_eq!(only(vec![create]).signals.read("calls.model").number(), None);
}

#[test]
fn a_call_that_only_the_wire_knows_hides_all_that_it_says() {
    let line = r#"{"seq": 1, "request": {"method": "POST", "path": "/v1/chat/completions", "headers": {}, "body": {"model": "gpt-x", "messages": []}},
        "response": {"status": 200, "headers": {}, "body": {"id": "a", "model": "gpt-x-1", "choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "hi"}}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}}}"#;
    let exchanges = wire::read(&line.replace('\n', ""), "wire.jsonl").expect("an exchange");
    let traces = normalise::requests(vec![span(1, None, Vec::new())], &[], Mapping::built_in());
    let request = Request::new(traces.into_iter().next(), exchanges, Mapping::built_in());
    let hidden: Vec<&str> = request.hidden.iter().map(|hidden| hidden.field.as_str()).collect();
    let all = ["calls.model", "finish_reason", "model.requested", "model.responded", "usage.input_tokens", "usage.output_tokens"];
    assert_eq!(hidden, all);
}

#[test]
fn a_span_that_an_sdk_exports_alone_is_the_call_that_ran_around_it() {
    let chat = [("openinference.span.kind", "LLM"), ("llm.model_name", "gpt-x")];
    let sdk = [("gen_ai.operation.name", "chat"), ("gen_ai.request.model", "gpt-x"), ("gen_ai.response.finish_reasons", "stop")];
    let lone = |id: u64, times, scope: &str| {
        let scope = Arc::new(Scope { name: scope.into(), ..Scope::default() });
        Span { trace_id: format!("{id:032x}"), scope, ..told(id, None, times, &sdk) }
    };
    let own = || vec![told(1, None, (1, 100), &[]), told(2, Some(1), (10, 50), &chat)];
    let with = |more: Vec<Span>| normalise::requests(own().into_iter().chain(more).collect(), &[], Mapping::built_in());
    let traces = with(vec![lone(7, (20, 40), "com.anthropic.sdk.python")]);
    assert_eq!(traces.len(), 1);
    let request = Request::new(traces.into_iter().next(), Vec::new(), Mapping::built_in());
    assert_eq!(request.signals.read("calls.model").number(), Some(1.0));
    assert_eq!(request.state("finish_reason", On::Any, Mapping::built_in()).value(), Some(&"stop".into()));
    // Not one that outlasts it, nor one of its own instrumentation, nor where two ran at the time.
    assert_eq!(with(vec![lone(7, (20, 60), "com.anthropic.sdk.python")]).len(), 2);
    assert_eq!(with(vec![lone(7, (20, 40), "logfire.openai")]).len(), 2);
    assert_eq!(with(vec![told(3, Some(1), (15, 90), &chat), lone(7, (20, 40), "com.anthropic.sdk.python")]).len(), 2);
}

#[test]
fn a_stream_that_broke_off_is_a_call_whose_span_older_instrumentation_lost() {
    let scope = |name: &str, span: Span| Span { scope: Arc::new(Scope { name: name.into(), ..Scope::default() }), ..span };
    let model = || scope("opentelemetry.instrumentation.openai.v1", told(2, Some(1), (10, 20), &[("llm.request.type", "chat")]));
    let root = || Span { status: Status { code: 2, message: "reset".into() }, ..told(1, None, (1, 100), &[]) };
    let tool = told(3, Some(1), (30, 40), &[("gen_ai.tool.name", "look")]);
    assert_eq!(only(vec![root(), model(), tool]).signals.read("calls.model").number(), None);
    assert_eq!(only(vec![root(), model()]).signals.read("calls.model").number(), Some(1.0));
}

#[test]
fn a_span_of_langsmith_failed_if_an_exception_ended_it() {
    let words = [("langsmith.span.kind", "llm"), ("gen_ai.request.model", "gpt-x")];
    let raised = Event { name: "exception".into(), time_ns: 20_000_000, attributes: Attributes::default() };
    let run = |scope: &str| {
        let scope = Arc::new(Scope { name: scope.into(), ..Scope::default() });
        let status = Status { code: 1, message: String::new() };
        only(vec![Span { scope, status, events: vec![raised.clone()], ..told(1, None, (10, 20), &words) }])
    };
    assert_eq!(run("langsmith").signals.read("outcome").to_json(), "error");
    assert_ne!(run("other").signals.read("outcome").to_json(), "error");
}

/// The contradictions of one model span, and what it hides, against an answer of gpt-x-1 to a request for gpt-x.
fn compared(scope: &str, words: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let line = r#"{"seq": 1, "request": {"method": "POST", "path": "/v1/chat/completions", "headers": {}, "body": {"model": "gpt-x", "messages": []}}, "response": {"status": 200, "headers": {}, "body": {"id": "a", "model": "gpt-x-1", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}]}}}"#;
    let exchanges = wire::read(line, "wire.jsonl").expect("an exchange");
    let scope = Arc::new(Scope { name: scope.into(), ..Scope::default() });
    let spans = vec![Span { scope, ..told(1, None, (1, 100), words) }];
    let request = Request::new(normalise::requests(spans, &[], Mapping::built_in()).into_iter().next(), exchanges, Mapping::built_in());
    let models = |fields: Vec<String>| fields.into_iter().filter(|field| field.starts_with("model.")).collect();
    (
        models(request.contradictions.iter().map(|found| found.field.clone()).collect()),
        models(request.hidden.iter().map(|hidden| hidden.field.clone()).collect()),
    )
}

#[test]
fn a_name_for_both_models_or_with_its_provider_contradicts_nothing() {
    let one = |model| [("langfuse.observation.type", "generation"), ("langfuse.observation.model.name", model)];
    assert_eq!(compared("langfuse-sdk", &one("gpt-x-1")), (vec![], vec!["model.requested".into()]));
    assert_eq!(compared("langfuse-sdk", &one("gpt-x")), (vec![], vec!["model.responded".into()]));
    let both = vec!["model.requested".to_string(), "model.responded".into()];
    assert_eq!(compared("langfuse-sdk", &one("gpt-y")), (both, vec![]));
    let two = |asked| [("gen_ai.operation.name", "chat"), ("gen_ai.request.model", asked), ("gen_ai.response.model", "gpt-x-1")];
    assert_eq!(compared("litellm", &two("openai/gpt-x")), (vec![], vec![]));
    assert_eq!(compared("litellm", &two("my-gpt-x")), (vec!["model.requested".into()], vec![]));
}

#[test]
fn retries_that_two_spans_tell_of_are_counted_once() {
    let call = |id: u64, parent| {
        let span = told(id, Some(parent), (10 * id, 90 - 10 * id), &[("gen_ai.operation.name", "chat")]);
        Span { attributes: span.attributes.into_iter().chain([("http.request.resend_count".into(), AnyValue::Int(2))]).collect(), ..span }
    };
    let request = only(vec![told(1, None, (1, 100), &[]), call(2, 1), call(3, 2)]);
    assert_eq!(request.signals.read("retries.count").number(), Some(2.0));
}
