//! OTLP as real systems write it, and as hostile ones might.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use relapse::limit;
use relapse::otlp::{AnyValue, Attributes, Batch, Diagnostic, Severity, Span, Status, Telemetry, get, read, read_all};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;

const TRACE: &str = "5b8efff798038103d269b633813fc60c";
const SPAN: &str = "eee19b7ec3c1b174";

fn telemetry(text: impl AsRef<[u8]>) -> Telemetry {
    read_all(text.as_ref()).unwrap()
}

fn messages(telemetry: &Telemetry) -> Vec<String> {
    telemetry.reading.diagnostics.iter().map(Diagnostic::to_string).collect()
}

/// A line with one span, whose further members are given as JSON text.
fn span_line(members: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{TRACE}","spanId":"{SPAN}"{members}}}]}}]}}]}}"#)
}

/// A line with one attribute `a` of that value, before an attribute `z`, which must survive.
fn value_line(value: &str) -> String {
    span_line(&format!(r#","attributes":[{{"key":"a","value":{value}}},{{"key":"z","value":{{"stringValue":"kept"}}}}]"#))
}

/// What a value reads as, and what is said about it.
fn value(json: &str) -> (Option<AnyValue>, Vec<String>) {
    let telemetry = telemetry(value_line(json));
    let attributes = &telemetry.spans.first().unwrap_or_else(|| panic!("{json}: {:?}", messages(&telemetry))).attributes;
    assert_eq!(get(attributes, "z").and_then(AnyValue::as_text), Some("kept"), "{json}");
    (get(attributes, "a").cloned(), messages(&telemetry))
}

fn text(text: &str) -> AnyValue {
    AnyValue::Text(text.to_owned())
}

#[test]
fn every_legal_spelling_of_a_value_is_read_without_a_word() {
    let map = AnyValue::Map(vec![("k".to_owned(), AnyValue::Int(1))]);
    for (json, expected) in [
        (r#"{"stringValue":"x"}"#, text("x")),
        (r#"{"stringValue":""}"#, text("")),
        (r#"{"stringValue":"\u00e9\ud83d\ude00\u0000"}"#, text("é😀\0")),
        (r#"{"intValue":"50"}"#, AnyValue::Int(50)),
        (r#"{"intValue":50}"#, AnyValue::Int(50)),
        (r#"{"intValue":-9223372036854775808}"#, AnyValue::Int(i64::MIN)),
        (r#"{"intValue":"-7"}"#, AnyValue::Int(-7)),
        (r#"{"intValue":50.0}"#, AnyValue::Int(50)),
        (r#"{"intValue":"50.0"}"#, AnyValue::Int(50)),
        (r#"{"intValue":1152921504606847000}"#, AnyValue::Int(1_152_921_504_606_847_000)),
        (r#"{"doubleValue":0.1773907239999062}"#, AnyValue::Double(0.177_390_723_999_906_2)),
        (r#"{"doubleValue":2}"#, AnyValue::Double(2.0)),
        (r#"{"doubleValue":"1.5"}"#, AnyValue::Double(1.5)),
        (r#"{"doubleValue":"Infinity"}"#, AnyValue::Double(f64::INFINITY)),
        (r#"{"doubleValue":"-Infinity"}"#, AnyValue::Double(f64::NEG_INFINITY)),
        (r#"{"doubleValue":null}"#, AnyValue::Null),
        (r#"{"boolValue":false}"#, AnyValue::Bool(false)),
        (r#"{"arrayValue":{}}"#, AnyValue::List(vec![])),
        (r#"{"arrayValue":{"values":null}}"#, AnyValue::List(vec![])),
        (r#"{"arrayValue":{"values":[{},null,{"intValue":1}]}}"#, AnyValue::List(vec![AnyValue::Null, AnyValue::Null, AnyValue::Int(1)])),
        (r#"{"kvlistValue":{}}"#, AnyValue::Map(vec![])),
        (r#"{"kvlistValue":{"values":[{"key":"k","value":{"intValue":"1"}}]}}"#, map),
        (r#"{"bytesValue":"aGk="}"#, AnyValue::Bytes(b"hi".to_vec())),
        (r#"{"bytesValue":"aGk"}"#, AnyValue::Bytes(b"hi".to_vec())),
        (r#"{"bytesValue":"_-8="}"#, AnyValue::Bytes(vec![0xff, 0xef])),
        (r#"{"bytesValue":[104,105]}"#, AnyValue::Bytes(b"hi".to_vec())),
        ("{}", AnyValue::Null),
        ("null", AnyValue::Null),
        (r#"{"newKindValue":{"deep":[1]}}"#, AnyValue::Null),
    ] {
        assert_eq!(value(json), (Some(expected), vec![]), "{json}");
    }
    let (nan, said) = value(r#"{"doubleValue":"NaN"}"#);
    assert!(nan.unwrap().as_f64().unwrap().is_nan() && said.is_empty());
}

#[test]
fn an_odd_value_is_read_and_reported() {
    let at = |message: &str| format!("line 1: span {SPAN}: attributes.a.{message}");
    for (json, expected, message) in [
        (r#"{"intValue":1e+21}"#, AnyValue::Double(1e21), at("intValue: expected a 64-bit whole number, found 1e21")),
        (r#"{"intValue":"1e+21"}"#, AnyValue::Double(1e21), at("intValue: expected a 64-bit whole number, found 1e21")),
        (r#"{"intValue":50.5}"#, AnyValue::Double(50.5), at("intValue: expected a 64-bit whole number, found 5.05e1")),
        (r#"{"stringValue":42}"#, text("42"), at("stringValue: expected text, found 42")),
        (r#"{"boolValue":"true"}"#, AnyValue::Bool(true), at("boolValue: expected true or false, found \"true\"")),
        (
            r#"{"arrayValue":{"values":[{"value":{"stringValue":"x"}}]}}"#,
            AnyValue::List(vec![text("x")]),
            at("members of lists are wrapped as {\"value\": …}, as old Rust SDKs do").replace("a.m", "a: m"),
        ),
        (r#""bare""#, text("bare"), at("values are bare (\"bare\"); OTLP/JSON has {\"stringValue\": …}").replace("a.v", "a: v")),
        (r#"{"stringValue":"x","stringValue":"y"}"#, text("y"), at("stringValue: duplicate key; the last one counts")),
        (
            r#"{"stringValue":"x","intValue":"1"}"#,
            AnyValue::Int(1),
            at("the value is of 2 kinds at once; the last one counts").replace("a.t", "a: t"),
        ),
        (r#"{"string_value":"x"}"#, text("x"), at("keys are snake_case; OTLP/JSON has them in lowerCamelCase").replace("a.k", "a: k")),
    ] {
        assert_eq!(value(json), (Some(expected), vec![message]), "{json}");
    }
}

#[test]
fn a_bad_value_costs_its_attribute_and_nothing_else() {
    let at = |message: &str| format!("line 1: span {SPAN}: attributes.a{message}");
    for (json, message) in [
        (r#"{"intValue":"abc"}"#, at(".intValue: expected a whole number, found \"abc\"")),
        (r#"{"intValue":true}"#, at(".intValue: expected a whole number, found true")),
        (r#"{"intValue":[1]}"#, at(".intValue: expected a whole number, found a list")),
        (r#"{"doubleValue":{"x":1}}"#, at(".doubleValue: expected a number, found an object")),
        (r#"{"boolValue":1}"#, at(".boolValue: expected true or false, found 1")),
        (r#"{"stringValue":["x"]}"#, at(".stringValue: expected text, found a list")),
        (r#"{"bytesValue":"!!"}"#, at(".bytesValue: expected base64, found \"!!\"")),
        (r#"{"bytesValue":[1,300,2]}"#, at(".bytesValue: expected a byte, found 300")),
        (r#"[{"stringValue":"x"}]"#, at(": expected a value such as {\"stringValue\": …}, found a list")),
        (r#"{"arrayValue":"x"}"#, at(": expected {\"values\": […]}, found \"x\"")),
    ] {
        assert_eq!(value(json), (None, vec![message]), "{json}");
    }
}

fn nested(levels: usize, open: &str, close: &str) -> String {
    format!("{}{{}}{}", open.repeat(levels), close.repeat(levels))
}

#[test]
fn an_attribute_nested_too_deeply_is_dropped_and_its_batch_kept() {
    let said = [format!("line 1: span {SPAN}: attributes.a: nested deeper than 64 levels, so the attribute was dropped")];
    for (open, close) in
        [(r#"{"arrayValue":{"values":["#, "]}}"), (r#"{"kvlistValue":{"values":[{"key":"k","value":"#, "}]}}"), (r#"{"value":"#, "}")]
    {
        let (kept, _) = value(&nested(limit::ATTRIBUTE_DEPTH - 1, open, close));
        assert!(kept.is_some(), "{open}");
        for levels in [limit::ATTRIBUTE_DEPTH, 100_000] {
            let (dropped, messages) = value(&nested(levels, open, close));
            assert_eq!(dropped, None, "{open}");
            assert_eq!(messages.last(), said.last(), "{open}");
        }
    }
}

#[test]
fn depth_outside_of_values_does_no_harm() {
    let deep = nested(100_000, "[", "]");
    assert_eq!(telemetry(span_line(&format!(r#","unknown":{deep}"#))).spans.len(), 1);
    assert_eq!(telemetry(span_line(&format!(r#","name":{deep}"#))).spans.len(), 1);
    assert_eq!(messages(&telemetry(&deep)).len(), 2);
}

#[test]
fn a_value_that_is_too_long_is_cut_between_characters() {
    let long = "é".repeat(limit::ATTRIBUTE_BYTES);
    let (cut, messages) = value(&format!(r#"{{"stringValue":"x{long}"}}"#));
    assert_eq!(cut.unwrap().as_text().unwrap().len(), limit::ATTRIBUTE_BYTES - 1);
    assert_eq!(messages, [format!("line 1: span {SPAN}: attributes.a: the value of 2097153 bytes was cut to 1048576")]);
}

#[test]
fn every_field_of_a_span_is_read() {
    let line = json!({"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "bot"}}]},
        "scopeSpans": [{"scope": {"name": "lib", "version": "1", "attributes": [{"key": "s", "value": {"intValue": 1}}]}, "spans": [{
        "traceId": TRACE.to_uppercase(), "spanId": SPAN.to_uppercase(), "parentSpanId": "EEE19B7EC3C1B173", "name": "chat", "kind": 3,
        "type": "gen_ai.client.inference", "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": 1544712661000000000_u64, "flags": "256",
        "droppedAttributesCount": "2", "droppedEventsCount": 3, "traceState": "x=1", "status": {"code": 2, "message": "no"},
        "attributes": [{"key": "a", "value": {"boolValue": true}}],
        "events": [{"name": "e", "timeUnixNano": "5", "attributes": [{"key": "b", "value": {"intValue": "1"}}]}],
        "links": [{"traceId": TRACE, "spanId": SPAN, "attributes": [{"key": "c", "value": {"intValue": "1"}}]}]}]}]}]});
    let telemetry = telemetry(line.to_string());
    let [span] = telemetry.spans.as_slice() else { panic!("expected one span") };
    assert_eq!((span.trace_id.as_str(), span.span_id.as_str(), span.parent.as_deref()), (TRACE, SPAN, Some("eee19b7ec3c1b173")));
    assert_eq!((span.name.as_str(), span.kind, span.kind_type.as_deref()), ("chat", 3, Some("gen_ai.client.inference")));
    assert_eq!((span.start_ns, span.end_ns, span.flags), (1_544_712_660_000_000_000, 1_544_712_661_000_000_000, Some(256)));
    assert_eq!((span.dropped_attributes, span.dropped_events), (2, 3));
    assert_eq!(span.status, Status { code: 2, message: "no".to_owned() });
    assert_eq!(get(&span.attributes, "a"), Some(&AnyValue::Bool(true)));
    assert_eq!((span.events[0].name.as_str(), span.events[0].time_ns, span.events[0].attributes.len()), ("e", 5, 1));
    assert_eq!((span.links[0].trace_id.as_str(), span.links[0].span_id.as_str(), span.links[0].attributes.len()), (TRACE, SPAN, 1));
    assert_eq!(get(&span.resource, "service.name"), Some(&text("bot")));
    assert_eq!((span.scope.name.as_str(), span.scope.version.as_str(), span.scope.attributes.len()), ("lib", "1", 1));
    assert_eq!(messages(&telemetry), [""; 0]);
}

#[test]
fn null_omitted_and_empty_are_alike() {
    let names =
        ["parentSpanId", "name", "kind", "startTimeUnixNano", "attributes", "events", "links", "status", "flags", "droppedEventsCount"];
    let nulls = names.iter().fold(String::new(), |mut all, name| {
        let _ = write!(all, r#","{name}":null"#);
        all
    });
    let empty = r#","parentSpanId":"","startTimeUnixNano":"","attributes":[],"events":[],"status":{}"#;
    let bare = telemetry(span_line(""));
    assert_eq!(bare.spans.len(), 1);
    for members in [nulls.as_str(), empty] {
        assert_eq!(telemetry(span_line(members)), bare);
    }
    for line in [r#"{"resourceSpans":null}"#, r#"{"resourceSpans":[{"resource":null,"scopeSpans":null}]}"#, r#"{"resourceSpans":[null]}"#] {
        assert_eq!(messages(&telemetry(line)), ["OTLP without spans and log records"], "{line}");
    }
}

#[test]
fn ids_of_the_wrong_kind_are_absent_and_reported() {
    for (parent, message) in [
        (r#""eee19b7ec3c1b17""#, "expected an id of 32 (trace) or 16 (span) hexadecimal digits"),
        (r#""xee19b7ec3c1b173""#, "expected an id of 32 (trace) or 16 (span) hexadecimal digits"),
        ("12", "expected an id of 32 (trace) or 16 (span) hexadecimal digits"),
        ("[]", "expected an id of 32 (trace) or 16 (span) hexadecimal digits"),
        (r#""0000000000000000""#, "the id is all zero, which means none"),
        (r#""eee19b7ec3c1b174""#, "the span is its own parent; read as a root"),
    ] {
        let telemetry = telemetry(span_line(&format!(r#","parentSpanId":{parent}"#)));
        assert_eq!(telemetry.spans[0].parent, None, "{parent}");
        assert_eq!(messages(&telemetry), [format!("line 1: span {SPAN}: parentSpanId: {message}")], "{parent}");
    }
}

#[test]
fn a_span_without_ids_is_dropped_by_name_and_counted() {
    let line = span_line(r#","name":"good"},{"traceId":"0","spanId":"eee19b7ec3c1b175","name":"bad""#);
    let telemetry = telemetry(line);
    assert_eq!(telemetry.spans.len(), 1);
    assert_eq!(telemetry.reading.dropped_spans, 1);
    assert!(messages(&telemetry)[1].starts_with("line 1: span bad: the span has no valid trace id"), "{:?}", messages(&telemetry));
}

#[test]
fn what_generic_protobuf_libraries_write_is_read() {
    let line = json!({"resource_spans": [{"scope_spans": [{"spans": [{"trace_id": "W47/95gDgQPSabYzgT/GDA==", "span_id": "7uGbfsPBsXQ=",
        "kind": "SPAN_KIND_CLIENT", "status": {"code": "STATUS_CODE_ERROR"}, "start_time_unix_nano": "5",
        "dropped_attributes_count": 1, "attributes": [{"key": "a", "value": {"string_value": "x"}}]}]}]}]});
    let telemetry = telemetry(line.to_string());
    let span = &telemetry.spans[0];
    assert_eq!((span.trace_id.as_str(), span.span_id.as_str(), span.kind, span.status.code), (TRACE, SPAN, 3, 2));
    assert_eq!((span.start_ns, span.dropped_attributes, &span.attributes[0].1), (5, 1, &text("x")));
    let said = messages(&telemetry).join("\n");
    for habit in ["snake_case", "ids are base64", "enumerations are names"] {
        assert_eq!(said.matches(habit).count(), 1, "{said}");
    }
}

#[test]
fn odd_members_of_a_span_cost_themselves_only() {
    for (members, message) in [
        (r#","kind":"SPAN_KIND_ODD""#, "kind: expected a number of the enumeration, found \"SPAN_KIND_ODD\""),
        (r#","kind":-1"#, "kind: expected a number of the enumeration, found -1"),
        (r#","startTimeUnixNano":"soon""#, "startTimeUnixNano: expected nanoseconds since 1970, found \"soon\""),
        (r#","startTimeUnixNano":-5"#, "startTimeUnixNano: expected nanoseconds since 1970, found -5"),
        (
            r#","endTimeUnixNano":"18446744073709551616""#,
            "endTimeUnixNano: expected nanoseconds since 1970, found \"18446744073709551616\"",
        ),
        (r#","attributes":{"a":1}"#, "attributes: expected a list, found an object"),
        (r#","attributes":[7]"#, "attributes: expected an attribute, found 7"),
        (r#","attributes":[{"value":{"intValue":1}}]"#, "attributes: the attribute has no key, so it was dropped"),
        (
            r#","events":[{"name":"e","attributes":[{"key":"k","value":{"intValue":"x"}}]}]"#,
            "events.attributes.k.intValue: expected a whole number, found \"x\"",
        ),
        (r#","links":[{"traceId":""}]"#, "links: the link has no valid trace id and span id, so it was dropped"),
        (r#","flags":{}"#, "flags: expected trace flags, found an object"),
        (r#","status":["x"]"#, "status: expected a status, found a list"),
        (r#","name":"a","name":"b""#, "name: duplicate key; the last one counts"),
    ] {
        let telemetry = telemetry(span_line(members));
        assert_eq!(telemetry.spans.len(), 1, "{members}");
        assert_eq!(messages(&telemetry), [format!("line 1: span {SPAN}: {message}")], "{members}");
    }
}

#[test]
fn a_repeated_attribute_is_reported_and_the_last_one_wins() {
    let many = (0..200).fold(String::new(), |mut all, index| {
        let _ = write!(all, r#"{{"key":"k{}","value":{{"intValue":{index}}}}},"#, index % 199);
        all
    });
    for (attributes, expected) in
        [(r#"{"key":"k0","value":{"intValue":1}},{"key":"k0","value":{"intValue":199}}"#, 199), (many.trim_end_matches(','), 199)]
    {
        let telemetry = telemetry(span_line(&format!(r#","attributes":[{attributes}]"#)));
        assert_eq!(get(&telemetry.spans[0].attributes, "k0"), Some(&AnyValue::Int(expected)));
        assert_eq!(messages(&telemetry), [format!("line 1: span {SPAN}: attributes.k0: the attribute occurs twice; the last one counts")]);
    }
}

#[test]
fn the_resource_and_scope_may_come_after_their_spans() {
    let line = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{TRACE}","spanId":"{SPAN}"}}],"scope":{{"name":"s"}}}}],
        "resource":{{"attributes":[{{"key":"r","value":{{"intValue":1}}}}]}}}},{{"scopeSpans":[{{"spans":[{{"traceId":"{TRACE}","spanId":"{SPAN}"}}]}}]}}]}}"#
    );
    let telemetry = telemetry(line.replace('\n', ""));
    assert_eq!((telemetry.spans[0].scope.name.as_str(), telemetry.spans[0].resource.len()), ("s", 1));
    assert_eq!((telemetry.spans[1].scope.name.as_str(), telemetry.spans[1].resource.len()), ("", 0));
}

#[test]
fn old_scopes_are_read() {
    let line = span_line("").replace("scopeSpans", "instrumentationLibrarySpans");
    let telemetry = telemetry(line);
    assert_eq!(telemetry.spans.len(), 1);
    assert_eq!(messages(&telemetry), ["line 1: `instrumentationLibrarySpans` is read as scopes, its name since 2022"]);
}

#[test]
fn logs_are_read_from_every_generation() {
    let line = json!({"resourceLogs": [{"scopeLogs": [{"scope": {"name": "s"}, "logRecords": [
        {"eventName": "e", "timeUnixNano": "5", "observedTimeUnixNano": "6", "severityNumber": "SEVERITY_NUMBER_WARN", "traceId": TRACE, "spanId": SPAN,
         "body": {"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": "v"}}]}}, "droppedAttributesCount": 1},
        {"observedTimeUnixNano": "6", "severityNumber": 9, "body": {}, "traceId": "", "spanId": null,
         "attributes": [{"key": "event.name", "value": {"stringValue": "old"}}]}]}]}]});
    let telemetry = telemetry(line.to_string());
    let [new, old] = telemetry.logs.as_slice() else { panic!("expected two records") };
    assert_eq!((new.event_name.as_deref(), new.time_ns, new.severity, new.dropped_attributes), (Some("e"), 5, 13, 1));
    assert_eq!((new.trace_id.as_deref(), new.span_id.as_deref(), new.scope.name.as_str()), (Some(TRACE), Some(SPAN), "s"));
    assert_eq!(new.body.to_json(), json!({"k": "v"}));
    assert_eq!((old.event_name.as_deref(), old.time_ns, old.severity, &old.body), (Some("old"), 6, 9, &AnyValue::Null));
    assert_eq!((&old.trace_id, &old.span_id), (&None, &None));
}

#[test]
fn a_body_that_is_nested_too_deeply_is_null() {
    let body = nested(500, r#"{"arrayValue":{"values":["#, "]}}");
    let telemetry =
        telemetry(format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{body}}},{{"body":{{"intValue":1}}}}]}}]}}]}}"#));
    assert_eq!((&telemetry.logs[0].body, &telemetry.logs[1].body), (&AnyValue::Null, &AnyValue::Int(1)));
    assert_eq!(messages(&telemetry), ["line 1: body: nested deeper than 64 levels, so it was dropped"]);
}

#[test]
fn every_framing_of_json_gives_the_same() {
    let line = span_line("");
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&line).unwrap()).unwrap();
    for (text, spans) in [
        (line.clone(), 1),
        (format!("{line}\n{line}\n"), 2),
        (format!("\u{feff}{line}\r\n\r\n{line}\r\n"), 2),
        (format!("{line}{line}"), 2),
        (format!("[{line},{line}]"), 2),
        (format!("[\n{line},\n{line}\n]\n"), 2),
        (pretty.clone(), 1),
        (format!("\n\n{pretty}\n{pretty}\n"), 2),
        (format!("[{pretty}]"), 1),
        (format!("{{\"resourceMetrics\":[],{}", &line[1..]), 1),
    ] {
        let telemetry = telemetry(&text);
        assert_eq!((telemetry.spans.len(), messages(&telemetry)), (spans, vec![]), "{text}");
    }
}

#[test]
fn a_torn_last_line_is_a_warning_and_its_complete_spans_are_kept() {
    let line = span_line("");
    let two = span_line(&format!(r#"}},{{"traceId":"{TRACE}","spanId":"eee19b7ec3c1b175","name":"xyz""#));
    let torn = &two[..two.find("xyz").unwrap()];
    let telemetry = telemetry(format!("{line}\n{torn}"));
    assert_eq!(telemetry.spans.len(), 2);
    assert_eq!(messages(&telemetry), ["line 2: the last line is cut off; 1 complete records before that were kept"]);
    assert_eq!(telemetry.reading.diagnostics[0].severity, Severity::Warning);
}

#[test]
fn a_broken_line_is_named_and_the_others_are_read() {
    let line = span_line("");
    for (text, said) in [
        (format!("{line}\n{}\n{line}\n", &line[..50]), "line 2: the line is cut off"),
        (format!("{}\n{line}\n{line}\n", &line[..50]), "line 1: the line is cut off"),
        (format!("{line}\nnonsense\n{line}"), "line 2: not JSON: expected ident at line 1 column 2"),
        (format!("{line}\n{{\"a\" 1}}\n{line}"), "line 2: not JSON: expected `:` at line 1 column 6"),
        (format!("{line}\n42\n{line}"), "line 2: expected an object with resourceSpans or resourceLogs, found 42"),
    ] {
        let telemetry = telemetry(&text);
        assert_eq!((telemetry.spans.len(), messages(&telemetry)), (2, vec![said.to_owned()]), "{text}");
        assert_eq!(telemetry.reading.diagnostics[0].severity, Severity::Error, "{text}");
    }
}

#[test]
fn a_torn_document_over_several_lines_keeps_its_complete_spans() {
    let two = span_line(&format!(r#"}},{{"traceId":"{TRACE}","spanId":"eee19b7ec3c1b175","name":"xyz""#));
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&two).unwrap()).unwrap();
    let telemetry = telemetry(&pretty[..pretty.find("xyz").unwrap()]);
    assert_eq!(telemetry.spans.len(), 1);
    assert!(messages(&telemetry)[0].contains("cut off; 1 complete records"), "{:?}", messages(&telemetry));
}

#[test]
fn what_strict_parsers_refuse_is_repaired() {
    for (json, expected, repair) in [
        (r#"{"stringValue":"a\ud800b"}"#, text("a\u{fffd}b"), "lone surrogates replaced by U+FFFD (1)"),
        ("{\"stringValue\":\"a\tb\"}", text("a\tb"), "control characters in strings escaped (1)"),
        (r#"{"stringValue":"it\'s"}"#, text("it's"), "unknown escapes replaced (1)"),
        (r#"{"doubleValue":Infinity}"#, AnyValue::Double(f64::INFINITY), "numbers beyond JSON read as text (1)"),
        (r#"{"doubleValue":-1e999}"#, AnyValue::Double(f64::NEG_INFINITY), "numbers beyond JSON read as text (1)"),
    ] {
        assert_eq!(value(json), (Some(expected), vec![format!("line 1: {repair}")]), "{json}");
    }
    let mut bytes = value_line(r#"{"stringValue":"a?b"}"#).into_bytes();
    let at = bytes.iter().position(|byte| *byte == b'?').unwrap();
    bytes[at] = 0xff;
    let telemetry = telemetry(bytes);
    assert_eq!(get(&telemetry.spans[0].attributes, "a"), Some(&text("a\u{fffd}b")));
    assert_eq!(messages(&telemetry), ["line 1: the text is not UTF-8; invalid bytes are read as U+FFFD"]);
}

#[test]
fn a_file_without_telemetry_says_what_it_looks_like() {
    for (text, said) in [
        ("", "the file is empty"),
        ("  \n", "not OTLP: expected resourceSpans or resourceLogs, found no object with keys"),
        ("hello", "not OTLP: neither JSON nor protobuf, plain or compressed by gzip or zstd"),
        (
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m"},{"name":"n"}]}]}]}"#,
            "metrics only (2); expected traces or logs",
        ),
        (r#"{"seq":1,"request":{},"response":{}}"#, "not OTLP: it looks like a wire file (request and response); name it as wire"),
        (r#"{"id":"x","observations":[]}"#, r#"not OTLP: expected resourceSpans or resourceLogs, found "id", "observations""#),
        (r#"{"resourceSpans":[]}"#, "OTLP without spans and log records"),
        ("{}", "not OTLP: expected resourceSpans or resourceLogs, found no object with keys"),
        ("\u{feff}", "not OTLP: expected resourceSpans or resourceLogs, found no object with keys"),
    ] {
        assert_eq!(messages(&telemetry(text)), [said], "{text}");
    }
    assert_eq!(messages(&telemetry(b"\xff\xfe{\0}\0")), ["the file is UTF-16 text; save it as UTF-8"]);
}

#[test]
fn diagnostics_are_capped_and_the_rest_counted() {
    let telemetry = telemetry("x\n".repeat(250).replacen('x', "{}", 1));
    assert_eq!(telemetry.reading.diagnostics.len(), limit::DIAGNOSTICS);
    assert_eq!(telemetry.reading.more_diagnostics, 250 - limit::DIAGNOSTICS);
    assert!(messages(&telemetry)[0].starts_with("not OTLP"));
}

// Protobuf.

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A length-delimited field.
fn field(number: usize, content: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(content.len()), content.to_vec()].concat()
}

fn protobuf_span(attributes: &[u8]) -> Vec<u8> {
    [field(1, &[1; 16]), field(2, &[2; 8]), attributes.to_vec(), vec![7 << 3 | 1, 9, 0, 0, 0, 0, 0, 0, 0]].concat()
}

fn protobuf_request(record: &[u8]) -> Vec<u8> {
    field(1, &field(2, &field(2, record)))
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn protobuf_and_json_of_one_capture_agree() {
    let span = telemetry(include_bytes!("captures/otlp/span.pb"));
    assert_eq!((span.spans.len(), messages(&span)), (1, vec![]));
    assert_eq!(span.spans, telemetry(include_bytes!("captures/otlp/span.jsonl")).spans);
    let log = telemetry(include_bytes!("captures/otlp/log.pb"));
    assert_eq!((log.logs.len(), log.spans.len(), messages(&log)), (2, 0, vec![]));
    assert_eq!(log.logs, telemetry(include_bytes!("captures/otlp/log.jsonl")).logs);
    let metrics = telemetry(include_bytes!("captures/otlp/metrics.pb"));
    assert_eq!(metrics.reading.metrics, 1, "{:?}", messages(&metrics));
}

#[test]
fn every_framing_and_compression_gives_the_same() {
    let json: &[u8] = include_bytes!("captures/otlp/span.jsonl");
    let protobuf: &[u8] = include_bytes!("captures/otlp/span.pb");
    let expected = telemetry(json).spans;
    for (what, bytes, count) in [
        ("gzip of JSON lines", gzip(&json.repeat(2)), 2),
        ("zstd of JSON lines", zstd(&json.repeat(2)), 2),
        ("two zstd frames", [zstd(json), zstd(json)].concat(), 2),
        ("gzip of protobuf", gzip(protobuf), 1),
        ("frames of protobuf", framed(protobuf).repeat(3), 3),
        ("gzip of frames", gzip(&framed(protobuf).repeat(3)), 3),
        ("frames of zstd of JSON", framed(&zstd(json)).repeat(2), 2),
        ("frames of gzip of protobuf", framed(&gzip(protobuf)).repeat(2), 2),
        ("frames of JSON", framed(json), 1),
        ("an empty frame between", [framed(protobuf), framed(b""), framed(protobuf)].concat(), 2),
    ] {
        let telemetry = telemetry(bytes);
        assert_eq!(messages(&telemetry), [""; 0], "{what}");
        assert_eq!(telemetry.spans, vec![expected.clone(); count].concat(), "{what}");
    }
}

#[test]
fn what_is_cut_off_keeps_what_came_before() {
    let protobuf: &[u8] = include_bytes!("captures/otlp/span.pb");
    let frames = framed(protobuf).repeat(2);
    let torn = telemetry(&frames[..frames.len() - 10]);
    assert_eq!((torn.spans.len(), messages(&torn)), (1, vec!["line 2: the last message is cut off".to_owned()]));
    let lines: String =
        (0..5000_u32).map(|index| span_line(&format!(r#","name":"{}""#, index.wrapping_mul(2_654_435_761))) + "\n").collect();
    for compressed in [gzip(lines.as_bytes()), zstd(lines.as_bytes())] {
        let cut = telemetry(&compressed[..compressed.len() / 2]);
        assert!(cut.spans.len() > 100, "{} {:?}", cut.spans.len(), messages(&cut));
        assert!(messages(&cut).iter().any(|message| message.starts_with("the compressed stream is cut off or broken")));
    }
}

#[test]
fn a_bomb_is_refused() {
    let blank = [&[b' '; 1 << 20], b"\n".as_slice()].concat();
    let bomb = gzip(&blank.repeat(usize::try_from(limit::TRACE_BYTES).unwrap() >> 20));
    assert!(bomb.len() < 1 << 20);
    let fault = read_all(bomb.as_slice()).unwrap_err();
    assert_eq!(fault.message, "expected at most 67108864 bytes (after decompression), found more");
    assert!(fault.help.is_some());
    // A stream may be as long, but its lines may not.
    assert_eq!(read(bomb.as_slice(), &mut |_| {}).unwrap().spans, 0);
    let line = gzip(&vec![b' '; limit::LINE_BYTES + 2]);
    assert_eq!(read(line.as_slice(), &mut |_| {}).unwrap_err().message, fault.message);
}

#[test]
fn what_is_small_on_the_wire_and_large_in_memory_is_limited() {
    let empty = |count: usize| "{},".repeat(count) + "{}";
    let values = value_line(&format!(r#"{{"arrayValue":{{"values":[{}]}}}}"#, empty(limit::TRACE_VALUES)));
    let logs = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{}]}}]}}]}}"#, empty(limit::TRACE_SPANS));
    for text in [values, logs] {
        let fault = read(text.as_bytes(), &mut |_| {}).unwrap_err();
        assert!(fault.message.starts_with("expected at most 500000 spans"), "{fault}");
    }
    let parts = [0x0a, 0].repeat(limit::TRACE_SPANS + 1);
    assert!(messages(&telemetry(&parts))[0].ends_with("expected at most 500000 parts, found more"));
}

#[test]
fn a_broken_part_of_protobuf_costs_itself_only() {
    let good = field(9, &[field(1, b"z"), field(2, &field(1, b"kept"))].concat());
    let value = |value: &[u8]| field(9, &[field(1, b"a"), field(2, value)].concat());
    let deep = (0..200).fold(field(1, b"x"), |inner, _| field(5, &field(1, &inner)));
    for (attribute, expected, said) in [
        (
            value(&field(1, b"a\xffb")),
            Some(text("a\u{fffd}b")),
            "attributes.a.stringValue: the text is not UTF-8; invalid bytes are read as U+FFFD",
        ),
        (value(&[0x0a, 0x20]), None, "attributes.a.value: not a protobuf message"),
        (field(9, &[0xff]), None, "attributes.attribute: not a protobuf message"),
        (value(&deep), None, "attributes.a: nested deeper than 64 levels, so the attribute was dropped"),
    ] {
        let telemetry = telemetry(protobuf_request(&protobuf_span(&[attribute, good.clone()].concat())));
        assert_eq!(get(&telemetry.spans[0].attributes, "a"), expected.as_ref(), "{said}");
        assert_eq!(get(&telemetry.spans[0].attributes, "z"), Some(&text("kept")), "{said}");
        assert!(messages(&telemetry)[0].starts_with(&format!("span 0202020202020202: {said}")), "{:?}", messages(&telemetry));
    }
    let two = [field(2, &[0x0a, 0x50]), field(2, &protobuf_span(&[]))].concat();
    let telemetry = telemetry(field(1, &field(2, &two)));
    assert_eq!((telemetry.spans.len(), telemetry.reading.dropped_spans), (1, 1));
}

#[test]
fn what_is_no_protobuf_is_said_to_be_none() {
    let telemetry = telemetry(b"\x0a\x7f\x01\x02");
    assert!(messages(&telemetry).iter().any(|message| message.contains("not OTLP protobuf")), "{:?}", messages(&telemetry));
}

#[test]
fn batches_come_one_by_one_with_their_lines() {
    let text = format!("{0}\n\n{0}\n", span_line(""));
    let mut lines = Vec::new();
    let reading = read(text.as_bytes(), &mut |batch: Batch| lines.push((batch.line, batch.spans.len()))).unwrap();
    assert_eq!((lines, reading.spans), (vec![(1, 1), (3, 1)], 2));
}

// Generated input.

/// A span as OTLP/JSON has it.
fn span_to_json(span: &Span) -> Value {
    let events: Vec<Value> = span
        .events
        .iter()
        .map(|event| json!({"name": event.name, "timeUnixNano": event.time_ns.to_string(), "attributes": attributes_to_json(&event.attributes)}))
        .collect();
    let mut json = json!({
        "traceId": span.trace_id, "spanId": span.span_id, "name": span.name, "kind": span.kind,
        "startTimeUnixNano": span.start_ns.to_string(), "endTimeUnixNano": span.end_ns,
        "attributes": attributes_to_json(&span.attributes), "events": events,
        "status": {"code": span.status.code, "message": span.status.message},
        "droppedAttributesCount": span.dropped_attributes, "flags": span.flags,
    });
    if let Some(parent) = &span.parent {
        json["parentSpanId"] = Value::from(parent.as_str());
    }
    json
}

fn attributes_to_json(attributes: &Attributes) -> Value {
    attributes.iter().map(|(key, value)| json!({"key": key, "value": value_to_json(value)})).collect()
}

fn value_to_json(value: &AnyValue) -> Value {
    match value {
        AnyValue::Null => json!({}),
        AnyValue::Bool(truth) => json!({"boolValue": truth}),
        AnyValue::Int(number) => json!({"intValue": number.to_string()}),
        AnyValue::Double(_) => json!({"doubleValue": value.to_json()}),
        AnyValue::Text(text) => json!({"stringValue": text}),
        AnyValue::Bytes(_) => json!({"bytesValue": value.to_json()}),
        AnyValue::List(members) => json!({"arrayValue": {"values": members.iter().map(value_to_json).collect::<Vec<_>>()}}),
        AnyValue::Map(members) => json!({"kvlistValue": {"values": attributes_to_json(members)}}),
    }
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(AnyValue::Null),
        any::<bool>().prop_map(AnyValue::Bool),
        any::<i64>().prop_map(AnyValue::Int),
        (any::<f64>().prop_filter("NaN is not equal to itself", |number| !number.is_nan())).prop_map(AnyValue::Double),
        any::<String>().prop_map(AnyValue::Text),
        any::<Vec<u8>>().prop_map(AnyValue::Bytes),
    ];
    leaf.prop_recursive(6, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(AnyValue::List),
            prop::collection::vec((".+", inner), 0..4).prop_map(AnyValue::Map),
        ]
    })
}

fn any_attributes() -> impl Strategy<Value = Attributes> {
    prop::collection::btree_map(".+", any_value(), 0..6).prop_map(|attributes| attributes.into_iter().collect())
}

fn any_span() -> impl Strategy<Value = Span> {
    let ids = (1..=u128::MAX, 2..=u64::MAX, any::<bool>());
    let texts = (any::<String>(), any::<String>());
    let numbers = (0..6_u8, 0..3_u8, any::<u64>(), any::<u64>(), any::<u32>(), any::<Option<u32>>());
    (ids, texts, numbers, any_attributes(), any_attributes()).prop_map(|(ids, texts, numbers, attributes, event)| Span {
        trace_id: format!("{:032x}", ids.0),
        span_id: format!("{:016x}", ids.1),
        parent: ids.2.then(|| format!("{:016x}", ids.1 - 1)),
        name: texts.0,
        kind: numbers.0,
        start_ns: numbers.2,
        end_ns: numbers.3,
        attributes,
        events: vec![relapse::otlp::Event { name: texts.1.clone(), time_ns: numbers.3, attributes: event }],
        status: Status { code: numbers.1, message: texts.1 },
        dropped_attributes: numbers.4,
        flags: numbers.5,
        ..Span::default()
    })
}

fn capture(index: usize) -> &'static [u8] {
    let captures: [&[u8]; 5] = [
        include_bytes!("captures/otlp/span.jsonl"),
        include_bytes!("captures/otlp/log.jsonl"),
        include_bytes!("captures/otlp/span.pb"),
        include_bytes!("captures/otlp/log.pb"),
        include_bytes!("captures/otlp/metrics.pb"),
    ];
    captures[index % captures.len()]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_valid_span_survives_being_written_and_read(span in any_span()) {
        let document = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span_to_json(&span)]}]}]});
        for text in [document.to_string(), serde_json::to_string_pretty(&document).unwrap()] {
            let telemetry = telemetry(text);
            prop_assert_eq!(messages(&telemetry), Vec::<String>::new());
            prop_assert_eq!(telemetry.spans, vec![span.clone()]);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
        let _ = read_all(bytes.as_slice());
    }

    #[test]
    fn no_text_makes_it_panic(text in r#"[\[\]{},:"\\ \n0-9a-fu.+NI-]{0,80}"#) {
        let _ = read_all(text.as_bytes());
        let _ = read_all(value_line(&text).as_bytes());
    }

    #[test]
    fn no_damage_to_a_capture_makes_it_panic(index in 0..5_usize, at in any::<prop::sample::Index>(), new in any::<Vec<u8>>(), cut in any::<bool>()) {
        let mut bytes = capture(index).to_vec();
        let at = at.index(bytes.len());
        let end = if cut { bytes.len() } else { (at + new.len()).min(bytes.len()) };
        bytes.splice(at..end, new);
        let _ = read_all(bytes.as_slice());
        let _ = read_all(framed(&bytes).as_slice());
        let _ = read_all(gzip(&bytes).as_slice());
    }
}

/// Runs over a folder of captures that is not part of the repository.
#[test]
fn every_captured_file_is_read_without_a_word() {
    let Some(folder) = std::env::var_os("RELAPSE_CAPTURES") else {
        let _ = writeln!(std::io::stderr(), "skipped: RELAPSE_CAPTURES names no folder of OTLP captures");
        return;
    };
    let mut files = 0;
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy();
        let otlp = name.ends_with(".jsonl") && !name.ends_with(".http.jsonl") && name != "index.jsonl";
        if !otlp && !name.ends_with("-traces.pb") && !name.ends_with("-logs.pb") {
            continue;
        }
        let telemetry = read_all(std::fs::File::open(entry.path()).unwrap()).unwrap();
        assert_eq!(messages(&telemetry), [""; 0], "{}", entry.path().display());
        assert!(telemetry.spans.len() + telemetry.logs.len() > 0, "{}", entry.path().display());
        files += 1;
    }
    assert!(files > 0);
}
