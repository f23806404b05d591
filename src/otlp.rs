//! OTLP: spans and log records as they were exported.
//!
//! Reads JSON (one document, a list of them, or one a line) and protobuf (one message, or the Collector's messages
//! behind their lengths), plain or compressed by gzip or zstd. Everything is told by content, never by a file's name.
//! What real systems write wrongly is read all the same and reported as a [`Diagnostic`]: one bad attribute costs that
//! attribute, one bad span that span, one bad line that line.

mod body;
mod context;
mod diagnostic;
mod id;
mod json;
mod lines;
mod log;
mod protobuf;
mod reader;
mod scalar;
mod source;
mod span;
mod value;
mod write;

use crate::fault::Fault;
use crate::limit;
pub use body::{BodyError, Compression, Encoding, read_body};
pub use diagnostic::{Diagnostic, Severity};
pub use log::LogRecord;
pub use reader::Reading;
pub use span::{Event, Link, Scope, Span, Status};
use std::io::Read;
pub use value::{AnyValue, Attributes, get};
pub use write::to_lines;

/// What one line, document or message held.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// Spans in the order of export.
    pub spans: Vec<Span>,
    /// Log records in the order of export.
    pub logs: Vec<LogRecord>,
    /// Bytes of the line, document or message.
    pub bytes: usize,
    /// The line on which it begins, or the number of the message, from 1; 0 when the file is one protobuf message.
    pub line: usize,
}

/// What one file held.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Telemetry {
    /// Spans in the order of export.
    pub spans: Vec<Span>,
    /// Log records in the order of export.
    pub logs: Vec<LogRecord>,
    /// How much was read, and what was odd.
    pub reading: Reading,
}

/// Reads a stream batch by batch; memory is bounded by the longest line or message.
///
/// The order of batches is the file's. A trace may be spread over several batches, a child may come before its parent,
/// and the same span may come twice.
///
/// # Errors
///
/// When reading fails, when a line is beyond [`limit::LINE_BYTES`], or when a compressed stream expands to more than
/// [`limit::EXPANDED_BYTES`], or when one batch has more than [`limit::TRACE_SPANS`] spans.
/// Batches up to there have gone to the sink. A JSON document over several lines and a single protobuf message are held
/// in memory and may not exceed [`limit::TRACE_BYTES`].
pub fn read(reader: impl Read, sink: &mut impl FnMut(Batch)) -> Result<Reading, Fault> {
    reader::read(reader, reader::Caps { bytes: u64::MAX, expanded: limit::EXPANDED_BYTES, spans: usize::MAX, whole: false }, sink)
}

/// The text of a file, decompressed; invalid bytes are read as U+FFFD.
///
/// # Errors
///
/// When a compressed stream is broken, or when the file is beyond `cap` bytes.
pub fn text(reader: impl Read, cap: u64) -> Result<String, Fault> {
    reader::text(reader, cap).map_err(|error| source::fault(&error))
}

/// How many bytes a stream holds, decompressed; one more than `cap` where there are more, and what can be read of a broken one.
pub fn content_up_to(reader: impl Read, cap: u64) -> u64 {
    reader::content_up_to(reader, cap)
}

/// Whether a stream begins with log records rather than with spans; JSON only, as protobuf does not say so early.
pub fn begins_with_logs(reader: impl Read) -> bool {
    reader::begins_with_logs(reader).unwrap_or(false)
}

/// JSON that a strict parser refuses whole, repaired: lone surrogates, bare control characters, `NaN`; nothing when there is
/// nothing to repair.
pub fn repaired(text: &str) -> Option<String> {
    json::repaired(text)
}

/// Reads a whole file into memory.
///
/// # Errors
///
/// When reading fails, or when the file is beyond [`limit::TRACE_BYTES`] or [`limit::TRACE_SPANS`].
pub fn read_all(reader: impl Read) -> Result<Telemetry, Fault> {
    let (mut spans, mut logs) = (Vec::new(), Vec::new());
    let caps = reader::Caps { bytes: limit::TRACE_BYTES, expanded: limit::TRACE_BYTES, spans: limit::TRACE_SPANS, whole: true };
    let reading = reader::read(reader, caps, &mut |batch: Batch| {
        spans.extend(batch.spans);
        logs.extend(batch.logs);
    })?;
    Ok(Telemetry { spans, logs, reading })
}
