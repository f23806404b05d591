//! A log record: an event that was exported apart from its span.

use super::span::Scope;
use super::value::{AnyValue, Attributes, get};
use std::sync::Arc;

/// One log record as it was exported; every field may be missing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogRecord {
    /// The trace it belongs to: 32 lower-case hexadecimal digits.
    pub trace_id: Option<String>,
    /// The span it belongs to: 16 lower-case hexadecimal digits.
    pub span_id: Option<String>,
    /// When it happened, else when it was observed, in nanoseconds since 1970; 0 when absent.
    pub time_ns: u64,
    /// The field `eventName`, else the attribute `event.name` of older SDKs.
    pub event_name: Option<String>,
    /// 1 (trace) to 24 (fatal); 0 when absent.
    pub severity: u8,
    /// What was logged.
    pub body: AnyValue,
    /// What was noted about it.
    pub attributes: Attributes,
    /// How many attributes the SDK dropped.
    pub dropped_attributes: u32,
    /// Attributes of the process or service that made the record.
    pub resource: Arc<Attributes>,
    /// The instrumentation that made the record.
    pub scope: Arc<Scope>,
}

impl LogRecord {
    /// Fills what an older SDK says elsewhere: the observed time and the event's name.
    pub(super) fn complete(&mut self, observed_ns: u64) {
        if self.time_ns == 0 {
            self.time_ns = observed_ns;
        }
        self.event_name = self.event_name.take().filter(|name| !name.is_empty());
        if self.event_name.is_none() {
            self.event_name = get(&self.attributes, "event.name").and_then(AnyValue::as_text).map(str::to_owned);
        }
    }
}
