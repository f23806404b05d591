//! The context of decoding one file: where it stands, what it has decoded so far, and what was odd.

use super::Batch;
use super::diagnostic::{Habit, Ledger, Mark, Severity};
use super::id::Id;
use super::log::LogRecord;
use super::scalar::{Scalar, Taken};
use super::span::{Link, Scope, Span};
use super::value::{AnyValue, Attributes};
use crate::limit;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// What decoders of either encoding share.
#[derive(Debug, Default)]
pub(super) struct Context {
    pub(super) ledger: Ledger,
    pub(super) batch: Batch,
    pub(super) resource: Arc<Attributes>,
    pub(super) scope: Arc<Scope>,
    /// Metrics of the batch, and of the batches before it.
    pub(super) metrics: usize,
    pub(super) metrics_before: usize,
    pub(super) dropped_spans: usize,
    /// How deep in values of one attribute the decoder stands.
    pub(super) depth: usize,
    /// Whether the attribute at hand is nested too deeply to be kept.
    pub(super) too_deep: bool,
    pub(super) shape: Shape,
    /// How many values there were in the batch or file, so that two bytes of input cannot become a hundred in memory.
    pub(super) values: usize,
    /// Whether there are more spans, log records or values than may be held.
    pub(super) overflow: bool,
}

/// What a file looks like, to say so when nothing in it is telemetry.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// It has the keys that OTLP has at the top.
    pub(super) otlp: bool,
    /// The keys of the first object that does not.
    pub(super) keys: Vec<String>,
}

/// A state to return to when a line turns out to need another attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checkpoint {
    mark: Mark,
    dropped_spans: usize,
    values: usize,
}

