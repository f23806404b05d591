//! Spans and log records in JSON.

use super::attribute::{Attribute, Value};
use super::element::{Element, Leaf, Members, Name, many, names, one};
use crate::otlp::context::Context;
use crate::otlp::diagnostic::Habit;
use crate::otlp::id::{self, Id};
use crate::otlp::log::LogRecord;
use crate::otlp::scalar::{KINDS, Names, SEVERITIES, STATUSES, Scalar};
use crate::otlp::span::{Event, Link, Scope, Span, Status};
use crate::otlp::value::Attributes;
use serde::de::MapAccess;
use std::sync::Arc;

names!(SpanName {
    TraceId = "traceId" | "trace_id",
    SpanId = "spanId" | "span_id",
    Parent = "parentSpanId" | "parent_span_id",
    Flags = "flags",
    Name = "name",
    Kind = "kind",
    Start = "startTimeUnixNano" | "start_time_unix_nano",
    End = "endTimeUnixNano" | "end_time_unix_nano",
    Attributes = "attributes",
    DroppedAttributes = "droppedAttributesCount" | "dropped_attributes_count",
    Events = "events",
    DroppedEvents = "droppedEventsCount" | "dropped_events_count",
    Links = "links",
    Status = "status",
    Type = "type",
});

/// A span, which goes into the batch.
pub(super) struct SpanObject;

impl<'de> Element<'de> for SpanObject {
    type Output = ();
    const EXPECTED: &'static str = "a span";

    fn object<M: MapAccess<'de>>(context: &mut Context, mut map: M) -> Result<Option<()>, M::Error> {
        let (mut members, mark) = (Members::default(), context.ledger.mark());
        let mut span = Span::within(Arc::clone(&context.resource), Arc::clone(&context.scope));
        while let Some(name) = members.next(context, &mut map)? {
            span_member(context, &mut map, &mut span, name)?;
        }
        context.push_span(span, mark);
        Ok(Some(()))
    }
}

fn span_member<'de, M: MapAccess<'de>>(context: &mut Context, map: &mut M, span: &mut Span, name: SpanName) -> Result<(), M::Error> {
    let field = name.text();
    match name {
        SpanName::Attributes => span.attributes = located(context, map, field)?,
        SpanName::Events => span.events = located_list::<EventObject, M>(context, map, field)?,
        SpanName::Links => span.links = located_list::<LinkObject, M>(context, map, field)?,
        SpanName::Status => span.status = map.next_value_seed(one::<StatusObject>(context))?.unwrap_or_default(),
        SpanName::TraceId
        | SpanName::SpanId
        | SpanName::Parent
        | SpanName::Flags
        | SpanName::Name
        | SpanName::Kind
        | SpanName::Start
        | SpanName::End
        | SpanName::DroppedAttributes
        | SpanName::DroppedEvents
        | SpanName::Type => span_scalar(context, span, name, map.next_value_seed(Leaf)?),
    }
    Ok(())
}

fn span_scalar(context: &mut Context, span: &mut Span, name: SpanName, scalar: Scalar<'_>) {
    let field = name.text();
    match name {
        SpanName::TraceId => span.trace_id = read_id(context, field, scalar, 16).unwrap_or_default(),
        SpanName::SpanId => span.span_id = read_id(context, field, scalar, 8).unwrap_or_default(),
        SpanName::Parent => span.parent = read_id(context, field, scalar, 8),
        SpanName::Flags => span.flags = context.take(field, scalar.unsigned("trace flags")),
        SpanName::Name => span.name = context.text(field, scalar).unwrap_or_default(),
        SpanName::Kind => span.kind = read_name(context, field, scalar, &KINDS),
        SpanName::Start => span.start_ns = read_time(context, field, scalar),
        SpanName::End => span.end_ns = read_time(context, field, scalar),
        SpanName::DroppedAttributes => span.dropped_attributes = read_count(context, field, scalar),
        SpanName::DroppedEvents => span.dropped_events = read_count(context, field, scalar),
        SpanName::Type => span.kind_type = context.text(field, scalar),
        SpanName::Attributes | SpanName::Events | SpanName::Links | SpanName::Status => {}
    }
}

/// A list of attributes whose diagnostics name the field it stands in.
fn located<'de, M: MapAccess<'de>>(context: &mut Context, map: &mut M, field: &str) -> Result<Attributes, M::Error> {
    located_list::<Attribute, M>(context, map, field)
}

