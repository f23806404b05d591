//! Writing OTLP: spans and log records as JSON, in the form of the Collector's file exporter.

use super::{AnyValue, Attributes, Event, Link, LogRecord, Scope, Span};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The lines of some telemetry, each ended by a newline: one with the spans, one with the log records.
pub fn to_lines(spans: &[Span], logs: &[LogRecord]) -> String {
    let spans = grouped(spans, |span| (&span.resource, &span.scope), "scopeSpans", "spans", span);
    let logs = grouped(logs, |log| (&log.resource, &log.scope), "scopeLogs", "logRecords", log);
    let lines = [("resourceSpans", spans), ("resourceLogs", logs)];
    lines.into_iter().filter(|(_, groups)| !groups.is_empty()).map(|(key, groups)| format!("{}\n", json!({ key: groups }))).collect()
}

/// Records behind their resource and scope; neighbours that share both share one group.
fn grouped<T>(
    records: &[T],
    origin: impl Fn(&T) -> (&Arc<Attributes>, &Arc<Scope>),
    scopes: &str,
    key: &str,
    write: fn(&T) -> Value,
) -> Vec<Value> {
    let groups = records.chunk_by(|one, other| origin(one) == origin(other));
    let group = |group: &[T]| {
        let (resource, scope) = group.first().map(&origin)?;
        let records: Vec<Value> = group.iter().map(write).collect();
        Some(json!({
            "resource": {"attributes": attributes(resource)},
            scopes: [{"scope": {"name": scope.name, "version": scope.version, "attributes": attributes(&scope.attributes)}, key: records}],
        }))
    };
    groups.filter_map(group).collect()
}

fn span(span: &Span) -> Value {
    let mut object = Map::new();
    object.insert("traceId".into(), span.trace_id.as_str().into());
    object.insert("spanId".into(), span.span_id.as_str().into());
    if let Some(parent) = &span.parent {
        object.insert("parentSpanId".into(), parent.as_str().into());
    }
    if let Some(flags) = span.flags {
        object.insert("flags".into(), flags.into());
    }
    object.insert("name".into(), span.name.as_str().into());
    object.insert("kind".into(), span.kind.into());
    object.insert("startTimeUnixNano".into(), span.start_ns.to_string().into());
    object.insert("endTimeUnixNano".into(), span.end_ns.to_string().into());
    object.insert("attributes".into(), attributes(&span.attributes));
    insert_list(&mut object, "events", &span.events, event);
    insert_list(&mut object, "links", &span.links, link);
    object.insert("status".into(), json!({"code": span.status.code, "message": span.status.message}));
    if let Some(kind) = &span.kind_type {
        object.insert("type".into(), kind.as_str().into());
    }
    insert_count(&mut object, "droppedAttributesCount", span.dropped_attributes);
    insert_count(&mut object, "droppedEventsCount", span.dropped_events);
    Value::Object(object)
}

fn insert_list<T>(object: &mut Map<String, Value>, key: &str, items: &[T], write: fn(&T) -> Value) {
    if !items.is_empty() {
        object.insert(key.into(), items.iter().map(write).collect());
    }
}

fn insert_count(object: &mut Map<String, Value>, key: &str, count: u32) {
    if count > 0 {
        object.insert(key.into(), count.into());
    }
}

fn event(event: &Event) -> Value {
    json!({"timeUnixNano": event.time_ns.to_string(), "name": event.name, "attributes": attributes(&event.attributes)})
}

fn link(link: &Link) -> Value {
    json!({"traceId": link.trace_id, "spanId": link.span_id, "attributes": attributes(&link.attributes)})
}

fn log(log: &LogRecord) -> Value {
    let mut object = Map::new();
    object.insert("timeUnixNano".into(), log.time_ns.to_string().into());
    object.insert("severityNumber".into(), log.severity.into());
    object.insert("body".into(), value(&log.body));
    object.insert("attributes".into(), attributes(&log.attributes));
    insert_count(&mut object, "droppedAttributesCount", log.dropped_attributes);
    for (key, text) in [("traceId", &log.trace_id), ("spanId", &log.span_id), ("eventName", &log.event_name)] {
        if let Some(text) = text {
            object.insert(key.into(), text.as_str().into());
        }
    }
    Value::Object(object)
}

