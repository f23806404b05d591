//! The body of one export request: unpacked and decoded under one cap, as an exporter declared it.

use super::reader::{self, Caps, Reading};
use super::source::{Capped, Frames};
use super::{Batch, Severity};
use crate::limit;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use std::io::{self, Read};

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Protobuf.
    Protobuf,
    /// JSON.
    Json,
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Identity,
    /// gzip.
    Gzip,
    /// zlib, which HTTP calls deflate.
    Deflate,
    /// zstd.
    Zstd,
}

impl Compression {
    /// The compression that a header names; none for an unknown one.
    pub fn parse(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Why a body was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyError {
    /// It has more than [`limit::EXPORT_BYTES`] bytes once it is unpacked, or more spans or values than may be held.
    TooLarge,
    /// It is not what it says it is; the decoder's words.
    Broken(String),
}

/// Unpacks and decodes a body.
///
/// # Errors
/// A body beyond its cap, or one that is not what it says it is. What was complete before it broke is not kept: an
/// exporter that is told so sends all of it again.
pub fn read_body(bytes: &[u8], encoding: Encoding, compression: Compression) -> Result<(Batch, Reading), BodyError> {
    let unpacked = unpack(bytes, compression).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => BodyError::TooLarge,
        _ => BodyError::Broken(error.to_string()),
    })?;
    let caps = Caps { bytes: limit::EXPORT_BYTES, expanded: limit::EXPORT_BYTES, spans: limit::TRACE_SPANS, whole: true };
    let (batch, reading) = reader::read_body(unpacked, encoding, caps)?;
    // An empty request is no mistake: some exporters send one to see whether anybody is there.
    let nothing = batch.spans.is_empty() && batch.logs.is_empty() && !bytes.is_empty();
    match reading.diagnostics.first().filter(|diagnostic| nothing && diagnostic.severity == Severity::Error) {
        Some(diagnostic) => Err(BodyError::Broken(diagnostic.to_string())),
        None => Ok((batch, reading)),
    }
}

fn unpack(bytes: &[u8], compression: Compression) -> io::Result<Vec<u8>> {
    match compression {
        Compression::Identity => whole(bytes),
        Compression::Gzip => whole(MultiGzDecoder::new(bytes)),
        Compression::Deflate => whole(ZlibDecoder::new(bytes)),
        Compression::Zstd => whole(Frames::new(bytes)?),
    }
}

fn whole(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    Capped::new(reader, limit::EXPORT_BYTES).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use std::io::Write as _;

    const SPAN: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0123456789abcdef0123456789abcdef","spanId":"0123456789abcdef","name":"chat"}]}]}]}"#;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_compression_is_unpacked() {
        let zstd = ruzstd::encoding::compress_to_vec(SPAN.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest);
        let bodies = [
            (SPAN.as_bytes().to_vec(), Compression::Identity),
            (gzip(SPAN.as_bytes()), Compression::Gzip),
            (deflate(SPAN.as_bytes()), Compression::Deflate),
            (zstd, Compression::Zstd),
        ];
        for (body, compression) in bodies {
            let (batch, _) = read_body(&body, Encoding::Json, compression).unwrap();
            assert_eq!(batch.spans[0].name, "chat", "{compression:?}");
        }
    }

    #[test]
    fn a_body_is_read_up_to_its_cap_and_not_a_byte_further() {
        let padded = |length: u64| {
            let mut body = SPAN.as_bytes().to_vec();
            body.resize(usize::try_from(length).unwrap(), b' ');
            gzip(&body)
        };
        assert!(read_body(&padded(limit::EXPORT_BYTES), Encoding::Json, Compression::Gzip).is_ok());
        assert_eq!(read_body(&padded(limit::EXPORT_BYTES + 1), Encoding::Json, Compression::Gzip), Err(BodyError::TooLarge));
    }

    #[test]
    fn what_a_body_says_it_is_counts() {
        assert!(matches!(read_body(SPAN.as_bytes(), Encoding::Protobuf, Compression::Identity), Err(BodyError::Broken(_))));
        assert!(matches!(read_body(SPAN.as_bytes(), Encoding::Json, Compression::Gzip), Err(BodyError::Broken(_))));
        assert!(matches!(read_body(br#"{"spans": []}"#, Encoding::Json, Compression::Identity), Err(BodyError::Broken(_))));
        assert!(read_body(b"", Encoding::Protobuf, Compression::Identity).unwrap().0.spans.is_empty());
    }
}
