//! Telemetry read request by request, as traces become complete.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use camino::Utf8PathBuf;
use relapse::evidence::{Evidence, stream, stream_files, stream_in_order};
use relapse::field::State;
use relapse::limit;
use relapse::mapping::Mapping;
use relapse::request::Request;
use std::cell::Cell;
use std::fs;
use std::io::{self, Read};
use std::sync::Mutex;
use tempfile::TempDir;

fn span(trace: usize, id: usize, parent: Option<usize>, attributes: &str) -> String {
    let parent = parent.map(|parent| format!(r#""parentSpanId":"{parent:016x}","#)).unwrap_or_default();
    format!(
        r#"{{"traceId":"{trace:032x}","spanId":"{id:016x}",{parent}"name":"s{id}","startTimeUnixNano":"{start}","endTimeUnixNano":"{end}","attributes":[{attributes}]}}"#,
        start = 1_000_000_000 + id,
        end = 3_000_000_000_u64,
    )
}

fn line(spans: &[String]) -> String {
    format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{}]}}]}}]}}\n", spans.join(","))
}

fn attribute(key: &str, value: &str) -> String {
    format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#)
}

fn model(trace: usize) -> String {
    let attributes =
        [attribute("gen_ai.operation.name", "chat"), r#"{"key":"gen_ai.usage.input_tokens","value":{"intValue":7}}"#.to_string()];
    span(trace, 2, Some(1), &attributes.join(","))
}

fn root(trace: usize) -> String {
    span(trace, 1, None, &attribute("user.id", "u-1"))
}

/// What is told of each request: its id, tokens and user.
fn told(request: &Request) -> String {
    let user = request.fields.get("user.id").and_then(State::value).cloned().unwrap_or_default();
    let id = request.trace.as_ref().unwrap().id.trim_start_matches('0').to_string();
    format!("{id} {} {user}", request.signals.read("tokens.input").to_json())
}

fn streamed(text: &str) -> Vec<String> {
    let mut requests = Vec::new();
    stream(text.as_bytes(), Mapping::built_in(), &mut |request| requests.push(told(&request))).unwrap();
    requests.sort();
    requests
}

fn written(texts: &[&str]) -> (TempDir, Vec<Utf8PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let path = |index: usize| Utf8PathBuf::from_path_buf(folder.path().join(format!("{index}.jsonl"))).unwrap();
    let files: Vec<Utf8PathBuf> = (0..texts.len()).map(path).collect();
    files.iter().zip(texts).for_each(|(file, text)| fs::write(file, text).unwrap());
    (folder, files)
}

fn files_told(texts: &[&str], threads: usize) -> Vec<String> {
    let (_folder, files) = written(texts);
    let requests = Mutex::new(Vec::new());
    let diagnostics =
        stream_files(&files, threads, Mapping::built_in(), &|request: Request| requests.lock().unwrap().push(told(&request))).unwrap();
    assert_eq!(diagnostics, Vec::<String>::new());
    let mut requests = requests.into_inner().unwrap();
    requests.sort();
    requests
}

/// A text that says how far it was read.
struct Watched<'a> {
    rest: &'a [u8],
    read: &'a Cell<usize>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.rest.read(buffer)?;
        self.read.set(self.read.get() + count);
        Ok(count)
    }
}

/// Lines of other traces, so many bytes long.
fn noise(from: usize, bytes: usize) -> String {
    let padding = "x".repeat(50_000);
    let line = |trace| line(&[span(trace, 1, None, &attribute("padding", &padding))]);
    (from..)
        .map(line)
        .scan(0, |sum, line| {
            *sum += line.len();
            (*sum < bytes).then_some(line)
        })
        .collect()
}

#[test]
fn a_trace_over_many_lines_is_one_request_whatever_comes_first() {
    let text = [line(&[model(1)]), line(&[root(2), model(2)]), line(&[root(1)])].concat();
    assert_eq!(streamed(&text), ["1 7 \"u-1\"", "2 7 \"u-1\""]);
}

