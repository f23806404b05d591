//! An exchange as another recorder kept it: a URL, headers and bodies in bytes, perhaps still compressed.

use super::{End, Exchange, Payload, Request, Response, sse};
use crate::limit;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;

/// What other recorders keep of one exchange.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) request_headers: BTreeMap<String, String>,
    pub(super) request_body: Vec<u8>,
    /// None when nothing was answered.
    pub(super) status: Option<u16>,
    pub(super) response_headers: BTreeMap<String, String>,
    pub(super) response_body: Vec<u8>,
    pub(super) at: Option<String>,
    pub(super) ms: Option<f64>,
}

impl Kept {
    pub(super) fn into_exchange(self, seq: u64) -> Exchange {
        let (host, path) = split_url(&self.url);
        let mut headers = self.request_headers;
        if let Some(host) = host {
            headers.entry("host".to_string()).or_insert_with(|| host.to_string());
        }
        let body = match payload(self.request_body, &headers) {
            Payload::Json(json) => json,
            Payload::Text(text) => Value::from(text),
            Payload::Empty | Payload::Bytes(_) | Payload::Events(_) => Value::Null,
        };
        let request = Request { method: self.method, path: path.to_string(), headers, body };
        let response = self.status.map(|status| Response {
            status,
            payload: payload(self.response_body, &self.response_headers),
            headers: self.response_headers,
            cuts: Vec::new(),
            end: End::Complete,
        });
        Exchange { seq, ms: self.ms, at: self.at, upstream: None, trial: None, request, response }
    }
}

/// Host and path of a URL; what has no host is a path.
fn split_url(url: &str) -> (Option<&str>, &str) {
    let Some((_, rest)) = url.split_once("://") else { return (None, url) };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    (Some(host), if path.is_empty() { "/" } else { path })
}

/// A body by what it holds: decompressed, then events, JSON, other text, or bytes.
fn payload(bytes: Vec<u8>, headers: &BTreeMap<String, String>) -> Payload {
    let bytes = decompressed(bytes, headers);
    let is = |kind: &str| headers.get("content-type").is_some_and(|found| found.starts_with(kind));
    match String::from_utf8(bytes) {
        Ok(text) if text.is_empty() => {
            if is("text/event-stream") {
                Payload::Events(Vec::new())
            } else {
                Payload::Empty
            }
        }
        Ok(text) if is("text/event-stream") || ["data:", "event:"].iter().any(|start| text.starts_with(start)) => {
            Payload::Events(sse::split(&text))
        }
        Ok(text) => super::line::json(&text).map_or(Payload::Text(text), Payload::Json),
        Err(error) => Payload::Bytes(error.into_bytes()),
    }
}

/// Told by the first bytes: recorders often keep the header of a body that they have decoded.
fn decompressed(bytes: Vec<u8>, headers: &BTreeMap<String, String>) -> Vec<u8> {
    let encoding = headers.get("content-encoding").map_or("", String::as_str);
    let expanded = match bytes.get(..4) {
        Some([0x1f, 0x8b, ..]) => expand(MultiGzDecoder::new(bytes.as_slice())),
        Some([0x28, 0xb5, 0x2f, 0xfd]) => ruzstd::decoding::StreamingDecoder::new(bytes.as_slice()).ok().and_then(expand),
        Some(_) if encoding == "deflate" => {
            expand(ZlibDecoder::new(bytes.as_slice())).or_else(|| expand(DeflateDecoder::new(bytes.as_slice())))
        }
        _ => None,
    };
    expanded.unwrap_or(bytes)
}

/// What a compressed body holds, if it is whole and no larger than a wire file may be.
fn expand(reader: impl Read) -> Option<Vec<u8>> {
    let mut expanded = Vec::new();
    reader.take(limit::TRACE_BYTES + 1).read_to_end(&mut expanded).ok()?;
    (expanded.len() as u64 <= limit::TRACE_BYTES).then_some(expanded)
}
