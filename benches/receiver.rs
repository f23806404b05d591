//! How many spans a second the receiver takes over one connection, in batches as SDKs send them.

use bytes::Bytes;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use relapse::receiver::Receiver;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

/// Spans of one batch, the default of SDKs.
const SPANS: usize = 512;

/// A field of a protobuf message that holds bytes.
fn field(tag: u8, held: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag << 3 | 2];
    let mut length = held.len();
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(held);
    bytes
}

/// A model call with ten attributes.
fn span(number: usize) -> Vec<u8> {
    let id = (number as u64 + 1).to_be_bytes();
    let attribute =
        |index: usize| field(9, &[field(1, format!("gen_ai.request.key{index}").as_bytes()), field(2, &field(1, b"gpt-4o-mini"))].concat());
    let attributes: Vec<u8> = (0..10).flat_map(attribute).collect();
    [field(1, &[id, id].concat()), field(2, &id), field(5, b"chat gpt-4o-mini"), attributes].concat()
}

fn protobuf() -> Bytes {
    let spans: Vec<u8> = (0..SPANS).flat_map(|number| field(2, &span(number))).collect();
    Bytes::from(field(1, &field(2, &spans)))
}

fn json() -> Bytes {
    let attribute = |index: usize| format!(r#"{{"key":"gen_ai.request.key{index}","value":{{"stringValue":"gpt-4o-mini"}}}}"#);
    let attributes: Vec<String> = (0..10).map(attribute).collect();
    let span = |number: usize| {
        let id = number + 1;
        format!(r#"{{"traceId":"{id:032x}","spanId":"{id:016x}","name":"chat gpt-4o-mini","attributes":[{}]}}"#, attributes.join(","))
    };
    let spans: Vec<String> = (0..SPANS).map(span).collect();
    Bytes::from(format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#, spans.join(",")))
}

async fn connect(receiver: &Receiver) -> (SendRequest<Full<Bytes>>, String) {
    let endpoint = receiver.environment().into_iter().find(|(name, _)| *name == "OTEL_EXPORTER_OTLP_ENDPOINT").expect("it is set").1;
    let (host, token) = endpoint.trim_start_matches("http://").split_once('/').expect("a token");
    let stream = TcpStream::connect(host).await.expect("it listens");
    let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    (sender, format!("/{token}/v1/traces"))
}

fn export(bencher: Bencher<'_, '_>, kind: &str, body: &Bytes) {
    let runtime = Runtime::new().expect("threads");
    let receiver = runtime.block_on(Receiver::open()).expect("a free port");
    let (mut sender, path) = runtime.block_on(connect(&receiver));
    bencher.counter(ItemsCount::new(SPANS)).bench_local(|| {
        runtime.block_on(async {
            let request =
                Request::post(&path).header("host", "x").header("content-type", kind).body(Full::new(body.clone())).expect("a request");
            let response = sender.send_request(request).await.expect("a response");
            assert_eq!(response.status(), 200);
            response.into_body().collect().await.expect("a body");
        });
        black_box(receiver.take());
    });
}

#[divan::bench]
fn protobuf_batches(bencher: Bencher<'_, '_>) {
    export(bencher, "application/x-protobuf", &protobuf());
}

#[divan::bench]
fn json_batches(bencher: Bencher<'_, '_>) {
    export(bencher, "application/json", &json());
}