#[test]
fn a_complete_trace_is_told_before_the_stream_ends_and_an_open_one_waits() {
    let quiet = usize::try_from(limit::QUIET_BYTES).unwrap();
    let text =
        [noise(100, quiet + 200_000), line(&[model(1), root(1)]), line(&[model(2)]), noise(1000, 2 * quiet), line(&[root(2)])].concat();
    let (read, early) = (Cell::new(0), Cell::new(0));
    let mut last = Vec::new();
    let reader = Watched { rest: text.as_bytes(), read: &read };
    stream(reader, Mapping::built_in(), &mut |request| {
        if read.get() < text.len() && told(&request).starts_with("1 7") {
            early.set(early.get() + 1);
        }
        last.push(told(&request));
    })
    .unwrap();
    assert_eq!(early.get(), 1);
    assert!(last.contains(&"2 7 \"u-1\"".to_string()));
}

#[test]
fn a_trace_that_goes_on_in_the_next_file_is_one_request() {
    let (one, two) = (line(&[model(1)]), line(&[root(1)]));
    for threads in [1, 2] {
        assert_eq!(files_told(&[&one, &two], threads), ["1 7 \"u-1\""]);
    }
}

#[test]
fn log_records_in_a_file_of_their_own_find_their_trace() {
    let spans = line(&[model(1), root(1)]);
    let logs = format!(
        "{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{{\"traceId\":\"{:032x}\",\"eventName\":\"gen_ai.evaluation.result\",\"attributes\":[{}]}}]}}]}}]}}\n",
        1,
        [attribute("gen_ai.evaluation.name", "tone"), r#"{"key":"gen_ai.evaluation.score.value","value":{"doubleValue":0.5}}"#.to_string()]
            .join(",")
    );
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| Utf8PathBuf::from_path_buf(folder.path().join(name)).unwrap();
    let files = [path("a-spans.jsonl"), path("b-logs.jsonl")];
    fs::write(&files[0], spans).unwrap();
    fs::write(&files[1], logs).unwrap();
    let scores = Mutex::new(Vec::new());
    let sink = |request: Request| scores.lock().unwrap().push(request.signals.read("score.tone").number());
    stream_files(&files, 1, Mapping::built_in(), &sink).unwrap();
    assert_eq!(*scores.lock().unwrap(), [Some(0.5)]);
}

#[test]
fn threads_change_nothing_but_the_order() {
    let texts: Vec<String> =
        (0..5).map(|file| (0..20).map(|trace| line(&[model(file * 20 + trace + 1), root(file * 20 + trace + 1)])).collect()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let one = files_told(&texts, 1);
    assert_eq!(one.len(), 100);
    assert_eq!(files_told(&texts, 2), one);
}

#[test]
fn a_thread_that_makes_requests_beside_the_reader_keeps_their_order() {
    // Some are told as they become complete, one over two files, and the others at the end.
    let (early, late) = (line(&[model(1), root(1)]), line(&[model(2)]));
    let first =
        [noise(100, limit::QUIET_BYTES as usize + 1).as_str(), &early, &noise(200, limit::QUIET_BYTES as usize + 1), &late].concat();
    let (_folder, files) = written(&[&first, &line(&[root(2), model(3), root(3)])]);
    let one_after_the_other = Mutex::new(Vec::new());
    stream_files(&files, 1, Mapping::built_in(), &|request| one_after_the_other.lock().unwrap().push(told(&request))).unwrap();
    let mut in_order = Vec::new();
    stream_in_order(&files, Mapping::built_in(), &mut |request| in_order.push(told(&request))).unwrap();
    assert!(in_order.len() > 3, "{}", in_order.len());
    assert_eq!(in_order, one_after_the_other.into_inner().unwrap());
}

#[test]
fn a_stream_tells_what_reading_all_at_once_tells() {
    let text: String = (1..40).map(|trace| line(&[model(trace), root(trace)])).collect();
    let mut evidence = Evidence::default();
    evidence.take_traces(text.as_bytes(), "x").unwrap();
    let mut whole: Vec<String> = evidence.requests(Mapping::built_in()).iter().map(told).collect();
    whole.sort();
    assert_eq!(streamed(&text), whole);
}

#[test]
fn a_file_that_holds_nothing_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = Utf8PathBuf::from_path_buf(folder.path().join("x.json")).unwrap();
    fs::write(&file, "{\"rows\": []}").unwrap();
    let faults = stream_files(std::slice::from_ref(&file), 1, Mapping::built_in(), &|_| {}).unwrap_err();
    let fault = faults.iter().next().unwrap();
    assert_eq!(fault.place.as_ref().unwrap().file, file);
    assert!(fault.message.contains("no telemetry"));
}
