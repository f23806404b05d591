//! Captured runs against their ground truth: those in `tests/captures`, and those in the folder that `RELAPSE_CAPTURES`
//! names. A run is `NAME.jsonl` (OTLP), `NAME.http.jsonl` (the wire) and `NAME.truth.json` (what really happened).
//!
//! Four things are held. What one exchange says is the truth. With the wire, every signal that it knows is the truth.
//! Without it, a signal is unknown, or the truth, or the telemetry itself is wrong and the wire says so. And a field is
//! present exactly when some attribute, event or log record carries it.

use relapse::evidence::Evidence;
use relapse::field::State;
use relapse::mapping::Mapping;
use relapse::request::Request;
use relapse::wire;
use relapse::wire::call::Attempt;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

struct Capture {
    name: String,
    variant: String,
    telemetry: Vec<u8>,
    wire: String,
    truth: Value,
}

impl Capture {
    fn of(truth: &Path) -> Self {
        let base = truth.to_string_lossy().trim_end_matches(".truth.json").to_string();
        let text = fs::read_to_string(truth).expect("a truth file");
        let truth: Value = serde_json::from_str(&text).expect("JSON");
        Self {
            variant: truth["variant"].as_str().unwrap_or("unnamed").to_string(),
            telemetry: fs::read(format!("{base}.jsonl")).expect("telemetry"),
            wire: fs::read_to_string(format!("{base}.http.jsonl")).expect("a wire file"),
            name: base,
            truth,
        }
    }

    fn attempts(&self) -> &[Value] {
        self.truth["wire"].as_array().map_or(&[], Vec::as_slice)
    }

    fn requests(&self, with_wire: bool) -> Vec<Request> {
        let mut evidence = Evidence::default();
        evidence.take_traces(&self.telemetry, &self.name).expect("telemetry");
        if with_wire {
            evidence.take_wire(&self.wire, &self.name).expect("exchanges");
        }
        evidence.requests(Mapping::built_in())
    }
}

fn captures() -> Vec<Capture> {
    let folders = [Some("tests/captures".into()), env::var_os("RELAPSE_CAPTURES").map(PathBuf::from)];
    let found: Vec<Capture> = folders.iter().flatten().flat_map(|folder| truths(folder)).map(|file| Capture::of(&file)).collect();
    assert!(!found.is_empty(), "no captured run was found");
    found
}

fn truths(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(truths(&path));
        } else if path.to_string_lossy().ends_with(".truth.json") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What is wrong, by instrumentation; printed as a table, so that a folder of captures can be scored.
#[derive(Default)]
struct Score(BTreeMap<String, (usize, usize, Vec<String>)>);

impl Score {
    fn check(&mut self, capture: &Capture, what: &str, told: &Value, known: &Value) {
        let problem = (told != known).then(|| format!("{what}: {told} against {known}"));
        self.hold(capture, problem);
    }

    fn hold(&mut self, capture: &Capture, problem: Option<String>) {
        let (checks, wrong, problems) = self.0.entry(capture.variant.clone()).or_default();
        *checks += 1;
        if let Some(problem) = problem {
            *wrong += 1;
            problems.push(format!("{}: {problem}", capture.name));
        }
    }

    #[expect(clippy::print_stdout, reason = "the score is what this is for")]
    fn finish(self, title: &str) {
        println!("{title}");
        for (variant, (checks, wrong, _)) in &self.0 {
            println!("  {variant:<32} {:>5} of {checks:>5} right", checks - wrong);
        }
        let problems: Vec<String> = self.0.into_values().flat_map(|(.., problems)| problems).collect();
        assert!(problems.is_empty(), "{}:\n{}", problems.len(), problems.join("\n"));
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_string)
}