fn attributes(attributes: &[(String, AnyValue)]) -> Value {
    attributes.iter().map(|(key, held)| json!({"key": key, "value": value(held)})).collect()
}

/// 64-bit whole numbers are texts, as in every protobuf JSON.
fn value(held: &AnyValue) -> Value {
    match held {
        AnyValue::Null => json!({}),
        AnyValue::Bool(truth) => json!({"boolValue": truth}),
        AnyValue::Int(number) => json!({"intValue": number.to_string()}),
        AnyValue::Double(_) => json!({"doubleValue": held.to_json()}),
        AnyValue::Text(text) => json!({"stringValue": text}),
        AnyValue::Bytes(_) => json!({"bytesValue": held.to_json()}),
        AnyValue::List(members) => json!({"arrayValue": {"values": members.iter().map(value).collect::<Vec<_>>()}}),
        AnyValue::Map(members) => json!({"kvlistValue": {"values": attributes(members)}}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::{Status, read_all};

    fn full_span() -> Span {
        Span {
            trace_id: "0123456789abcdef0123456789abcdef".into(),
            span_id: "0123456789abcdef".into(),
            parent: Some("fedcba9876543210".into()),
            name: "chat \u{1f600}".into(),
            kind: 3,
            start_ns: 1_767_225_600_000_000_001,
            end_ns: 1_767_225_600_500_000_000,
            attributes: vec![
                ("none".into(), AnyValue::Null),
                ("big".into(), AnyValue::Int(i64::MAX)),
                ("nan".into(), AnyValue::Double(f64::INFINITY)),
                ("bytes".into(), AnyValue::Bytes(vec![0, 255])),
                ("list".into(), AnyValue::List(vec![AnyValue::Bool(true), AnyValue::Text("a".into())])),
                ("map".into(), AnyValue::Map(vec![("k".into(), AnyValue::Double(0.5))])),
            ],
            events: vec![Event { name: "first".into(), time_ns: 7, attributes: vec![("a".into(), AnyValue::Int(1))] }],
            links: vec![Link { trace_id: "1".repeat(32), span_id: "1".repeat(16), attributes: vec![] }],
            status: Status { code: 2, message: "cut off".into() },
            dropped_attributes: 3,
            dropped_events: 4,
            flags: Some(0x301),
            kind_type: Some("gen_ai.client.inference".into()),
            resource: Arc::new(vec![("service.name".into(), AnyValue::Text("bot".into()))]),
            scope: Arc::new(Scope { name: "bot".into(), version: "1".into(), attributes: vec![] }),
        }
    }

    #[test]
    fn what_is_written_is_read_again_as_it_was() {
        let record = LogRecord {
            trace_id: Some("0123456789abcdef0123456789abcdef".into()),
            span_id: Some("0123456789abcdef".into()),
            time_ns: 5,
            event_name: Some("gen_ai.choice".into()),
            severity: 9,
            body: AnyValue::Map(vec![("text".into(), AnyValue::Text("hi".into()))]),
            attributes: vec![("a".into(), AnyValue::Text("b".into()))],
            dropped_attributes: 1,
            resource: full_span().resource,
            scope: full_span().scope,
        };
        let other = Span { span_id: "aaaaaaaaaaaaaaaa".into(), resource: Arc::default(), ..full_span() };
        let lines = to_lines(&[full_span(), other.clone()], std::slice::from_ref(&record));
        let read = read_all(lines.as_bytes()).unwrap();
        assert_eq!(lines.lines().count(), 2);
        assert_eq!((read.spans, read.logs), (vec![full_span(), other], vec![record]));
        assert_eq!(read.reading.diagnostics, []);
    }

    #[test]
    fn nothing_is_no_line() {
        assert_eq!(to_lines(&[], &[]), "");
    }
}
