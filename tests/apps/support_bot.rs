//! A support bot in a few lines: the application of our own tests, in need of nothing but the standard library.
//!
//! It asks a model over plain HTTP, tries again in two nested layers (`BOT_OUTER` × `BOT_INNER`), and exports its trace as
//! OTLP/JSON. `BOT_FAULT` makes it misbehave in one way; `BOT_PORT` makes it a service, and `BOT_TRACED` one that passes
//! its caller's trace on.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its outputs are how an application speaks")]

use serde_json::{Value, json};
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, exit};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() {
    match variable("BOT_PORT") {
        Some(port) => serve(&port),
        None => run(),
    }
}

/// Answers the question in the arguments, and ends.
fn run() {
    let fault = variable("BOT_FAULT").unwrap_or_default();
    before(&fault);
    let (outcome, answer) = answer(&fault, &env::args().nth(1).unwrap_or_default(), None);
    after(&fault);
    println!("{}", json!({"outcome": outcome, "answer": answer}));
    exit(i32::from(outcome == "error"));
}

/// Answers every question in the trace of its caller, several at once.
fn serve(port: &str) {
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).expect("the port is free");
    for stream in listener.incoming().map_while(Result::ok) {
        std::thread::spawn(move || reply(&stream));
    }
}

fn reply(mut stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    let head: Vec<String> = reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let header = |name: &str| head.iter().find_map(|line| line.to_lowercase().strip_prefix(name).map(|value| value.trim().to_string()));
    let mut body = vec![0; header("content-length:").and_then(|length| length.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).expect("a whole body");
    let question = serde_json::from_slice::<Value>(&body).ok().and_then(|body| Some(body["question"].as_str()?.to_string()));
    let (status, text) = match question {
        None => (200, "ready".to_string()),
        Some(question) => {
            let fault = if among_others() { variable("BOT_FAULT").unwrap_or_default() } else { String::new() };
            let (outcome, answer) = answer(&fault, &question, header("traceparent:").as_deref());
            (if outcome == "error" { 503 } else { 200 }, json!({"outcome": outcome, "answer": answer}).to_string())
        }
    };
    let _ = write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}", text.len());
}

/// How many questions were asked, and a bell for each.
static QUESTIONS: (Mutex<u32>, Condvar) = (Mutex::new(0), Condvar::new());

/// Counts a question; whether it is not the first.
fn among_others() -> bool {
    let mut count = QUESTIONS.0.lock().expect("no panic");
    *count += 1;
    QUESTIONS.1.notify_all();
    *count > 1
}