impl Context {
    /// A state to return to with [`Context::restart`]; the batch must be empty.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { mark: self.ledger.mark(), dropped_spans: self.dropped_spans, values: self.values }
    }

    /// Forgets what was decoded since the checkpoint.
    pub(super) fn restart(&mut self, checkpoint: Checkpoint) {
        self.ledger.rollback(checkpoint.mark);
        self.dropped_spans = checkpoint.dropped_spans;
        self.values = checkpoint.values;
        self.batch.spans.clear();
        self.batch.logs.clear();
        self.metrics = 0;
        self.begin();
    }

    /// Makes ready for a document.
    pub(super) fn begin(&mut self) {
        self.depth = 0;
        self.too_deep = false;
        self.enter_resource();
    }

    /// The batch at hand, leaving an empty one.
    pub(super) fn take_batch(&mut self) -> Batch {
        self.metrics_before += std::mem::take(&mut self.metrics);
        // The next batch is likely to be as large, and growing means copying.
        let next = Batch { spans: Vec::with_capacity(self.batch.spans.len().min(1 << 10)), ..Batch::default() };
        std::mem::replace(&mut self.batch, next)
    }

    pub(super) fn warn(&mut self, message: fmt::Arguments<'_>) {
        self.ledger.add(Severity::Warning, self.batch.line, message);
    }

    pub(super) fn error(&mut self, message: fmt::Arguments<'_>) {
        self.ledger.add(Severity::Error, self.batch.line, message);
    }

    /// A warning about a field of the record at hand.
    pub(super) fn warn_about(&mut self, field: &str, message: fmt::Arguments<'_>) {
        let mark = self.ledger.mark();
        self.warn(message);
        self.ledger.locate(mark, field);
    }

    /// Warns of a way of writing once a file.
    pub(super) fn habit(&mut self, habit: Habit, message: fmt::Arguments<'_>) {
        if self.ledger.is_new(habit) {
            self.warn(message);
        }
    }

    /// What was read out of a field, warning of what was wrong with it.
    #[inline]
    pub(super) fn take<T>(&mut self, field: &str, taken: Taken<T>) -> Option<T> {
        if let Some(complaint) = taken.complaint {
            self.warn_about(field, format_args!("{complaint}"));
        }
        taken.value
    }

    /// The text of a field, which as a rule needs no taking apart.
    #[inline]
    pub(super) fn text(&mut self, field: &str, scalar: Scalar<'_>) -> Option<String> {
        match scalar {
            Scalar::Text(text) => Some(text.into_owned()),
            other => self.take(field, other.text()),
        }
    }

    /// An id, if it is one; the specification says that an id of zeros is none.
    pub(super) fn id(&mut self, field: &str, id: Id) -> Option<String> {
        match id {
            Id::Valid(id) => return Some(id),
            Id::Base64(id) => {
                self.habit(Habit::Base64Ids, format_args!("ids are base64; OTLP/JSON has them in hexadecimal"));
                return Some(id);
            }
            Id::Zero => self.warn_about(field, format_args!("the id is all zero, which means none")),
            Id::Wrong => self.warn_about(field, format_args!("expected an id of 32 (trace) or 16 (span) hexadecimal digits")),
            Id::Empty => {}
        }
        None
    }

    /// Counts a value; false when there are too many to keep it, and the file is refused.
    #[inline]
    pub(super) fn admit(&mut self) -> bool {
        self.values += 1;
        self.overflow |= self.values > limit::TRACE_VALUES;
        !self.overflow
    }

    /// Leaves the resource and scope before.
    pub(super) fn enter_resource(&mut self) {
        self.resource = Arc::default();
        self.enter_scope();
    }

    /// Leaves the scope before.
    pub(super) fn enter_scope(&mut self) {
        self.scope = Arc::default();
    }

    /// How many spans and logs the batch holds, to know later what belongs to the resource or scope at hand.
    pub(super) fn position(&self) -> (usize, usize) {
        (self.batch.spans.len(), self.batch.logs.len())
    }

    /// The resource of everything since a position: JSON may write it after its spans.
    pub(super) fn set_resource(&mut self, attributes: Attributes, since: (usize, usize)) {
        self.resource = Arc::new(attributes);
        for span in self.batch.spans.iter_mut().skip(since.0) {
            span.resource = Arc::clone(&self.resource);
        }
        for log in self.batch.logs.iter_mut().skip(since.1) {
            log.resource = Arc::clone(&self.resource);
        }
    }

    /// The scope of everything since a position.
    pub(super) fn set_scope(&mut self, scope: Scope, since: (usize, usize)) {
        self.scope = Arc::new(scope);
        for span in self.batch.spans.iter_mut().skip(since.0) {
            span.scope = Arc::clone(&self.scope);
        }
        for log in self.batch.logs.iter_mut().skip(since.1) {
            log.scope = Arc::clone(&self.scope);
        }
    }

    /// Keeps a span; one without both ids belongs to no trace and is dropped.
    #[inline]
    pub(super) fn push_span(&mut self, mut span: Span, mark: Mark) {
        let placed = !span.trace_id.is_empty() && !span.span_id.is_empty();
        if !placed {
            self.dropped_spans += 1;
            self.warn(format_args!("the span has no valid trace id and span id, so it was dropped"));
        }
        if span.parent.as_ref() == Some(&span.span_id) {
            self.warn_about("parentSpanId", format_args!("the span is its own parent; read as a root"));
            span.parent = None;
        }
        self.warn_of_repeated_keys(&span.attributes);
        self.ledger.locate_span(mark, if placed { &span.span_id } else { &span.name });
        if !placed {
            return;
        }
        self.overflow |= self.batch.spans.len() >= limit::TRACE_SPANS;
        if !self.overflow {
            self.batch.spans.push(span);
        }
    }

    /// Keeps a log record.
    pub(super) fn push_log(&mut self, log: LogRecord, mark: Mark) {
        self.warn_of_repeated_keys(&log.attributes);
        if let Some(span) = &log.span_id {
            self.ledger.locate_span(mark, span);
        }
        self.overflow |= self.batch.logs.len() >= limit::TRACE_SPANS;
        if !self.overflow {
            self.batch.logs.push(log);
        }
    }

    /// A link, if it leads somewhere.
    pub(super) fn link(&mut self, trace_id: Option<String>, span_id: Option<String>, attributes: Attributes) -> Option<Link> {
        let (Some(trace_id), Some(span_id)) = (trace_id, span_id) else {
            self.warn(format_args!("the link has no valid trace id and span id, so it was dropped"));
            return None;
        };
        self.admit().then_some(Link { trace_id, span_id, attributes })
    }

    /// The body of a log record: null when it was nested too deeply or could not be read.
    pub(super) fn body<E>(&mut self, decode: impl FnOnce(&mut Self) -> Result<Option<AnyValue>, E>) -> Result<AnyValue, E> {
        let mark = self.ledger.mark();
        let value = decode(self)?.unwrap_or_default();
        let too_deep = std::mem::take(&mut self.too_deep);
        if too_deep {
            self.warn(format_args!("nested deeper than {} levels, so it was dropped", limit::ATTRIBUTE_DEPTH));
        }
        self.ledger.locate(mark, "body");
        Ok(if too_deep { AnyValue::Null } else { value })
    }

    /// Warns of keys that occur twice, which the protocol forbids; the last one wins.
    pub(super) fn warn_of_repeated_keys(&mut self, attributes: &Attributes) {
        const FEW: usize = 48;
        if attributes.len() <= FEW {
            for (index, (key, _)) in attributes.iter().enumerate() {
                if attributes.iter().take(index).any(|(other, _)| other == key) {
                    self.repeated(key);
                }
            }
            return;
        }
        let mut seen = HashSet::with_capacity(attributes.len());
        for (key, _) in attributes {
            if !seen.insert(key.as_str()) {
                self.repeated(key);
            }
        }
    }

    fn repeated(&mut self, key: &str) {
        self.warn_about(&format!("attributes.{key}"), format_args!("the attribute occurs twice; the last one counts"));
    }

    /// Text no longer than an attribute may be, cut between characters.
    #[inline]
    pub(super) fn cut(&mut self, mut text: String) -> String {
        if text.len() <= limit::ATTRIBUTE_BYTES {
            return text;
        }
        self.warn(format_args!("the value of {} bytes was cut to {}", text.len(), limit::ATTRIBUTE_BYTES));
        let end = (0..=limit::ATTRIBUTE_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.shrink_to_fit();
        text
    }

    /// Bytes no longer than an attribute may be.
    pub(super) fn cut_bytes(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        if bytes.len() > limit::ATTRIBUTE_BYTES {
            self.warn(format_args!("the value of {} bytes was cut to {}", bytes.len(), limit::ATTRIBUTE_BYTES));
            bytes.truncate(limit::ATTRIBUTE_BYTES);
            bytes.shrink_to_fit();
        }
        bytes
    }

    /// The finished attribute: nothing when it was nested too deeply or could not be read.
    #[inline]
    pub(super) fn attribute(&mut self, key: Option<String>, value: Option<AnyValue>, mark: Mark) -> Option<(String, AnyValue)> {
        if self.depth == 0 && std::mem::take(&mut self.too_deep) {
            self.warn(format_args!("nested deeper than {} levels, so the attribute was dropped", limit::ATTRIBUTE_DEPTH));
            self.ledger.locate(mark, key.as_deref().unwrap_or_default());
            return None;
        }
        let Some(key) = key.filter(|key| !key.is_empty()) else {
            self.warn(format_args!("the attribute has no key, so it was dropped"));
            return None;
        };
        self.ledger.locate(mark, &key);
        let value = value?;
        self.admit().then_some((key, value))
    }
}
