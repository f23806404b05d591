//! How fast OTLP is decoded; the text is made here, in the shape of the Collector's file exporter.

use divan::Bencher;
use divan::counter::BytesCount;
use relapse::otlp::read;
use serde_json::{Value, json};
use std::io::Write as _;

fn main() {
    divan::main();
}

/// Lines of one batch each.
const LINES: usize = 100;
/// Spans of one batch.
const SPANS: usize = 20;

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn messages(words: usize) -> String {
    let text = "the customer said \"twice the charge\" at the café\n".repeat(words / 8);
    json!([{"role": "user", "parts": [{"type": "text", "content": text}]}]).to_string()
}

fn span(number: usize) -> Value {
    json!({
        "traceId": format!("{number:032x}"), "spanId": format!("{number:016x}"), "parentSpanId": "00000000000000ff", "flags": 256,
        "name": "chat gpt-4.1-mini", "kind": 3, "startTimeUnixNano": "1750000000000000000", "endTimeUnixNano": "1750000001000000000",
        "attributes": [
            attribute("gen_ai.operation.name", "chat"), attribute("gen_ai.provider.name", "openai"),
            attribute("gen_ai.request.model", "gpt-4.1-mini"), attribute("gen_ai.response.model", "gpt-4.1-mini-2025-04-14"),
            json!({"key": "gen_ai.usage.input_tokens", "value": {"intValue": "512"}}),
            json!({"key": "gen_ai.request.temperature", "value": {"doubleValue": 0.2}}),
            json!({"key": "gen_ai.response.finish_reasons", "value": {"arrayValue": {"values": [{"stringValue": "stop"}]}}}),
            attribute("gen_ai.input.messages", &messages(200)), attribute("gen_ai.output.messages", &messages(60)),
        ],
        "status": {},
    })
}

fn lines() -> Vec<u8> {
    let spans: Vec<Value> = (1..=SPANS).map(span).collect();
    let resource = json!({"attributes": [attribute("service.name", "support-bot"), attribute("service.version", "1.4.2")]});
    let line = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "openai"}, "spans": spans}]}]});
    format!("{line}\n").repeat(LINES).into_bytes()
}

fn count(bytes: &[u8]) -> usize {
    read(bytes, &mut |_| {}).map(|reading| reading.spans).unwrap_or_default()
}

#[divan::bench]
fn json_lines(bencher: Bencher<'_, '_>) {
    let text = lines();
    assert_eq!(count(&text), LINES * SPANS);
    bencher.counter(BytesCount::of_slice(&text)).bench(|| count(&text));
}

#[divan::bench]
fn json_lines_in_gzip(bencher: Bencher<'_, '_>) {
    let text = lines();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let compressed = encoder.write_all(&text).and_then(|()| encoder.finish()).unwrap_or_default();
    assert_eq!(count(&compressed), LINES * SPANS);
    bencher.counter(BytesCount::of_slice(&text)).bench(|| count(&compressed));
}