#[test]
fn every_captured_exchange_says_what_really_happened() {
    let mut score = Score::default();
    for capture in captures() {
        let exchanges = wire::read(&capture.wire, &capture.name).expect("exchanges");
        let attempts: Vec<Attempt> = exchanges.iter().filter_map(Attempt::of).collect();
        score.check(&capture, "attempts", &attempts.len().into(), &capture.attempts().len().into());
        for (attempt, truth) in attempts.iter().zip(capture.attempts()) {
            let ms = |seconds: Option<f64>| seconds.map_or(Value::Null, |seconds| ((seconds * 1e4).round() / 10.0).into());
            let tools = attempt.tool_calls.iter().map(|call| json!({"id": call.id, "name": call.name, "arguments": call.arguments}));
            for (what, told, known) in [
                ("model", json!(attempt.model_requested), truth["model_requested"].clone()),
                ("responded", json!(attempt.model_responded), truth["model_responded"].clone()),
                ("id", json!(attempt.response_id), truth["response_id"].clone()),
                ("stream", json!(attempt.streamed), truth["stream"].clone()),
                ("status", json!(attempt.status), truth["status"].clone()),
                ("first token", ms(attempt.first_token), truth["ttft_ms"].clone()),
                ("text", json!(attempt.text.clone().filter(|text| !text.is_empty())), json!(text(&truth["text"]))),
                ("refusal", json!(attempt.refusal), json!(text(&truth["refusal"]))),
                ("finish", json!(attempt.finish), truth["finish"].clone()),
                ("input", json!(attempt.usage.input), truth["usage"]["in"].clone()),
                ("output", json!(attempt.usage.output), truth["usage"]["out"].clone()),
                ("tools", tools.collect(), truth["tool_calls"].clone()),
            ] {
                score.check(&capture, &format!("#{} {what}", attempt.seq), &told, &known);
            }
        }
    }
    score.finish("exchanges");
}

/// The logical calls of a run: attempts that asked the same after a failure belong together. The last one counts.
fn calls(capture: &Capture) -> Vec<&Value> {
    let lines = capture.wire.lines().filter(|line| !line.trim().is_empty());
    let bodies = lines.map(|line| serde_json::from_str::<Value>(line).expect("an exchange")["request"]["body"].clone());
    let mut calls: Vec<(Value, &Value)> = Vec::new();
    for (body, attempt) in bodies.zip(capture.attempts()) {
        let failed = |attempt: &Value| attempt["status"] != 200 || attempt["finish"].is_null();
        match calls.iter_mut().find(|(asked, last)| *asked == body && failed(last)) {
            Some((_, last)) => *last = attempt,
            None => calls.push((body, attempt)),
        }
    }
    calls.into_iter().map(|(_, last)| last).collect()
}

/// Signals that the wire knows, computed from the truth alone; one that is not here is not known.
fn truth_of(capture: &Capture) -> BTreeMap<&'static str, Value> {
    let calls = calls(capture);
    let (attempts, count) = (capture.attempts().len(), calls.len());
    let mut known = BTreeMap::from([
        ("calls.model", json!(count)),
        ("retries.count", json!(attempts - count)),
        ("output.refused", calls.iter().any(|call| !call["refusal"].is_null() || call["finish"] == "refusal").into()),
    ]);
    let answered: Vec<&&Value> = calls.iter().filter(|call| call["status"] == 200).collect();
    for (signal, key) in [("tokens.input", "in"), ("tokens.output", "out")] {
        let counts: Option<Vec<u64>> = answered.iter().map(|call| call["usage"][key].as_u64()).collect();
        if let Some(counts) = counts.filter(|counts| !counts.is_empty()) {
            known.insert(signal, counts.iter().sum::<u64>().into());
        }
    }
    if let Some(first) = calls.iter().find_map(|call| call["ttft_ms"].as_f64()) {
        known.insert("latency.first_token", json!((first * 1e3).round() / 1e6));
    }
    let Some(last) = calls.last() else { return known };
    let limit = matches!(last["finish"].as_str(), Some("length" | "max_tokens" | "max_output_tokens"));
    known.insert("output.truncated", (last["status"] == 200 && (limit || last["finish"].is_null())).into());
    if last["finish"].is_string() {
        known.insert("policy.blocked", calls.iter().any(|call| call["finish"] == "content_filter").into());
    }
    known
}