/// A list whose diagnostics name the field it stands in.
fn located_list<'de, E: Element<'de>, M: MapAccess<'de>>(
    context: &mut Context,
    map: &mut M,
    field: &str,
) -> Result<Vec<E::Output>, M::Error> {
    let mark = context.ledger.mark();
    let list = map.next_value_seed(many::<E>(context))?;
    context.ledger.locate(mark, field);
    Ok(list)
}

fn read_id(context: &mut Context, field: &str, scalar: Scalar<'_>, bytes: usize) -> Option<String> {
    let id = match &scalar {
        Scalar::Null => Id::Empty,
        Scalar::Text(text) => id::from_text(text, bytes),
        _ => Id::Wrong,
    };
    context.id(field, id)
}

fn read_time(context: &mut Context, field: &str, scalar: Scalar<'_>) -> u64 {
    context.take(field, scalar.unsigned("nanoseconds since 1970")).unwrap_or_default()
}

fn read_count(context: &mut Context, field: &str, scalar: Scalar<'_>) -> u32 {
    context.take(field, scalar.unsigned("a count")).unwrap_or_default()
}

/// The number of an enumeration, which generic protobuf libraries write by name.
fn read_name(context: &mut Context, field: &str, scalar: Scalar<'_>, names: &Names) -> u8 {
    if let Scalar::Text(text) = &scalar
        && let Some(number) = names.number(text)
    {
        context.habit(Habit::EnumNames, format_args!("enumerations are names ({scalar}); OTLP/JSON has numbers"));
        return number;
    }
    context.take(field, scalar.unsigned("a number of the enumeration")).unwrap_or_default()
}

names!(EventName { Time = "timeUnixNano" | "time_unix_nano", Name = "name", Attributes = "attributes" });

/// An event of a span.
struct EventObject;

impl<'de> Element<'de> for EventObject {
    type Output = Event;
    const EXPECTED: &'static str = "an event";

    fn object<M: MapAccess<'de>>(context: &mut Context, mut map: M) -> Result<Option<Event>, M::Error> {
        let (mut members, mut event) = (Members::default(), Event::default());
        while let Some(name) = members.next(context, &mut map)? {
            match name {
                EventName::Time => event.time_ns = read_time(context, name.text(), map.next_value_seed(Leaf)?),
                EventName::Name => event.name = context.text(name.text(), map.next_value_seed(Leaf)?).unwrap_or_default(),
                EventName::Attributes => event.attributes = located(context, &mut map, name.text())?,
            }
        }
        context.warn_of_repeated_keys(&event.attributes);
        Ok(context.admit().then_some(event))
    }
}

names!(LinkName { TraceId = "traceId" | "trace_id", SpanId = "spanId" | "span_id", Attributes = "attributes" });

/// A link of a span; one without both ids leads nowhere.
struct LinkObject;

impl<'de> Element<'de> for LinkObject {
    type Output = Link;
    const EXPECTED: &'static str = "a link";

    fn object<M: MapAccess<'de>>(context: &mut Context, mut map: M) -> Result<Option<Link>, M::Error> {
        let (mut members, mut attributes) = (Members::default(), Attributes::new());
        let (mut trace_id, mut span_id) = (None, None);
        while let Some(name) = members.next(context, &mut map)? {
            match name {
                LinkName::TraceId => trace_id = read_id(context, name.text(), map.next_value_seed(Leaf)?, 16),
                LinkName::SpanId => span_id = read_id(context, name.text(), map.next_value_seed(Leaf)?, 8),
                LinkName::Attributes => attributes = located(context, &mut map, name.text())?,
            }
        }
        Ok(context.link(trace_id, span_id, attributes))
    }
}

names!(StatusName { Message = "message", Code = "code" });

/// A span's status.
struct StatusObject;

impl<'de> Element<'de> for StatusObject {
    type Output = Status;
    const EXPECTED: &'static str = "a status";

    fn object<M: MapAccess<'de>>(context: &mut Context, mut map: M) -> Result<Option<Status>, M::Error> {
        let (mut members, mut status) = (Members::default(), Status::default());
        while let Some(name) = members.next(context, &mut map)? {
            match name {
                StatusName::Message => status.message = context.text("status.message", map.next_value_seed(Leaf)?).unwrap_or_default(),
                StatusName::Code => status.code = read_name(context, "status.code", map.next_value_seed(Leaf)?, &STATUSES),
            }
        }
        Ok(Some(status))
    }

    /// A bare code or its name.
    fn scalar(context: &mut Context, scalar: Scalar<'de>) -> Option<Status> {
        if matches!(scalar, Scalar::List) {
            context.warn_about("status", format_args!("expected {}, found {scalar}", Self::EXPECTED));
            return None;
        }
        Some(Status { code: read_name(context, "status", scalar, &STATUSES), message: String::new() })
    }
}

