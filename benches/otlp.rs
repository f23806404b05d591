//! How fast telemetry is read, and how fast it becomes requests; the text is made here, in the shape of the Collector's file
//! exporter. `RELAPSE_BENCH_OTLP=FILE cargo bench --bench otlp file` measures a file of your own.

use camino::Utf8PathBuf;
use divan::Bencher;
use divan::counter::BytesCount;
use mimalloc::MiMalloc;
use relapse::evidence::{stream, stream_files, stream_in_order};
use relapse::mapping::Mapping;
use relapse::otlp::read;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The program's own.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() {
    divan::main();
}

/// Lines of one batch each.
const LINES: usize = 100;
/// Requests of one batch.
const REQUESTS: usize = 5;
/// Spans of one request.
const SPANS: usize = 4;

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn messages(role: &str, words: usize) -> String {
    let text = "the customer said \"twice the charge\" at the café\n".repeat(words / 8);
    json!([{"role": role, "parts": [{"type": "text", "content": text}]}]).to_string()
}

fn span(request: usize, number: usize, name: &str, attributes: &Value) -> Value {
    let mut span = json!({
        "traceId": format!("{:032x}", request + 1), "spanId": format!("{:016x}", request * SPANS + number + 1), "flags": 256,
        "name": name, "kind": 3, "startTimeUnixNano": "1750000000000000000", "endTimeUnixNano": "1750000001000000000",
        "attributes": attributes, "status": {},
    });
    if number > 0 {
        span["parentSpanId"] = format!("{:016x}", request * SPANS + 1).into();
    }
    span
}

/// An agent with a model call, its HTTP request and a tool; the root is exported last.
fn spans(request: usize) -> [Value; SPANS] {
    let agent = json!([attribute("gen_ai.operation.name", "invoke_agent"), attribute("gen_ai.conversation.id", "c-1")]);
    let http = json!([attribute("http.request.method", "POST"), attribute("url.full", "https://llm.internal/v1/chat/completions")]);
    let tool = json!([
        attribute("gen_ai.operation.name", "execute_tool"),
        attribute("gen_ai.tool.name", "lookup_order"),
        attribute("gen_ai.tool.call.arguments", "{\"order\":\"A-1\"}"),
        attribute("gen_ai.tool.call.result", "{\"ok\":true}")
    ]);
    let chat = json!([
        attribute("gen_ai.operation.name", "chat"),
        attribute("gen_ai.provider.name", "openai"),
        attribute("gen_ai.request.model", "gpt-4.1-mini"),
        attribute("gen_ai.response.model", "gpt-4.1-mini-2025-04-14"),
        json!({"key": "gen_ai.usage.input_tokens", "value": {"intValue": "512"}}),
        json!({"key": "gen_ai.request.temperature", "value": {"doubleValue": 0.2}}),
        json!({"key": "gen_ai.response.finish_reasons", "value": {"arrayValue": {"values": [{"stringValue": "stop"}]}}}),
        attribute("gen_ai.input.messages", &messages("user", 600)),
        attribute("gen_ai.output.messages", &messages("assistant", 200)),
    ]);
    [
        span(request, 1, "chat gpt-4.1-mini", &chat),
        span(request, 2, "POST", &http),
        span(request, 3, "execute_tool", &tool),
        span(request, 0, "invoke_agent", &agent),
    ]
}

fn line(number: usize) -> String {
    let spans: Vec<Value> = (0..REQUESTS).flat_map(|request| spans(number * REQUESTS + request)).collect();
    let resource = json!({"attributes": [attribute("service.name", "support-bot"), attribute("service.version", "1.4.2")]});
    let line = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "openai"}, "spans": spans}]}]});
    format!("{line}\n")
}

fn lines(numbers: std::ops::Range<usize>) -> Vec<u8> {
    numbers.map(line).collect::<String>().into_bytes()
}

fn count(bytes: &[u8]) -> usize {
    read(bytes, &mut |_| {}).map(|reading| reading.spans).unwrap_or_default()
}

fn count_requests(reader: impl std::io::Read) -> usize {
    let mut count = 0;
    let read = stream(reader, Mapping::built_in(), &mut |request| count += usize::from(!request.fields.is_empty()));
    read.map(|_| count).unwrap_or_default()
}

#[divan::bench]
fn json_lines(bencher: Bencher<'_, '_>) {
    let text = lines(0..LINES);
    assert_eq!(count(&text), LINES * REQUESTS * SPANS);
    bencher.counter(BytesCount::of_slice(&text)).bench(|| count(&text));
}

#[divan::bench]
fn json_lines_in_gzip(bencher: Bencher<'_, '_>) {
    let text = lines(0..LINES);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let compressed = encoder.write_all(&text).and_then(|()| encoder.finish()).unwrap_or_default();
    assert_eq!(count(&compressed), LINES * REQUESTS * SPANS);
    bencher.counter(BytesCount::of_slice(&text)).bench(|| count(&compressed));
}

/// Reading, normalising, and resolving every field and signal.
#[divan::bench]
fn requests_of_json_lines(bencher: Bencher<'_, '_>) {
    let text = lines(0..LINES);
    assert_eq!(count_requests(text.as_slice()), LINES * REQUESTS);
    bencher.counter(BytesCount::of_slice(&text)).bench(|| count_requests(text.as_slice()));
}

/// The same over four files.
#[divan::bench(args = [1, 2])]
fn requests_of_files_on_threads(bencher: Bencher<'_, '_>, threads: usize) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let files: Vec<Utf8PathBuf> =
        (0..4).filter_map(|file| Utf8PathBuf::from_path_buf(folder.path().join(format!("{file}.jsonl"))).ok()).collect();
    let mut bytes = 0;
    for (index, file) in files.iter().enumerate() {
        let text = lines(index * LINES..(index + 1) * LINES);
        bytes += text.len();
        assert!(fs::write(file, text).is_ok());
    }
    let count = || {
        let count = AtomicUsize::new(0);
        let read = stream_files(&files, threads, Mapping::built_in(), &|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        read.map(|_| count.into_inner()).unwrap_or_default()
    };
    assert_eq!(count(), 4 * LINES * REQUESTS);
    bencher.counter(BytesCount::new(bytes)).bench(count);
}

/// The file that `RELAPSE_BENCH_OTLP` names.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn requests_of_a_file_of_yours(bencher: Bencher<'_, '_>) {
    let Ok(path) = std::env::var("RELAPSE_BENCH_OTLP") else { return };
    let Ok(metadata) = fs::metadata(&path) else { return };
    bencher.counter(BytesCount::new(metadata.len())).bench(|| File::open(&path).map(count_requests));
}

/// The same as `relapse trace` does it: a second thread makes requests of what the first has read.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn requests_of_a_file_of_yours_beside_the_reader(bencher: Bencher<'_, '_>) {
    let Ok(path) = std::env::var("RELAPSE_BENCH_OTLP") else { return };
    let Ok(metadata) = fs::metadata(&path) else { return };
    let files = [Utf8PathBuf::from(path)];
    bencher.counter(BytesCount::new(metadata.len())).bench(|| {
        let mut count = 0;
        let read = stream_in_order(&files, Mapping::built_in(), &mut |request| count += usize::from(!request.fields.is_empty()));
        read.map(|_| count)
    });
}
