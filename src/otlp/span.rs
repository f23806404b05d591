//! A span: one operation with its start, its end and what was noted about it.

use super::value::Attributes;
use std::sync::Arc;

/// One operation as it was exported; everything but the ids and the name may be missing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Span {
    /// 32 lower-case hexadecimal digits, not all zero.
    pub trace_id: String,
    /// 16 lower-case hexadecimal digits, not all zero.
    pub span_id: String,
    /// The parent's span id; a root has none.
    pub parent: Option<String>,
    /// The operation's name.
    pub name: String,
    /// 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: u8,
    /// Nanoseconds since 1970; 0 when absent.
    pub start_ns: u64,
    /// Nanoseconds since 1970; 0 when absent. It may lie before the start.
    pub end_ns: u64,
    /// What was noted about the operation.
    pub attributes: Attributes,
    /// What happened meanwhile, in the order of export.
    pub events: Vec<Event>,
    /// Other spans that this one refers to, possibly in other traces.
    pub links: Vec<Link>,
    /// How it ended.
    pub status: Status,
    /// How many attributes the SDK dropped.
    pub dropped_attributes: u32,
    /// How many events the SDK dropped.
    pub dropped_events: u32,
    /// Trace flags in bits 0–7; `0x100` says that bit `0x200` (the parent is remote) is known.
    pub flags: Option<u32>,
    /// The span's type, a field that newer protocol versions have (`gen_ai.client.inference`).
    pub kind_type: Option<String>,
    /// Attributes of the process or service that made the span.
    pub resource: Arc<Attributes>,
    /// The instrumentation that made the span.
    pub scope: Arc<Scope>,
}

impl Span {
    /// A span of which nothing is known yet but who made it; unlike the default, it allocates nothing.
    pub(super) fn within(resource: Arc<Attributes>, scope: Arc<Scope>) -> Self {
        Self {
            trace_id: String::new(),
            span_id: String::new(),
            parent: None,
            name: String::new(),
            kind: 0,
            start_ns: 0,
            end_ns: 0,
            attributes: Attributes::new(),
            events: Vec::new(),
            links: Vec::new(),
            status: Status::default(),
            dropped_attributes: 0,
            dropped_events: 0,
            flags: None,
            kind_type: None,
            resource,
            scope,
        }
    }
}

/// Something that happened during a span.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Event {
    /// The event's name.
    pub name: String,
    /// Nanoseconds since 1970; 0 when absent.
    pub time_ns: u64,
    /// What was noted about it.
    pub attributes: Attributes,
}

/// A reference to another span.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Link {
    /// 32 lower-case hexadecimal digits.
    pub trace_id: String,
    /// 16 lower-case hexadecimal digits.
    pub span_id: String,
    /// What was noted about the reference.
    pub attributes: Attributes,
}

/// How a span ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// 0 unset, 1 ok, 2 error.
    pub code: u8,
    /// The error's description, or empty.
    pub message: String,
}

/// The instrumentation that made a record.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scope {
    /// Its name, as a rule a package's.
    pub name: String,
    /// Its version, or empty.
    pub version: String,
    /// What else it said about itself.
    pub attributes: Attributes,
}
