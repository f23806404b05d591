//! A request as it arrives: counted while it is read, unpacked, and read as JSON where it is some.

use crate::limit;
use crate::redact::keep_header;
use crate::wire::{self, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::HeaderMap;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use hyper::http::request::Parts;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;

/// Why a request is refused before it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its body is larger than the cap.
    TooLarge,
    /// Its body is packed in a way that is not known.
    Packed(String),
    /// Its body ends early, or is not what it says.
    Broken(String),
}

impl Refused {
    /// The HTTP status that says so.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::TooLarge => 413,
            Self::Packed(_) => 415,
            Self::Broken(_) => 400,
        }
    }

    /// What was found, and what is taken.
    pub(super) fn message(&self) -> String {
        match self {
            Self::TooLarge => format!("the request's body has more than {} bytes", limit::BODY_BYTES),
            Self::Packed(how) => format!("the request's content-encoding is `{how}`; gzip, deflate and zstd are understood"),
            Self::Broken(why) => format!("the request's body cannot be read: {why}"),
        }
    }
}

/// A request that has arrived.
pub(super) struct Arrival {
    /// What was asked; of its headers only those are kept that may be recorded.
    pub(super) request: Request,
    /// Every header, keys included.
    pub(super) headers: HeaderMap,
    /// The body as it came.
    pub(super) bytes: Bytes,
}

impl Arrival {
    /// Reads the body of a request to a path.
    pub(super) async fn read(head: Parts, path: String, body: Incoming) -> Result<Self, Refused> {
        let bytes = collect(&head.headers, body).await?;
        let plain = unpack(&head.headers, bytes.clone())?;
        let mut kept = BTreeMap::new();
        for (name, value) in head.headers.iter().filter(|(name, _)| keep_header(name.as_str())) {
            kept.insert(name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned());
        }
        let request = Request { method: head.method.to_string(), path, headers: kept, body: value(&plain) };
        Ok(Self { request, headers: head.headers, bytes })
    }

    /// Whether the answer has a head only.
    pub(super) fn is_bodiless(&self) -> bool {
        self.request.method == "HEAD"
    }
}

async fn collect(headers: &HeaderMap, mut body: Incoming) -> Result<Bytes, Refused> {
    let told = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let mut bytes = BytesMut::with_capacity(told.unwrap_or(0).min(limit::BODY_BYTES));
    let mut size: usize = 0;
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|error| Refused::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        size = size.saturating_add(data.len());
        if size <= limit::BODY_BYTES {
            bytes.extend_from_slice(&data);
        } else if size > 2 * limit::BODY_BYTES {
            // Most clients read an answer only after they have sent everything; one that never ends is cut off.
            break;
        }
    }
    if size > limit::BODY_BYTES { Err(Refused::TooLarge) } else { Ok(bytes.freeze()) }
}

fn unpack(headers: &HeaderMap, packed: Bytes) -> Result<Bytes, Refused> {
    let how = headers.get(CONTENT_ENCODING).map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase());
    match how.as_deref() {
        None | Some("" | "identity") => Ok(packed),
        Some("gzip" | "x-gzip") => expand(flate2::read::MultiGzDecoder::new(&packed[..])),
        Some("deflate") => expand(flate2::read::ZlibDecoder::new(&packed[..])),
        Some("zstd") => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(&packed[..]);
            expand(decoder.map_err(|error| Refused::Broken(error.to_string()))?)
        }
        Some(other) => Err(Refused::Packed(other.to_string())),
    }
}

fn expand(reader: impl Read) -> Result<Bytes, Refused> {
    let mut plain = Vec::new();
    reader.take(limit::BODY_BYTES as u64 + 1).read_to_end(&mut plain).map_err(|error| Refused::Broken(error.to_string()))?;
    if plain.len() > limit::BODY_BYTES { Err(Refused::TooLarge) } else { Ok(plain.into()) }
}

/// A body: JSON, any other text as a string, and bytes that are no text as a `data:` URL.
fn value(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return format!("data:application/octet-stream;base64,{}", STANDARD.encode(bytes)).into();
    };
    if text.trim_start().starts_with(['{', '[']) { wire::json(text).unwrap_or_else(|| text.into()) } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn packed(how: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_ENCODING, how.parse().unwrap())])
    }

    #[test]
    fn a_body_is_json_or_text_or_bytes() {
        assert_eq!(value(b" {\"a\": \"\\ud83d\"}"), json!({"a": "\u{fffd}"}));
        assert_eq!(value(b"{half"), json!("{half"));
        assert_eq!(value(b"7"), json!("7"));
        assert_eq!(value(&[0xff, 0]), json!("data:application/octet-stream;base64,/wA="));
        assert_eq!(value(b""), Value::Null);
    }

    #[test]
    fn a_bomb_is_refused_at_the_cap() {
        use std::io::Write as _;
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let zeros = vec![0_u8; 1 << 20];
        (0..=limit::BODY_BYTES >> 20).for_each(|_| packer.write_all(&zeros).unwrap());
        let bomb = packer.finish().unwrap();
        assert!(bomb.len() < 1 << 20);
        assert_eq!(unpack(&packed("gzip"), bomb.into()), Err(Refused::TooLarge));
    }

    #[test]
    fn what_is_packed_in_an_unknown_way_is_named() {
        assert_eq!(unpack(&packed("br"), Bytes::from_static(b"x")), Err(Refused::Packed("br".into())));
        assert!(matches!(unpack(&packed("gzip"), Bytes::from_static(b"not gzip")), Err(Refused::Broken(_))));
    }
}
