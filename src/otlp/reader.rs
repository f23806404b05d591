//! Reading one file: its framing, what is torn or broken in it, and what it looks like when it holds no telemetry.

use super::Batch;
use super::body::{BodyError, Encoding};
use super::context::Context;
use super::diagnostic::{Diagnostic, Severity};
use super::json::{self, Broken};
use super::lines::Lines;
use super::protobuf;
use super::source::{self, Capped, Format};
use crate::fault::Fault;
use crate::limit;
use prost::bytes::Bytes;
use std::io::{self, Read};

/// How much a file may hold.
pub(super) struct Caps {
    /// Bytes of a plain file.
    pub(super) bytes: u64,
    /// Bytes of a compressed one after decompression.
    pub(super) expanded: u64,
    /// Spans, and as many log records.
    pub(super) spans: usize,
    /// Whether values are counted over the whole file, because all of it is kept.
    pub(super) whole: bool,
}

/// What was read of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Spans that went to the sink.
    pub spans: usize,
    /// Log records that went to the sink.
    pub logs: usize,
    /// Metrics, which are counted and skipped.
    pub metrics: usize,
    /// Spans without a valid trace id and span id, which are dropped.
    pub dropped_spans: usize,
    /// Whether anything in it had the shape of OTLP.
    pub is_otlp: bool,
    /// What was odd, the first 100 of them, in the order of the file (a verdict on the whole file comes first).
    pub diagnostics: Vec<Diagnostic>,
    /// How many more diagnostics there were.
    pub more_diagnostics: usize,
}

/// Reads a stream of any format up to its caps.
pub(super) fn read(reader: impl Read, caps: Caps, sink: &mut dyn FnMut(Batch)) -> Result<Reading, Fault> {
    let mut run = Run { context: Context::default(), caps, sink, reading: Reading::default(), otlp: false, line: 0 };
    match run.run(Box::new(reader)) {
        Ok(()) => run.finish(),
        Err(Stop::Unreadable(error)) if source::is_broken_stream(&error) => {
            run.broken_stream(&error);
            run.finish()
        }
        Err(Stop::Unreadable(error)) => Err(source::fault(&error)),
        Err(Stop::TooMuch) => Err(Fault::new(format!(
            "expected at most {} spans, as many log records, and {} attributes and other values, found more",
            limit::TRACE_SPANS,
            limit::TRACE_VALUES
        ))
        .help("split the file, or keep only the traces of the incident")),
    }
}

/// Decodes one body whose encoding is known.
pub(super) fn read_body(bytes: Vec<u8>, encoding: Encoding, caps: Caps) -> Result<(Batch, Reading), BodyError> {
    let mut kept = Batch::default();
    let mut sink = |batch: Batch| kept = batch;
    let mut run = Run { context: Context::default(), caps, sink: &mut sink, reading: Reading::default(), otlp: false, line: 0 };
    let decoded = match encoding {
        Encoding::Json => run.decode(&bytes).map_err(|broken| broken.message),
        Encoding::Protobuf => {
            run.otlp = true;
            protobuf::decode(&mut run.context, Bytes::from(bytes)).map_err(|error| error.to_string())
        }
    };
    decoded.map_err(BodyError::Broken)?;
    run.flush().map_err(|_| BodyError::TooLarge)?;
    let reading = run.finish().map_err(|fault| BodyError::Broken(fault.message))?;
    Ok((kept, reading))
}

/// Why reading stopped before the end.
enum Stop {
    Unreadable(io::Error),
    TooMuch,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

struct Run<'s> {
    context: Context,
    caps: Caps,
    sink: &'s mut dyn FnMut(Batch),
    reading: Reading,
    /// Whether anything looked like OTLP.
    otlp: bool,
    /// The number of the line or message at hand.
    line: usize,
}