/// Waits for a third question; whether it came.
fn is_joined() -> bool {
    let count = QUESTIONS.0.lock().expect("no panic");
    !QUESTIONS.1.wait_timeout_while(count, Duration::from_secs(5), |count| *count < 3).expect("no panic").1.timed_out()
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// What goes wrong before anything was asked.
fn before(fault: &str) {
    match fault {
        "exit" => {
            eprintln!("config: BOT_TENANT is not set");
            exit(3);
        }
        "crash" => std::process::abort(),
        "hang" => loop {
            std::thread::sleep(Duration::from_secs(60));
        },
        "mute" => {
            println!("{}", json!({"outcome": "answered", "answer": "I know that by heart."}));
            exit(0);
        }
        "past" => past_the_proxy(),
        _ => {}
    }
}

/// What goes wrong after everything was answered.
#[expect(clippy::zombie_processes, reason = "that is what goes wrong")]
fn after(fault: &str) {
    match fault {
        "flood" => {
            let line = format!("{}\n", "x".repeat(1 << 20));
            for _ in 0..8 {
                print!("{line}");
                eprint!("{line}");
            }
        }
        "grandchild" => {
            Command::new("sleep").arg("1000").spawn().expect("sleep is there");
        }
        _ => {}
    }
}

/// Asks a server that is none of the target's, as a client does that has its address built in.
fn past_the_proxy() {
    let proxy = variable("HTTPS_PROXY").expect("a proxy");
    let mut stream = TcpStream::connect(proxy.trim_start_matches("http://")).expect("it listens");
    stream.write_all(b"CONNECT api.openai.com:443 HTTP/1.1\r\nhost: api.openai.com:443\r\n\r\n").expect("sent");
    let mut refusal = String::new();
    stream.read_to_string(&mut refusal).expect("an answer");
    println!("{}", json!({"outcome": "error", "answer": refusal.lines().next()}));
    exit(1);
}

/// Outcome and text; the telemetry of it is exported.
fn answer(fault: &str, question: &str, parent: Option<&str>) -> (&'static str, String) {
    let start = now();
    let parent_upstream = parent.filter(|_| variable("BOT_TRACED").is_some() && fault != "forget");
    let reply = if fault == "meet" && !is_joined() { None } else { ask(question, parent_upstream) };
    let (outcome, text) = match &reply {
        Some(reply) => ("answered", reply["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_string()),
        None => ("error", "The model is overloaded. Please try again in a minute.".to_string()),
    };
    export(fault, &trace(reply.as_ref(), outcome, start, parent));
    (outcome, text)
}

/// The model's reply, after as many attempts as both layers make.
fn ask(question: &str, parent: Option<&str>) -> Option<Value> {
    let times = |name: &str| variable(name).and_then(|number| number.parse().ok()).unwrap_or(1);
    let body = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": question}]}).to_string();
    let attempts = times("BOT_OUTER") * times("BOT_INNER");
    let url = format!("{}/chat/completions", variable("OPENAI_BASE_URL").expect("an address"));
    let headers: Vec<(&str, &str)> =
        [("content-type", "application/json")].into_iter().chain(parent.map(|parent| ("traceparent", parent))).collect();
    (0..attempts).find_map(|_| {
        let (status, text) = post(&url, &headers, &body);
        (status == 200).then(|| serde_json::from_str(&text).expect("a reply"))
    })
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos()
}

/// A root and one model call, as OTLP/JSON.
fn trace(reply: Option<&Value>, outcome: &str, start: u128, parent: Option<&str>) -> Value {
    let attribute = |(key, value): (&str, Value)| json!({"key": key, "value": value});
    let text = |text: &str| json!({"stringValue": text});
    let parts: Vec<&str> = parent.unwrap_or("00-5af7651916cd43dd8448eb211c80319c--01").split('-').collect();
    let span = |id: &str, parent: &str, name: &str, kind: u8, attributes: Vec<(&str, Value)>| {
        let attributes: Vec<Value> = attributes.into_iter().map(attribute).collect();
        json!({"traceId": parts[1], "spanId": id, "parentSpanId": parent, "name": name, "kind": kind,
            "startTimeUnixNano": start.to_string(), "endTimeUnixNano": now().to_string(), "attributes": attributes})
    };
    let mut call = vec![("gen_ai.operation.name", text("chat")), ("gen_ai.request.model", text("gpt-4o-mini"))];
    if let Some(reply) = reply {
        let tokens = |key: &str| json!({"intValue": reply["usage"][key].to_string()});
        call.push(("gen_ai.response.model", text(reply["model"].as_str().unwrap_or_default())));
        call.push(("gen_ai.response.id", text(reply["id"].as_str().unwrap_or_default())));
        call.push(("gen_ai.response.finish_reasons", json!({"arrayValue": {"values": [text("stop")]}})));
        call.push(("gen_ai.usage.input_tokens", tokens("prompt_tokens")));
        call.push(("gen_ai.usage.output_tokens", tokens("completion_tokens")));
    }
    let root = span("aaaaaaaaaaaaaaaa", parts[2], "POST /chat", 2, vec![("app.outcome", text(outcome))]);
    let model = span("bbbbbbbbbbbbbbbb", "aaaaaaaaaaaaaaaa", "chat gpt-4o-mini", 3, call);
    json!({"resourceSpans": [{"scopeSpans": [{"scope": {"name": "support-bot"}, "spans": [root, model]}]}]})
}

fn export(fault: &str, trace: &Value) {
    let endpoint = variable("OTEL_EXPORTER_OTLP_ENDPOINT").filter(|_| fault != "silent");
    let Some(endpoint) = endpoint else { return };
    let kind = if fault == "thrift" { "application/x-thrift" } else { "application/json" };
    post(&format!("{endpoint}/v1/traces"), &[("content-type", kind)], &trace.to_string());
}

/// Status and body of one POST.
fn post(url: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("an address of loopback");
    let mut stream = TcpStream::connect(host).expect("it listens");
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("POST /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("text");
    let (head, body) = reply.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_string())
}
