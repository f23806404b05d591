//! The OTLP receiver, spoken to as exporters speak: over HTTP and gRPC, rightly and wrongly.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Frame;
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use relapse::receiver::{Delivery, Receiver, Refusal};
use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const JSON: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0123456789abcdef0123456789abcdef","spanId":"0123456789abcdef","name":"chat","startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}"#;
const LOG: &str =
    r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"0123456789abcdef0123456789abcdef","body":{"stringValue":"hi"}}]}]}]}"#;

/// The same span in protobuf.
fn protobuf() -> Vec<u8> {
    let field = |tag: u8, held: &[u8]| [&[tag << 3 | 2, u8::try_from(held.len()).expect("short")], held].concat();
    let id: Vec<u8> = (0..8).map(|index| u8::from_str_radix(&"0123456789abcdef"[index * 2..index * 2 + 2], 16).expect("digits")).collect();
    let span = [field(1, &id.repeat(2)), field(2, &id), field(5, b"chat")].concat();
    field(1, &field(2, &field(2, &span)))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Where the receiver is: `127.0.0.1:port`, and its token.
fn place(receiver: &Receiver) -> (String, String) {
    let variables = receiver.environment();
    let endpoint = &variables.iter().find(|(name, _)| *name == "OTEL_EXPORTER_OTLP_ENDPOINT").expect("it is set").1;
    let (address, token) = endpoint.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("an address and a token");
    (address.into(), token.into())
}

/// Status and body of one request over HTTP/1.1.
async fn post(receiver: &Receiver, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> (u16, Bytes) {
    send(receiver, path, headers, Full::new(body.into())).await
}

async fn send<B>(receiver: &Receiver, path: &str, headers: &[(&str, &str)], body: B) -> (u16, Bytes)
where
    B: hyper::body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let (address, token) = place(receiver);
    let stream = TcpStream::connect(&address).await.expect("it listens");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    let mut request = Request::builder().method(Method::POST).uri(path.replace("TOKEN", &token)).header("host", &address);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(body).expect("a request")).await.expect("a response");
    (response.status().as_u16(), response.into_body().collect().await.expect("a body").to_bytes())
}

/// Headers (or trailers, where there are any) and body of one call over HTTP/2.
async fn call(receiver: &Receiver, method: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (HeaderMap, Bytes) {
    let (address, token) = place(receiver);
    let stream = TcpStream::connect(&address).await.expect("it listens");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    let uri = format!("http://{address}/opentelemetry.proto.collector.{method}/Export");
    let mut request = Request::builder().method(Method::POST).uri(uri).header("content-type", "application/grpc").header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, value.replace("TOKEN", &token));
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(body))).expect("a request")).await.expect("a response");
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    let body = response.into_body().collect().await.expect("a body");
    (body.trailers().cloned().unwrap_or(headers), body.to_bytes())
}

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    [&[flag], &u32::try_from(message.len()).expect("short").to_be_bytes()[..], message].concat()
}

fn names(delivery: &Delivery) -> Vec<&str> {
    delivery.spans.iter().map(|span| span.name.as_str()).collect()
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn exports_over_http_are_taken_in_every_encoding() {
    let receiver = Receiver::open().await.unwrap();
    let json = [("content-type", "application/json; charset=utf-8")];
    assert_eq!(post(&receiver, "/TOKEN/v1/traces", &json, JSON).await, (200, Bytes::from_static(b"{}")));
    assert_eq!(post(&receiver, "/TOKEN/v1/logs", &json, LOG).await, (200, Bytes::from_static(b"{}")));
    let binary = [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
    assert_eq!(post(&receiver, "/TOKEN/v1/traces", &binary, gzip(&protobuf())).await, (200, Bytes::new()));
    assert_eq!(post(&receiver, "/TOKEN/v1/metrics", &binary, gzip(b"anything")).await, (200, Bytes::new()));
    let delivery = receiver.take();
    assert_eq!((names(&delivery), delivery.logs.len()), (vec!["chat", "chat"], 1));
    assert!(delivery.refusals.is_empty(), "{:?}", delivery.refusals);
    assert!(receiver.take().is_empty());
}

/// A body in pieces of seven bytes, whose length is not known beforehand.
struct Pieces(&'static [u8]);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let (piece, rest) = self.0.split_at(7.min(self.0.len()));
        self.0 = rest;
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(Bytes::from_static(piece)))))
    }
}

#[tokio::test]
async fn a_body_may_come_in_pieces_of_unknown_length() {
    let receiver = Receiver::open().await.unwrap();
    let json = [("content-type", "application/json")];
    assert_eq!(send(&receiver, "/TOKEN/v1/traces", &json, Pieces(JSON.as_bytes())).await.0, 200);
    assert_eq!(names(&receiver.take()), ["chat"]);
}

#[tokio::test]
async fn exports_over_grpc_are_taken_and_answered_in_trailers() {
    let receiver = Receiver::open().await.unwrap();
    let token = [("x-relapse-token", "TOKEN")];
    let (trailers, body) = call(&receiver, "trace.v1.TraceService", &token, framed(0, &protobuf())).await;
    assert_eq!((trailers["grpc-status"].as_bytes(), &body[..]), (&b"0"[..], &[0, 0, 0, 0, 0][..]));
    let zipped = [("x-relapse-token", "TOKEN"), ("grpc-encoding", "gzip")];
    let (trailers, _) = call(&receiver, "trace.v1.TraceService", &zipped, framed(1, &gzip(&protobuf()))).await;
    assert_eq!(trailers["grpc-status"], "0");
    let delivery = receiver.take();
    assert_eq!((names(&delivery), delivery.refusals.len()), (vec!["chat", "chat"], 0));
}

