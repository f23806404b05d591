//! OTLP protobuf, decoded one message at a time, so that what is broken costs itself only.
//!
//! The messages hold their parts as bytes, which share the input's memory and are decoded one by one. Requests for
//! traces, logs and metrics are alike (everything lies in field 1), so [`signal_of`] looks at the first record that
//! tells: its fields have different wire types in the three protocols.

use super::context::Context;
use super::id;
use super::log::LogRecord;
use super::span::{Event, Link, Scope, Span, Status};
use super::value::{AnyValue, Attributes};
use crate::limit;
use prost::bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost::{Message, Oneof};
use std::sync::Arc;

/// `TracesData`, `LogsData`, `MetricsData` and the export requests.
#[derive(Clone, PartialEq, Message)]
struct EnvelopeMessage {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    resources: Vec<Bytes>,
}

/// `ResourceSpans`, `ResourceLogs` and `ResourceMetrics`; field 1000 is `instrumentation_library_spans`.
#[derive(Clone, PartialEq, Message)]
struct ResourceGroupMessage {
    #[prost(bytes = "bytes", tag = "1")]
    resource: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    scopes: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "1000")]
    old_scopes: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceMessage {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    attributes: Vec<Bytes>,
}

/// `ScopeSpans`, `ScopeLogs` and `ScopeMetrics`.
#[derive(Clone, PartialEq, Message)]
struct ScopeGroupMessage {
    #[prost(bytes = "bytes", tag = "1")]
    scope: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    records: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeMessage {
    #[prost(bytes = "bytes", tag = "1")]
    name: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    version: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    attributes: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct SpanMessage {
    #[prost(bytes = "bytes", tag = "1")]
    trace_id: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    span_id: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    parent: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    name: Bytes,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_ns: u64,
    #[prost(fixed64, tag = "8")]
    end_ns: u64,
    #[prost(bytes = "bytes", repeated, tag = "9")]
    attributes: Vec<Bytes>,
    #[prost(uint32, tag = "10")]
    dropped_attributes: u32,
    #[prost(bytes = "bytes", repeated, tag = "11")]
    events: Vec<Bytes>,
    #[prost(uint32, tag = "12")]
    dropped_events: u32,
    #[prost(bytes = "bytes", repeated, tag = "13")]
    links: Vec<Bytes>,
    #[prost(bytes = "bytes", tag = "15")]
    status: Bytes,
    #[prost(fixed32, optional, tag = "16")]
    flags: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct EventMessage {
    #[prost(fixed64, tag = "1")]
    time_ns: u64,
    #[prost(bytes = "bytes", tag = "2")]
    name: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    attributes: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct LinkMessage {
    #[prost(bytes = "bytes", tag = "1")]
    trace_id: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    span_id: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    attributes: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct StatusMessage {
    #[prost(bytes = "bytes", tag = "2")]
    message: Bytes,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct LogMessage {
    #[prost(fixed64, tag = "1")]
    time_ns: u64,
    #[prost(int32, tag = "2")]
    severity: i32,
    #[prost(bytes = "bytes", tag = "5")]
    body: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    attributes: Vec<Bytes>,
    #[prost(uint32, tag = "7")]
    dropped_attributes: u32,
    #[prost(bytes = "bytes", tag = "9")]
    trace_id: Bytes,
    #[prost(bytes = "bytes", tag = "10")]
    span_id: Bytes,
    #[prost(fixed64, tag = "11")]
    observed_ns: u64,
    #[prost(bytes = "bytes", tag = "12")]
    event_name: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValueMessage {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct ValueMessage {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Kind {
    #[prost(bytes = "bytes", tag = "1")]
    Text(Bytes),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(bytes = "bytes", tag = "5")]
    List(Bytes),
    #[prost(bytes = "bytes", tag = "6")]
    Map(Bytes),
    #[prost(bytes = "bytes", tag = "7")]
    Bytes(Bytes),
}

/// `ArrayValue` and `KeyValueList`.
#[derive(Clone, PartialEq, Message)]
struct ValuesMessage {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    values: Vec<Bytes>,
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    Span,
    Log,
    Metric,
}

/// Decodes one message into the context's batch; the error says why it is none.
pub(super) fn decode(context: &mut Context, message: Bytes) -> Result<(), String> {
    context.begin();
    let envelope: EnvelopeMessage = decode_parts(&message)?;
    let mut groups = Vec::with_capacity(envelope.resources.len());
    for resource in envelope.resources {
        groups.push(decode_parts::<ResourceGroupMessage>(&resource)?);
    }
    let signal = groups.iter().flat_map(scopes).find_map(|scope| records(scope).iter().find_map(signal_of));
    context.shape.otlp |= !groups.is_empty();
    for group in groups {
        resource_group(context, &group, signal.unwrap_or(Signal::Span));
    }
    Ok(())
}

fn scopes(group: &ResourceGroupMessage) -> impl Iterator<Item = &Bytes> {
    group.scopes.iter().chain(&group.old_scopes)
}

fn records(scope: &Bytes) -> Vec<Bytes> {
    decode_parts::<ScopeGroupMessage>(scope).map(|scope| scope.records).unwrap_or_default()
}

/// What a record is, told by the wire types of its fields:
///
/// | field | span | log record | metric |
/// | --- | --- | --- | --- |
/// | 1 | 16 bytes | fixed64 | text |
/// | 2 | 8 bytes | varint | text |
/// | 6 | varint | message | |
/// | 7 | fixed64 | varint | message |
/// | 8 | fixed64 | fixed32 | |
/// | 10, 12 | varint | 8 bytes, text | message |
/// | 11 | message | fixed64 | message |
/// | 16 | fixed32 | | |
///
/// A record with none of these is a log record if it lacks field 1, else a metric if that is printable text.
fn signal_of(record: &Bytes) -> Option<Signal> {
    let mut first = None;
    let mut rest = record.clone();
    let mut any = false;
    while rest.has_remaining() {
        let (field, wire_type, content) = next_field(&mut rest)?;
        any = true;
        match (field, wire_type) {
            (6 | 10 | 12 | 14, WireType::Varint) | (7 | 8, WireType::SixtyFourBit) | (16, WireType::ThirtyTwoBit) => {
                return Some(Signal::Span);
            }
            (1 | 11, WireType::SixtyFourBit) | (2 | 7, WireType::Varint) | (8, WireType::ThirtyTwoBit) => return Some(Signal::Log),
            (6, WireType::LengthDelimited) => return Some(Signal::Log),
            (7, WireType::LengthDelimited) => return Some(Signal::Metric),
            (1, WireType::LengthDelimited) => first = Some(content),
            _ => {}
        }
    }
    match first {
        None => any.then_some(Signal::Log),
        Some(name) if !name.is_empty() && name.iter().all(u8::is_ascii_graphic) => Some(Signal::Metric),
        Some(_) => Some(Signal::Span),
    }
}

/// The number, wire type and content (if it has a length) of the next field.
fn next_field(rest: &mut Bytes) -> Option<(u32, WireType, Bytes)> {
    let (field, wire_type) = decode_key(rest).ok()?;
    if wire_type != WireType::LengthDelimited {
        skip_field(wire_type, field, rest, DecodeContext::default()).ok()?;
        return Some((field, wire_type, Bytes::new()));
    }
    let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
    (length <= rest.remaining()).then(|| (field, wire_type, rest.split_to(length)))
}

fn resource_group(context: &mut Context, group: &ResourceGroupMessage, signal: Signal) {
    context.enter_resource();
    if let Some(resource) = message::<ResourceMessage>(context, "resource", &group.resource) {
        let attributes = located(context, "resource.attributes", &resource.attributes);
        context.set_resource(attributes, context.position());
    }
    for scope in scopes(group) {
        if let Some(scope) = message::<ScopeGroupMessage>(context, "scope", scope) {
            scope_group(context, &scope, signal);
        }
    }
}

fn scope_group(context: &mut Context, group: &ScopeGroupMessage, signal: Signal) {
    context.enter_scope();
    if let Some(scope) = message::<ScopeMessage>(context, "scope", &group.scope) {
        let scope = Scope {
            name: text(context, "scope.name", &scope.name),
            version: text(context, "scope.version", &scope.version),
            attributes: located(context, "scope.attributes", &scope.attributes),
        };
        context.set_scope(scope, context.position());
    }
    for record in &group.records {
        match signal {
            Signal::Span => span(context, record),
            Signal::Log => log(context, record),
            Signal::Metric => context.metrics += 1,
        }
    }
}

/// A message inside another one, or a warning.
fn message<M: Message + Default>(context: &mut Context, field: &str, bytes: &Bytes) -> Option<M> {
    match decode_parts(bytes) {
        Ok(message) => Some(message),
        Err(error) => {
            context.warn_about(field, format_args!("not a protobuf message: {error}"));
            None
        }
    }
}

/// A message of no more parts than there may be spans: an empty part is two bytes on the wire and many in memory.
fn decode_parts<M: Message + Default>(bytes: &Bytes) -> Result<M, String> {
    let (mut rest, mut parts) = (bytes.clone(), 0);
    while rest.has_remaining() && next_field(&mut rest).is_some() {
        parts += 1;
        if parts > limit::TRACE_SPANS {
            return Err(format!("expected at most {} parts, found more", limit::TRACE_SPANS));
        }
    }
    M::decode(bytes.clone()).map_err(|error| error.to_string())
}

fn span(context: &mut Context, bytes: &Bytes) {
    let mark = context.ledger.mark();
    let Some(found) = message::<SpanMessage>(context, "span", bytes) else {
        context.dropped_spans += 1;
        return;
    };
    let span = Span {
        trace_id: context.id("traceId", id::from_bytes(&found.trace_id, 16)).unwrap_or_default(),
        span_id: context.id("spanId", id::from_bytes(&found.span_id, 8)).unwrap_or_default(),
        parent: context.id("parentSpanId", id::from_bytes(&found.parent, 8)),
        name: text(context, "name", &found.name),
        kind: number(context, "kind", found.kind),
        start_ns: found.start_ns,
        end_ns: found.end_ns,
        attributes: located(context, "attributes", &found.attributes),
        events: found.events.iter().filter_map(|bytes| event(context, bytes)).collect(),
        links: found.links.iter().filter_map(|bytes| link(context, bytes)).collect(),
        status: message(context, "status", &found.status).map(|found| status(context, &found)).unwrap_or_default(),
        dropped_attributes: found.dropped_attributes,
        dropped_events: found.dropped_events,
        flags: found.flags,
        kind_type: None,
        resource: Arc::clone(&context.resource),
        scope: Arc::clone(&context.scope),
    };
    context.push_span(span, mark);
}

fn event(context: &mut Context, bytes: &Bytes) -> Option<Event> {
    let found = message::<EventMessage>(context, "events", bytes)?;
    let name = text(context, "events.name", &found.name);
    let attributes = located(context, "events.attributes", &found.attributes);
    context.warn_of_repeated_keys(&attributes);
    context.admit().then_some(Event { name, time_ns: found.time_ns, attributes })
}

fn link(context: &mut Context, bytes: &Bytes) -> Option<Link> {
    let found = message::<LinkMessage>(context, "links", bytes)?;
    let trace_id = context.id("links.traceId", id::from_bytes(&found.trace_id, 16));
    let span_id = context.id("links.spanId", id::from_bytes(&found.span_id, 8));
    let attributes = located(context, "links.attributes", &found.attributes);
    context.link(trace_id, span_id, attributes)
}

fn status(context: &mut Context, found: &StatusMessage) -> Status {
    Status { code: number(context, "status.code", found.code), message: text(context, "status.message", &found.message) }
}

fn log(context: &mut Context, bytes: &Bytes) {
    let mark = context.ledger.mark();
    let Some(found) = message::<LogMessage>(context, "log record", bytes) else { return };
    let mut log = LogRecord {
        trace_id: context.id("traceId", id::from_bytes(&found.trace_id, 16)),
        span_id: context.id("spanId", id::from_bytes(&found.span_id, 8)),
        time_ns: found.time_ns,
        event_name: Some(text(context, "eventName", &found.event_name)),
        severity: number(context, "severityNumber", found.severity),
        body: body(context, &found.body),
        attributes: located(context, "attributes", &found.attributes),
        dropped_attributes: found.dropped_attributes,
        resource: Arc::clone(&context.resource),
        scope: Arc::clone(&context.scope),
    };
    log.complete(found.observed_ns);
    context.push_log(log, mark);
}

fn body(context: &mut Context, bytes: &Bytes) -> AnyValue {
    match context.body(|context| Ok::<_, std::convert::Infallible>(value(context, bytes))) {
        Ok(body) => body,
        Err(never) => match never {},
    }
}

fn number(context: &mut Context, field: &str, number: i32) -> u8 {
    u8::try_from(number).unwrap_or_else(|_| {
        context.warn_about(field, format_args!("expected a number of the enumeration, found {number}"));
        0
    })
}

/// Text, whose invalid bytes are read as U+FFFD.
fn text(context: &mut Context, field: &str, bytes: &Bytes) -> String {
    std::str::from_utf8(bytes).map(str::to_owned).unwrap_or_else(|_| {
        context.warn_about(field, format_args!("the text is not UTF-8; invalid bytes are read as U+FFFD"));
        String::from_utf8_lossy(bytes).into_owned()
    })
}

fn located(context: &mut Context, field: &str, found: &[Bytes]) -> Attributes {
    let mark = context.ledger.mark();
    let attributes = attributes(context, found);
    context.ledger.locate(mark, field);
    attributes
}

fn attributes(context: &mut Context, found: &[Bytes]) -> Attributes {
    let mut attributes = Attributes::with_capacity(found.len().min(128));
    for bytes in found {
        let mark = context.ledger.mark();
        let Some(found) = message::<KeyValueMessage>(context, "attribute", bytes) else { continue };
        let key = text(context, "key", &found.key);
        let value = value(context, &found.value);
        attributes.extend(context.attribute(Some(key), value, mark));
    }
    attributes
}

/// The value, or nothing when it cannot be read or is nested too deeply.
fn value(context: &mut Context, bytes: &Bytes) -> Option<AnyValue> {
    if context.depth >= limit::ATTRIBUTE_DEPTH {
        context.too_deep = true;
        return None;
    }
    context.depth += 1;
    let value = message::<ValueMessage>(context, "value", bytes).and_then(|found| value_of_kind(context, found.kind));
    context.depth -= 1;
    value
}

fn value_of_kind(context: &mut Context, kind: Option<Kind>) -> Option<AnyValue> {
    Some(match kind {
        None => AnyValue::Null,
        Some(Kind::Bool(truth)) => AnyValue::Bool(truth),
        Some(Kind::Int(number)) => AnyValue::Int(number),
        Some(Kind::Double(number)) => AnyValue::Double(number),
        Some(Kind::Text(bytes)) => {
            let text = text(context, "stringValue", &bytes);
            AnyValue::Text(context.cut(text))
        }
        Some(Kind::Bytes(bytes)) => AnyValue::Bytes(context.cut_bytes(bytes.into())),
        Some(Kind::List(bytes)) => {
            let found = message::<ValuesMessage>(context, "arrayValue", &bytes)?;
            AnyValue::List(found.values.iter().filter_map(|bytes| member(context, bytes)).collect())
        }
        Some(Kind::Map(bytes)) => {
            let found = message::<ValuesMessage>(context, "kvlistValue", &bytes)?;
            AnyValue::Map(attributes(context, &found.values))
        }
    })
}

/// A member of a list: one that cannot be read stays as null, so that the others keep their places.
fn member(context: &mut Context, bytes: &Bytes) -> Option<AnyValue> {
    let value = value(context, bytes).unwrap_or_default();
    context.admit().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(record: &impl Message) -> Option<Signal> {
        signal_of(&Bytes::from(record.encode_to_vec()))
    }

    #[test]
    fn a_record_is_told_by_its_wire_types() {
        let ids = SpanMessage { trace_id: Bytes::from_static(&[1; 16]), span_id: Bytes::from_static(&[2; 8]), ..SpanMessage::default() };
        assert_eq!(signal(&ids), Some(Signal::Span));
        assert_eq!(signal(&SpanMessage { end_ns: 1, ..SpanMessage::default() }), Some(Signal::Span));
        assert_eq!(signal(&LogMessage { observed_ns: 1, ..LogMessage::default() }), Some(Signal::Log));
        assert_eq!(signal(&LogMessage { body: Bytes::from_static(b"\x0a\x01x"), ..LogMessage::default() }), Some(Signal::Log));
        let metric = KeyValueMessage { key: Bytes::from_static(b"gen_ai.client.tokens"), value: Bytes::from_static(b"tokens") };
        assert_eq!(signal(&metric), Some(Signal::Metric));
        assert_eq!(signal_of(&Bytes::new()), None);
    }
}