/// A signal over all requests of a run, which may be several.
fn over_all(requests: &[Request], signal: &str) -> Value {
    let read = |request: &Request| request.signals.read(signal).to_json();
    if requests.len() == 1 {
        return read(&requests[0]);
    }
    let values: Vec<Value> = requests.iter().map(read).collect();
    if values.iter().any(Value::is_null) {
        return Value::Null;
    }
    match values.first() {
        Some(Value::Bool(_)) => values.contains(&json!(true)).into(),
        Some(Value::Number(_)) if signal != "latency.first_token" => values.iter().filter_map(Value::as_u64).sum::<u64>().into(),
        _ => Value::Null,
    }
}

#[test]
fn with_the_wire_every_signal_that_it_knows_is_the_truth() {
    let mut score = Score::default();
    for capture in captures() {
        let requests = capture.requests(true);
        for (signal, known) in truth_of(&capture) {
            let told = over_all(&requests, signal);
            if requests.len() == 1 || signal != "latency.first_token" {
                score.check(&capture, signal, &told, &known);
            }
        }
        let told = requests.iter().flat_map(|request| request.tool_uses.iter().flatten());
        let told: BTreeSet<String> = told.map(|tool| json!([tool.id, tool.name, tool.arguments]).to_string()).collect();
        let known = capture.attempts().iter().flat_map(|attempt| attempt["tool_calls"].as_array().into_iter().flatten());
        let known: BTreeSet<String> = known.map(|tool| json!([tool["id"], tool["name"], tool["arguments"]]).to_string()).collect();
        score.check(&capture, "tools", &json!(told), &json!(known));
    }
    score.finish("signals with the wire");
}

/// Which field a signal is told by.
const TOLD_BY: [(&str, &str); 7] = [
    ("retries.count", "retries.count"),
    ("tokens.input", "usage.input_tokens"),
    ("tokens.output", "usage.output_tokens"),
    ("latency.first_token", "latency.first_token"),
    ("output.truncated", "finish_reason"),
    ("policy.blocked", "finish_reason"),
    ("output.refused", "refusal"),
];

#[test]
fn without_the_wire_nothing_is_claimed_that_the_telemetry_does_not_say() {
    let mut score = Score::default();
    for capture in captures() {
        let (with, without) = (capture.requests(true), capture.requests(false));
        let hidden: BTreeSet<&str> = with.iter().flat_map(|request| &request.hidden).map(|hidden| hidden.field.as_str()).collect();
        let wrong: BTreeSet<&str> = with.iter().flat_map(|request| &request.contradictions).map(|found| found.field.as_str()).collect();
        let known = truth_of(&capture);
        let claimed = over_all(&without, "calls.model");
        score.hold(&capture, (!claimed.is_null() && claimed != known["calls.model"]).then(|| format!("calls.model: {claimed}")));
        for (signal, field) in TOLD_BY {
            let Some(known) = known.get(signal) else { continue };
            let claimed = over_all(&without, signal);
            // Clients measure the first token later than the server; only the slack of a contradiction is wrong.
            let near = signal == "latency.first_token" && !wrong.contains(field);
            let problem = if claimed.is_null() {
                let matters = *known != json!(0) && *known != json!(false) && with.len() == 1;
                let is_said = hidden.contains(field)
                    || wrong.contains(field)
                    || with.iter().any(|request| request.fields.get(field).is_some_and(State::is_present));
                (matters && !is_said).then(|| format!("{signal}: {known} is hidden, and not reported"))
            } else {
                (claimed != *known && !near && !wrong.contains(field)).then(|| format!("{signal}: claimed {claimed}, and it is {known}"))
            };
            score.hold(&capture, problem);
        }
    }
    score.finish("claims without the wire");
}