impl Run<'_> {
    fn run(&mut self, reader: Box<dyn Read + '_>) -> Result<(), Stop> {
        let source = source::open(reader, self.caps.expanded)?;
        let reader = Capped::new(source.reader, self.caps.bytes);
        match source.format {
            Format::Json => self.json(reader),
            Format::Protobuf => self.message(reader),
            Format::Framed => self.frames(reader),
            Format::Empty => self.verdict("the file is empty"),
            Format::Utf16 => self.verdict("the file is UTF-16 text; save it as UTF-8"),
            Format::Gzip | Format::Zstd => self.verdict("the file is compressed more than twice"),
            Format::Unknown => self.verdict("not OTLP: neither JSON nor protobuf, plain or compressed by gzip or zstd"),
        }
    }

    fn verdict(&mut self, message: &str) -> Result<(), Stop> {
        self.context.ledger.add_first(Severity::Error, message.to_owned());
        // Nothing more need be said about what the file looks like.
        self.otlp = true;
        Ok(())
    }

    fn json(&mut self, reader: impl Read) -> Result<(), Stop> {
        let mut lines = Lines::new(reader);
        let mut first = true;
        while let Some(line) = lines.next()? {
            self.line += 1;
            let bytes = line.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line.bytes).trim_ascii();
            if bytes.is_empty() {
                continue;
            }
            let (broken, ended) = (self.decode(bytes), line.ended);
            let Err(broken) = broken else {
                self.flush()?;
                first = false;
                continue;
            };
            if std::mem::take(&mut first) && broken.torn && ended {
                let held = bytes.to_vec();
                self.several_lines(held, &mut lines)?;
                continue;
            }
            self.broken_text(&broken, !ended)?;
        }
        if let Some(error) = lines.broken {
            self.broken_stream(&error);
        }
        Ok(())
    }

    /// Decodes one text into the context's batch.
    fn decode(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.context.batch.line = self.line;
        self.context.batch.bytes = bytes.len();
        let result = json::decode(&mut self.context, bytes);
        self.otlp |= self.context.shape.otlp;
        result
    }

    /// The first line broke off: either it is torn, or the document goes on over several lines.
    fn several_lines(&mut self, mut text: Vec<u8>, lines: &mut Lines<impl Read>) -> Result<(), Stop> {
        let begin = self.line;
        self.forget();
        if let Some(second) = lines.next()? {
            text.push(b'\n');
            text.extend_from_slice(second.bytes);
            if second.ended {
                text.push(b'\n');
            }
            if self.is_document(second.bytes) {
                return self.each_line(&text, begin);
            }
        }
        text.extend_from_slice(lines.rest()?);
        if text.len() as u64 > limit::TRACE_BYTES {
            return Err(source::too_large(limit::TRACE_BYTES).into());
        }
        self.line = begin;
        match self.decode(&text) {
            Ok(()) => self.flush(),
            Err(_) if self.holds_documents(&text) => self.each_line(&text, begin),
            Err(broken) => {
                self.forget();
                let _ = self.decode(&text);
                self.broken_text(&broken, true)
            }
        }
    }

    fn holds_documents(&mut self, text: &[u8]) -> bool {
        self.forget();
        text.split(|byte| *byte == b'\n').any(|line| self.is_document(line))
    }

    /// Whether a line is a whole OTLP document; leaves nothing behind.
    fn is_document(&mut self, line: &[u8]) -> bool {
        let line = line.trim_ascii();
        if !line.starts_with(b"{") || !line.ends_with(b"}") {
            return false;
        }
        self.context.shape.otlp = false;
        let whole = self.decode(line).is_ok() && self.context.shape.otlp;
        self.forget();
        whole
    }

    /// Decodes the lines of a text that begins on a line.
    fn each_line(&mut self, text: &[u8], begin: usize) -> Result<(), Stop> {
        self.forget();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            self.line = begin + index;
            if line.is_empty() {
                continue;
            }
            match self.decode(line) {
                Ok(()) => self.flush()?,
                Err(broken) => self.broken_text(&broken, false)?,
            }
        }
        Ok(())
    }

    /// Forgets an attempt on the first document; nothing lies before it.
    fn forget(&mut self) {
        self.context = Context::default();
    }

    /// Reports a text that is not JSON, and keeps the records that were complete before it broke.
    fn broken_text(&mut self, broken: &Broken, last: bool) -> Result<(), Stop> {
        let (spans, logs) = self.context.position();
        let line = self.line + broken.line.saturating_sub(1);
        let (severity, what) = match broken.torn {
            true if last => (Severity::Warning, "the last line is cut off".to_owned()),
            true => (Severity::Error, "the line is cut off".to_owned()),
            false => (Severity::Error, format!("not JSON: {}", broken.message)),
        };
        let kept = if spans + logs > 0 { format!("; {} complete records before that were kept", spans + logs) } else { String::new() };
        self.context.ledger.add(severity, line, format_args!("{what}{kept}"));
        self.flush()
    }

    fn broken_stream(&mut self, error: &io::Error) {
        self.context.ledger.add(Severity::Warning, 0, format_args!("the compressed stream is cut off or broken: {error}"));
    }

    /// A file that is one protobuf message.
    fn message(&mut self, mut reader: impl Read) -> Result<(), Stop> {
        let mut bytes = Vec::new();
        read_up_to(&mut reader, limit::TRACE_BYTES, &mut bytes)?;
        self.decode_protobuf(bytes)
    }

    fn decode_protobuf(&mut self, bytes: Vec<u8>) -> Result<(), Stop> {
        self.context.batch.line = self.line;
        self.context.batch.bytes = bytes.len();
        if let Err(error) = protobuf::decode(&mut self.context, Bytes::from(bytes)) {
            self.context.error(format_args!("not OTLP protobuf: {error}"));
        }
        // Either it was, or that has been said.
        self.otlp = true;
        self.flush()
    }

    /// A file of messages behind their lengths.
    fn frames(&mut self, mut reader: impl Read) -> Result<(), Stop> {
        let mut length = Vec::with_capacity(4);
        loop {
            length.clear();
            reader.by_ref().take(4).read_to_end(&mut length)?;
            if length.is_empty() {
                return Ok(());
            }
            self.line += 1;
            self.context.batch.line = self.line;
            let Ok(length) = <[u8; 4]>::try_from(length.as_slice()) else { return self.torn_frame() };
            let length = u32::from_be_bytes(length) as usize;
            if length > limit::LINE_BYTES {
                self.context.error(format_args!("expected the length of a message of at most {} bytes, found {length}", limit::LINE_BYTES));
                return Ok(());
            }
            let mut message = Vec::new();
            if reader.by_ref().take(length as u64).read_to_end(&mut message)? < length {
                return self.torn_frame();
            }
            self.frame(message)?;
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it ends a loop that returns results")]
    fn torn_frame(&mut self) -> Result<(), Stop> {
        self.context.warn(format_args!("the last message is cut off"));
        Ok(())
    }

    /// One message behind its length: JSON or protobuf, possibly compressed on its own.
    fn frame(&mut self, message: Vec<u8>) -> Result<(), Stop> {
        let mut bytes = Vec::new();
        let format = match unpack(&message, &mut bytes) {
            Ok(format) => format,
            Err(error) if source::is_broken_stream(&error) => {
                self.context.error(format_args!("the compressed message is broken: {error}"));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        match format {
            Format::Empty => Ok(()),
            Format::Json => match self.decode(&bytes) {
                Ok(()) => self.flush(),
                Err(broken) => self.broken_text(&Broken { line: 1, ..broken }, false),
            },
            _ => self.decode_protobuf(bytes),
        }
    }

    /// Hands the batch at hand to the sink.
    fn flush(&mut self) -> Result<(), Stop> {
        let batch = self.context.take_batch();
        if !self.caps.whole {
            self.context.values = 0;
        }
        self.reading.spans += batch.spans.len();
        self.reading.logs += batch.logs.len();
        if self.context.overflow || self.reading.spans > self.caps.spans || self.reading.logs > self.caps.spans {
            return Err(Stop::TooMuch);
        }
        if !batch.spans.is_empty() || !batch.logs.is_empty() {
            (self.sink)(batch);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Reading, Fault> {
        self.reading.metrics = self.context.metrics_before;
        self.reading.is_otlp = self.otlp;
        self.reading.dropped_spans = self.context.dropped_spans;
        if let Some((severity, message)) = self.shape() {
            self.context.ledger.add_first(severity, message);
        }
        (self.reading.diagnostics, self.reading.more_diagnostics) = self.context.ledger.into_parts();
        Ok(self.reading)
    }

    /// What a file without spans and log records looks like.
    fn shape(&self) -> Option<(Severity, String)> {
        let keys = &self.context.shape.keys;
        let has = |key: &str| keys.iter().any(|found| found.trim_matches('"') == key);
        if self.reading.spans + self.reading.logs > 0 {
            return None;
        }
        if self.reading.metrics > 0 {
            return Some((Severity::Warning, format!("metrics only ({}); expected traces or logs", self.reading.metrics)));
        }
        if self.reading.dropped_spans > 0 {
            return Some((Severity::Warning, format!("all {} spans were dropped", self.reading.dropped_spans)));
        }
        if has("request") && (has("response") || has("unanswered")) {
            return Some((Severity::Error, "not OTLP: it looks like a wire file (request and response); name it as wire".to_owned()));
        }
        if self.otlp {
            return (self.context.ledger.is_empty()).then(|| (Severity::Warning, "OTLP without spans and log records".to_owned()));
        }
        let found = if keys.is_empty() { "no object with keys".to_owned() } else { keys.join(", ") };
        Some((Severity::Error, format!("not OTLP: expected resourceSpans or resourceLogs, found {found}")))
    }
}

/// Everything that a stream holds, decompressed, as text.
pub(super) fn text(reader: impl Read, cap: u64) -> io::Result<String> {
    let mut source = source::open(Box::new(reader), cap)?;
    let mut bytes = Vec::new();
    read_up_to(&mut source.reader, cap, &mut bytes)?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// How many bytes a stream holds, decompressed, up to one more than a cap.
pub(super) fn content_up_to(reader: impl Read, cap: u64) -> u64 {
    let Ok(source) = source::open(Box::new(reader), u64::MAX) else { return 0 };
    let mut content = source.reader.take(cap.saturating_add(1));
    // An error ends it, and is told by whoever reads the content.
    drop(io::copy(&mut content, &mut io::sink()));
    cap.saturating_add(1) - content.limit()
}

/// Whether log records are named in the head of a text, and spans are not, or only later.
pub(super) fn begins_with_logs(reader: impl Read) -> io::Result<bool> {
    const HEAD: u64 = 64 << 10;
    let mut head = Vec::new();
    source::open(Box::new(reader), u64::MAX)?.reader.take(HEAD).read_to_end(&mut head)?;
    let place = |key: &[u8]| memchr::memmem::find(&head, key).unwrap_or(usize::MAX);
    Ok(place(b"\"resourceLogs\"") < place(b"\"resourceSpans\""))
}

/// Decompresses a message of its own; says what it is.
fn unpack(message: &[u8], bytes: &mut Vec<u8>) -> io::Result<Format> {
    let mut source = source::open(Box::new(message), limit::LINE_BYTES as u64)?;
    source.reader.read_to_end(bytes)?;
    Ok(source.format)
}

/// Reads everything, or fails beyond a cap.
fn read_up_to(reader: &mut impl Read, cap: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    reader.take(cap.saturating_add(1)).read_to_end(bytes)?;
    if bytes.len() as u64 > cap { Err(source::too_large(cap)) } else { Ok(()) }
}