names!(LogName {
    Time = "timeUnixNano" | "time_unix_nano",
    Observed = "observedTimeUnixNano" | "observed_time_unix_nano",
    Severity = "severityNumber" | "severity_number",
    Body = "body",
    Attributes = "attributes",
    DroppedAttributes = "droppedAttributesCount" | "dropped_attributes_count",
    TraceId = "traceId" | "trace_id",
    SpanId = "spanId" | "span_id",
    EventName = "eventName" | "event_name",
});

/// A log record, which goes into the batch.
pub(super) struct LogObject;

impl<'de> Element<'de> for LogObject {
    type Output = ();
    const EXPECTED: &'static str = "a log record";

    fn object<M: MapAccess<'de>>(context: &mut Context, mut map: M) -> Result<Option<()>, M::Error> {
        let (mut members, mark) = (Members::default(), context.ledger.mark());
        let mut log = LogRecord { resource: Arc::clone(&context.resource), scope: Arc::clone(&context.scope), ..LogRecord::default() };
        let mut observed_ns = 0;
        while let Some(name) = members.next::<LogName, M>(context, &mut map)? {
            let field = name.text();
            match name {
                LogName::Body => log.body = context.body(|context| map.next_value_seed(one::<Value>(context)))?,
                LogName::Attributes => log.attributes = located(context, &mut map, field)?,
                LogName::Observed => observed_ns = read_time(context, field, map.next_value_seed(Leaf)?),
                _ => log_scalar(context, &mut log, name, map.next_value_seed(Leaf)?),
            }
        }
        log.complete(observed_ns);
        context.push_log(log, mark);
        Ok(Some(()))
    }
}

fn log_scalar(context: &mut Context, log: &mut LogRecord, name: LogName, scalar: Scalar<'_>) {
    let field = name.text();
    match name {
        LogName::Time => log.time_ns = read_time(context, field, scalar),
        LogName::Severity => log.severity = read_name(context, field, scalar, &SEVERITIES),
        LogName::DroppedAttributes => log.dropped_attributes = read_count(context, field, scalar),
        LogName::TraceId => log.trace_id = read_id(context, field, scalar, 16),
        LogName::SpanId => log.span_id = read_id(context, field, scalar, 8),
        LogName::EventName => log.event_name = context.text(field, scalar),
        LogName::Observed | LogName::Body | LogName::Attributes => {}
    }
}

names!(ScopeName { Name = "name", Version = "version", Attributes = "attributes" });

/// The instrumentation that made the records beside it.
pub(super) struct ScopeObject;

impl<'de> Element<'de> for ScopeObject {
    type Output = Scope;
    const EXPECTED: &'static str = "a scope";

    fn object<M: MapAccess<'de>>(context: &mut Context, mut map: M) -> Result<Option<Scope>, M::Error> {
        let (mut members, mut scope) = (Members::default(), Scope::default());
        while let Some(name) = members.next(context, &mut map)? {
            match name {
                ScopeName::Name => scope.name = context.text("scope.name", map.next_value_seed(Leaf)?).unwrap_or_default(),
                ScopeName::Version => scope.version = context.text("scope.version", map.next_value_seed(Leaf)?).unwrap_or_default(),
                ScopeName::Attributes => scope.attributes = located(context, &mut map, "scope.attributes")?,
            }
        }
        Ok(Some(scope))
    }
}

names!(ResourceName { Attributes = "attributes" });

/// The process or service that made the records beside it.
pub(super) struct ResourceObject;

impl<'de> Element<'de> for ResourceObject {
    type Output = Attributes;
    const EXPECTED: &'static str = "a resource";

    fn object<M: MapAccess<'de>>(context: &mut Context, mut map: M) -> Result<Option<Attributes>, M::Error> {
        let (mut members, mut attributes) = (Members::default(), Attributes::new());
        while let Some(ResourceName::Attributes) = members.next(context, &mut map)? {
            attributes = located(context, &mut map, "resource.attributes")?;
        }
        Ok(Some(attributes))
    }
}
