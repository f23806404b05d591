//! OTLP over gRPC: one unary `Export`, a message behind five bytes, and a status in the trailers.

use super::http::read;
use super::inbox::Inbox;
use super::{Body, Refusal, Signal, has_token, status};
use crate::otlp::{Compression, Encoding};
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response, Version};
use std::sync::Arc;

/// Whether a request speaks gRPC, rightly or wrongly.
pub(super) fn is_grpc(request: &Request<Incoming>) -> bool {
    request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Answers one call.
pub(super) async fn answer(request: Request<Incoming>, inbox: &Arc<Inbox>, token: &str) -> Response<Body> {
    match take(request, inbox, token).await {
        Ok(message) => respond(Some(message), None),
        Err(refusal) => respond(None, Some(&refusal)),
    }
}

async fn take(request: Request<Incoming>, inbox: &Arc<Inbox>, token: &str) -> Result<Bytes, Refusal> {
    let refuse = |refusal: Refusal| {
        inbox.refuse(refusal.clone());
        refusal
    };
    let (head, body) = request.into_parts();
    if head.version != Version::HTTP_2 {
        return Err(refuse(Refusal::ContentType("gRPC over HTTP/1".into())));
    }
    let signal = signal(head.uri.path()).ok_or_else(|| refuse(Refusal::Path(head.uri.path().to_owned())))?;
    if !has_token(&head.headers, token) {
        return Err(refuse(Refusal::Token(head.uri.path().to_owned())));
    }
    let declared = head.headers.get("grpc-encoding").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let declared = Compression::parse(declared).ok_or_else(|| refuse(Refusal::Compression(declared.to_owned())))?;
    let body = read(body).await.map_err(refuse)?;
    let (compressed, message) = message(body).ok_or_else(|| refuse(Refusal::Broken("not one whole gRPC message".into())))?;
    let compression = if compressed { declared } else { Compression::Identity };
    let reading = inbox.deliver(signal, message, Encoding::Protobuf, compression).await?;
    Ok(status::taken(&reading, Encoding::Protobuf))
}

/// The signal of `/opentelemetry.proto.collector.trace.v1.TraceService/Export` and its siblings.
fn signal(path: &str) -> Option<Signal> {
    match path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Some(Signal::Traces),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Some(Signal::Logs),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Some(Signal::Metrics),
        _ => None,
    }
}

/// The only message of a body: whether it is compressed, and its bytes.
fn message(body: Bytes) -> Option<(bool, Bytes)> {
    let (flag, length) = (*body.first()?, body.get(1..5)?);
    let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
    let message = body.slice(5..);
    (flag <= 1 && message.len() == length).then_some((flag == 1, message))
}

/// A message with its status behind it, or a status alone, which then stands in the headers.
fn respond(message: Option<Bytes>, refusal: Option<&Refusal>) -> Response<Body> {
    let mut response = match (message, status(refusal)) {
        (Some(message), status) => Response::new(Full::new(framed(&message)).with_trailers(std::future::ready(Some(Ok(status)))).boxed()),
        (None, status) => {
            let mut response = Response::new(Full::default().boxed());
            *response.headers_mut() = status;
            response
        }
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// A message behind its flag and its length.
fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put(message);
    framed.freeze()
}

fn status(refusal: Option<&Refusal>) -> HeaderMap {
    let mut status = HeaderMap::new();
    let code = refusal.map_or(0, |refusal| refusal.code() as u16);
    status.insert("grpc-status", HeaderValue::from(code));
    let message = refusal.map(|refusal| HeaderValue::from_str(&percent(&refusal.to_string())));
    if let Some(Ok(message)) = message {
        status.insert("grpc-message", message);
    }
    status
}

/// A message as a trailer may hold it: what is not visible ASCII is percent-encoded.
fn percent(text: &str) -> String {
    let encode = |byte: u8| if matches!(byte, b' '..=b'~') && byte != b'%' { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_whole_message_is_read() {
        assert_eq!(message(Bytes::from_static(b"\0\0\0\0\x02hi")), Some((false, Bytes::from_static(b"hi"))));
        assert_eq!(message(Bytes::from_static(b"\x01\0\0\0\x02hi")), Some((true, Bytes::from_static(b"hi"))));
        for broken in [&b""[..], b"\0\0\0", b"\0\0\0\0\x03hi", b"\0\0\0\0\x01hi", b"\x02\0\0\0\x02hi"] {
            assert_eq!(message(Bytes::copy_from_slice(broken)), None);
        }
    }

    #[test]
    fn a_message_in_a_trailer_is_visible_ascii() {
        assert_eq!(percent("50% \u{e9}\n"), "50%25 %C3%A9%0A");
    }
}