/// Where each field of the minimum is looked for by hand: an attribute's or event's key; `key:member` is JSON with a member.
const CARRIED_BY: [(&str, &[&str]); 11] = [
    ("request.id", &["app.request.id", "request.id", "metadata:request_id", "ai.telemetry.metadata.app.request.id"]),
    ("session.id", &["session.id", "gen_ai.conversation.id", "ai.telemetry.metadata.session.id", "metadata:session_id"]),
    ("user.id", &["user.id", "enduser.id", "ai.telemetry.metadata.user.id", "metadata:user_id"]),
    (
        "prompt.version",
        &[
            "app.prompt.version",
            "prompt.version",
            "llm.prompt_template.version",
            "ai.telemetry.metadata.app.prompt.version",
            "metadata:prompt_version",
        ],
    ),
    ("model.requested", &["gen_ai.request.model", "ai.model.id", "llm.invocation_parameters:model", "llm.model_name"]),
    ("usage.input_tokens", &["gen_ai.usage.input_tokens", "llm.token_count.prompt", "ai.usage.inputTokens"]),
    ("outcome", &["app.outcome", "metadata:outcome", "a root that failed"]),
    (
        "finish_reason",
        &[
            "gen_ai.response.finish_reasons",
            "llm.finish_reason",
            "ai.response.finishReason",
            "anthropic.message.stop_reason",
            "gen_ai.choice",
        ],
    ),
    (
        "latency.first_token",
        &[
            "gen_ai.response.time_to_first_chunk",
            "gen_ai.client.operation.time_to_first_chunk",
            "ai.response.msToFirstChunk",
            "First Token Stream Event",
            "gen_ai.content.completion.chunk",
        ],
    ),
    ("retries.count", &["http.request.resend_count"]),
    ("score", &["gen_ai.evaluation.result"]),
];

/// The keys of all attributes with a value, the names of all events, and JSON members as `key:member`.
fn keys(telemetry: &Value, found: &mut BTreeSet<String>) {
    match telemetry {
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        Value::Object(map) => {
            if let (Some(key), Some(value)) = (map.get("key").and_then(Value::as_str), map.get("value")) {
                let json = value["stringValue"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
                found.extend(json.iter().filter_map(Value::as_object).flat_map(|map| map.keys()).map(|member| format!("{key}:{member}")));
                let nothing = value["stringValue"] == "" || value["arrayValue"]["values"].as_array().is_some_and(Vec::is_empty);
                if !nothing && value["arrayValue"] != json!({}) {
                    found.insert(key.to_string());
                }
                if key == "event.name" {
                    found.extend(text(&value["stringValue"]));
                }
            }
            if map.contains_key("spanId")
                && map.get("status").is_some_and(|status| status["code"] == 2)
                && map.get("parentSpanId").and_then(text).is_none()
            {
                found.insert("a root that failed".into());
            }
            found.extend(map.get("timeUnixNano").and(map.get("name")).and_then(text));
            found.extend(map.get("eventName").and_then(text));
            map.values().for_each(|value| keys(value, found));
        }
        _ => {}
    }
}

fn key_of(state: &State) -> Option<&str> {
    match state {
        State::Present { key, .. } => Some(key),
        _ => None,
    }
}

#[test]
fn a_field_is_present_exactly_when_the_telemetry_carries_it() {
    let mut score = Score::default();
    for capture in captures() {
        let mut carried = BTreeSet::new();
        let text = String::from_utf8_lossy(&capture.telemetry);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            keys(&serde_json::from_str(line).expect("JSON lines"), &mut carried);
        }
        if capture.variant.starts_with("pydantic-ai") {
            // It makes a new one up for every run, so it names no session.
            carried.remove("gen_ai.conversation.id");
        }
        let requests = capture.requests(false);
        for (field, known) in CARRIED_BY {
            let told: Vec<&str> = requests.iter().filter_map(|request| key_of(request.fields.get(field)?)).collect();
            // Attempts that are spans of their own are counted, and no attribute says how many they are.
            let is_carried = known.iter().any(|key| carried.contains(*key)) || told.contains(&"one span for each attempt");
            score.check(&capture, field, &(!told.is_empty()).into(), &is_carried.into());
        }
    }
    score.finish("fields");
}

#[test]
fn the_times_of_the_stages_sum_to_the_total() {
    let mut score = Score::default();
    for capture in captures() {
        for request in capture.requests(true).iter().chain(&capture.requests(false)) {
            let time = |name: &str| request.signals.read(name).number().unwrap_or(0.0);
            let parts = ["latency.model", "latency.retrieval", "latency.tools", "latency.retries", "latency.gap"];
            let micros = |seconds: f64| (seconds * 1e6).round() as i64;
            let sum: i64 = parts.iter().map(|part| micros(time(part))).sum();
            score.check(&capture, "latency.total", &sum.into(), &micros(time("latency.total")).into());
        }
    }
    score.finish("stage times");
}
