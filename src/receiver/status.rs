//! What an exporter is told: full success, what was left out, or why nothing was taken; in protobuf or JSON.

use super::Refusal;
use crate::otlp::{Encoding, Reading};
use bytes::Bytes;
use hyper::StatusCode;
use serde_json::json;

/// The codes of gRPC that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    InvalidArgument = 3,
    NotFound = 5,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Unauthenticated = 16,
}

impl Refusal {
    /// The code of gRPC, which a body over HTTP carries too.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Token(_) => Code::Unauthenticated,
            Self::Path(_) => Code::NotFound,
            Self::Compression(_) | Self::Tls => Code::Unimplemented,
            Self::TooLarge | Self::TooMuch => Code::ResourceExhausted,
            Self::ContentType(_) | Self::Broken(_) => Code::InvalidArgument,
        }
    }

    /// The status of HTTP; none of them is one that exporters try again.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Token(_) | Self::Path(_) => StatusCode::NOT_FOUND,
            Self::ContentType(_) | Self::Compression(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge | Self::TooMuch => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken(_) | Self::Tls => StatusCode::BAD_REQUEST,
        }
    }

    /// `google.rpc.Status`, as a failed export answers.
    pub(super) fn body(&self, encoding: Encoding) -> Bytes {
        let (code, message) = (self.code() as u8, self.to_string());
        match encoding {
            Encoding::Json => json!({"code": code, "message": message}).to_string().into(),
            Encoding::Protobuf => [field(1, Wire::Number(code.into())), field(2, Wire::Bytes(message.as_bytes()))].concat().into(),
        }
    }
}

/// The answer to an export that was taken: an empty message, or `partial_success` where records were left out.
pub(super) fn taken(reading: &Reading, encoding: Encoding) -> Bytes {
    let rejected = reading.dropped_spans as u64;
    let message = "spans without a valid trace id and span id";
    match encoding {
        Encoding::Json if rejected == 0 => Bytes::from_static(b"{}"),
        Encoding::Protobuf if rejected == 0 => Bytes::new(),
        // 64-bit numbers are texts in protobuf's JSON.
        Encoding::Json => json!({"partialSuccess": {"rejectedSpans": rejected.to_string(), "errorMessage": message}}).to_string().into(),
        Encoding::Protobuf => {
            let partial = [field(1, Wire::Number(rejected)), field(2, Wire::Bytes(message.as_bytes()))].concat();
            field(1, Wire::Bytes(&partial)).into()
        }
    }
}

/// A value on the wire of protobuf.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// One field of a message.
fn field(tag: u8, value: Wire<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    match value {
        Wire::Number(number) => {
            bytes.push(tag << 3);
            varint(number, &mut bytes);
        }
        Wire::Bytes(held) => {
            bytes.push(tag << 3 | 2);
            varint(held.len() as u64, &mut bytes);
            bytes.extend_from_slice(held);
        }
    }
    bytes
}

/// Seven bits a byte, the lowest first.
fn varint(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_success_is_an_empty_message() {
        assert_eq!(taken(&Reading::default(), Encoding::Protobuf), "");
        assert_eq!(taken(&Reading::default(), Encoding::Json), "{}");
    }

    #[test]
    fn what_was_left_out_is_counted() {
        let reading = Reading { dropped_spans: 300, ..Reading::default() };
        let bytes = taken(&reading, Encoding::Protobuf);
        assert_eq!(bytes[..5], [0x0a, 47, 0x08, 0xac, 0x02]);
        assert_eq!(bytes.len(), 2 + 47);
        assert!(taken(&reading, Encoding::Json).starts_with(br#"{"partialSuccess":{"rejectedSpans":"300""#));
    }

    #[test]
    fn a_refusal_says_why_in_the_exporters_encoding() {
        let refusal = Refusal::Path("/x".into());
        assert!(refusal.body(Encoding::Json).starts_with(br#"{"code":5,"message":"a request arrived at /x"#));
        assert_eq!(refusal.body(Encoding::Protobuf)[..3], [0x08, 5, 0x12]);
    }
}