#[tokio::test]
async fn a_stranger_is_refused_and_remembered() {
    let receiver = Receiver::open().await.unwrap();
    let json = [("content-type", "application/json")];
    assert_eq!(post(&receiver, "/v1/traces", &json, JSON).await.0, 404);
    assert_eq!(post(&receiver, "/wrong/v1/traces", &json, JSON).await.0, 404);
    let (headers, _) = call(&receiver, "trace.v1.TraceService", &[], framed(0, &protobuf())).await;
    assert_eq!(headers["grpc-status"], "16");
    assert!(headers["grpc-message"].to_str().unwrap().contains("without the token"));
    let delivery = receiver.take();
    assert!(delivery.is_empty());
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    for refusal in [Refusal::Token("/v1/traces".into()), Refusal::Path("/wrong/v1/traces".into()), Refusal::Token(path.into())] {
        assert_eq!(delivery.refusals.get(&refusal), Some(&1), "{refusal}: {:?}", delivery.refusals);
    }
}

#[tokio::test]
async fn the_wrong_protocol_has_a_name() {
    let receiver = Receiver::open().await.unwrap();
    let mut tls = TcpStream::connect(place(&receiver).0).await.unwrap();
    tls.write_all(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]).await.unwrap();
    drop(tls);
    let thrift = [("content-type", "application/x-thrift")];
    assert_eq!(post(&receiver, "/TOKEN/v1/traces", &thrift, JSON).await.0, 415);
    let brotli = [("content-type", "application/json"), ("content-encoding", "br")];
    assert_eq!(post(&receiver, "/TOKEN/v1/traces", &brotli, JSON).await.0, 415);
    let web = [("content-type", "application/grpc-web")];
    assert_eq!(post(&receiver, "/TOKEN/v1/traces", &web, JSON).await.0, 200);
    let json = [("content-type", "application/json")];
    assert_eq!(post(&receiver, "/TOKEN/v1/traces", &json, "{\"resourceSpans\": [").await.0, 400);
    receiver.drain(Duration::from_millis(50), LONG).await;
    let delivery = receiver.take();
    assert!(delivery.is_empty());
    let words: Vec<String> = delivery.refusals.keys().map(ToString::to_string).collect();
    assert_eq!(words.len(), 5, "{words:?}");
    for part in ["over TLS", "application/x-thrift", "compressed with br", "gRPC over HTTP/1", "cannot be decoded"] {
        assert!(words.iter().any(|word| word.contains(part)), "{part}: {words:?}");
    }
}

#[tokio::test]
async fn an_export_beyond_the_cap_is_refused_before_it_is_held() {
    let receiver = Receiver::open().await.unwrap();
    let json = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let padded = |length: u64| {
        let mut body = JSON.as_bytes().to_vec();
        body.resize(usize::try_from(length).unwrap(), b' ');
        gzip(&body)
    };
    assert_eq!(post(&receiver, "/TOKEN/v1/traces", &json, padded(relapse::limit::EXPORT_BYTES)).await.0, 200);
    assert_eq!(post(&receiver, "/TOKEN/v1/traces", &json, padded(relapse::limit::EXPORT_BYTES + 1)).await.0, 413);
    let delivery = receiver.take();
    assert_eq!((delivery.spans.len(), delivery.refusals.get(&Refusal::TooLarge)), (1, Some(&1)));
}

#[tokio::test]
async fn what_a_dead_sender_left_in_flight_is_waited_for() {
    let receiver = Receiver::open().await.unwrap();
    let (address, token) = place(&receiver);
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST /{token}/v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{JSON}",
            JSON.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        sockets.push(stream);
    }
    receiver.drain(LONG, LONG).await;
    assert_eq!(receiver.take().spans.len(), 20);
}

#[tokio::test]
async fn what_arrived_in_one_trace_is_taken_and_the_rest_left() {
    let receiver = Receiver::open().await.unwrap();
    let json = [("content-type", "application/json")];
    post(&receiver, "/TOKEN/v1/traces", &json, JSON).await;
    let trace_id = receiver.look(|delivery| delivery.spans[0].trace_id.clone());
    assert!(receiver.take_trace(&"f".repeat(32)).is_empty());
    assert_eq!(receiver.look(|delivery| delivery.of_trace(&trace_id)), 1);
    assert_eq!((receiver.take_trace(&trace_id).spans.len(), receiver.take().spans.len()), (1, 0));
}

#[tokio::test]
async fn a_living_sender_is_waited_for_until_what_it_sent_is_whole() {
    let receiver = Receiver::open().await.unwrap();
    let (seen, begun) = (std::cell::Cell::new(false), tokio::sync::Notify::new());
    let whole = |delivery: &Delivery| {
        seen.set(true);
        begun.notify_one();
        delivery.spans.len() == 2
    };
    let sending = async {
        let json = [("content-type", "application/json")];
        begun.notified().await;
        post(&receiver, "/TOKEN/v1/traces", &json, JSON).await;
        post(&receiver, "/TOKEN/v1/traces", &json, JSON).await;
    };
    tokio::join!(receiver.quiet(Duration::from_millis(10), LONG, |delivery| delivery.spans.len(), whole), sending);
    assert!(seen.get());
    assert_eq!(receiver.take().spans.len(), 2);
}
