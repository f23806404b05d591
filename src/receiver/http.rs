//! OTLP over HTTP: one export is one POST to `<path>/v1/traces`, `/v1/logs` or `/v1/metrics`.

use super::inbox::Inbox;
use super::{Body, Refusal, Signal, has_token, status};
use crate::limit;
use crate::otlp::{Compression, Encoding, Reading};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use hyper::{Request, Response, StatusCode};
use std::sync::Arc;

/// Answers one request.
pub(super) async fn answer(request: Request<Incoming>, inbox: &Arc<Inbox>, token: &str) -> Response<Body> {
    let encoding = encoding(request.headers());
    let shown = encoding.unwrap_or(Encoding::Json);
    match take(request, encoding, inbox, token).await {
        Ok(reading) => respond(StatusCode::OK, shown, status::taken(&reading, shown)),
        Err(refusal) => respond(refusal.status(), shown, refusal.body(shown)),
    }
}

async fn take(request: Request<Incoming>, encoding: Option<Encoding>, inbox: &Arc<Inbox>, token: &str) -> Result<Reading, Refusal> {
    let refuse = |refusal: Refusal| {
        inbox.refuse(refusal.clone());
        refusal
    };
    let (head, body) = request.into_parts();
    let signal = signal(head.uri.path(), token, &head.headers).map_err(refuse)?;
    let encoding = encoding.ok_or_else(|| refuse(Refusal::ContentType(text(&head.headers, &CONTENT_TYPE))))?;
    let compression = text(&head.headers, &CONTENT_ENCODING);
    let compression = Compression::parse(&compression).ok_or_else(|| refuse(Refusal::Compression(compression)))?;
    let body = read(body).await.map_err(refuse)?;
    inbox.deliver(signal, body, encoding, compression).await
}

/// The signal of a path that holds the token, or whose headers do.
fn signal(path: &str, token: &str, headers: &HeaderMap) -> Result<Signal, Refusal> {
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let in_path = parts.first() == Some(&token);
    if in_path {
        parts.remove(0);
    }
    // The token itself is never repeated.
    let shown = || format!("/{}", parts.join("/"));
    match parts.as_slice() {
        ["v1", name] if in_path || has_token(headers, token) => Signal::parse(name).ok_or_else(|| Refusal::Path(shown())),
        ["v1", name] if Signal::parse(name).is_some() => Err(Refusal::Token(shown())),
        _ => Err(Refusal::Path(shown())),
    }
}

fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let kind = text(headers, &CONTENT_TYPE).to_ascii_lowercase();
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/x-protobuf" | "application/protobuf" => Some(Encoding::Protobuf),
        "application/json" => Some(Encoding::Json),
        _ => None,
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

/// The body as it was sent, up to the cap; what was cut off by the sender is broken.
pub(super) async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    let cap = usize::try_from(limit::EXPORT_BYTES).unwrap_or(usize::MAX);
    match Limited::new(body, cap).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Err(error) => Err(Refusal::Broken(error.to_string())),
    }
}

fn respond(status: StatusCode, encoding: Encoding, body: Bytes) -> Response<Body> {
    let kind = match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    let mut response = Response::new(Full::new(body).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_in_the_path_or_in_a_header() {
        let (none, mut some) = (HeaderMap::new(), HeaderMap::new());
        some.insert(super::super::TOKEN_HEADER, "secret".parse().unwrap());
        assert_eq!(signal("/secret/v1/traces", "secret", &none), Ok(Signal::Traces));
        assert_eq!(signal("//secret//v1/logs/", "secret", &none), Ok(Signal::Logs));
        assert_eq!(signal("/v1/metrics", "secret", &some), Ok(Signal::Metrics));
        assert_eq!(signal("/v1/traces", "secret", &none), Err(Refusal::Token("/v1/traces".into())));
        assert_eq!(signal("/wrong/v1/traces", "secret", &some), Err(Refusal::Path("/wrong/v1/traces".into())));
        assert_eq!(signal("/secret/api/traces", "secret", &none), Err(Refusal::Path("/api/traces".into())));
    }
}
