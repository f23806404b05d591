//! Secrets that a stream cuts in two: a model that repeats one sends it in pieces, and no piece looks like a secret.

use crate::redact::Redactor;
use crate::wire::{Event, Payload, Response};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Redacts texts that are whole only over several events: the first event of such a text gets all of it, redacted, and
/// the others get none. Where anything is redacted, the cuts between pieces mean nothing any more.
pub(super) fn join_secrets(response: &mut Response, redactor: &Redactor) {
    let Payload::Events(events) = &mut response.payload else { return };
    if events.iter().any(|event| matches!(redactor.redact(&event.data), Cow::Owned(_))) {
        response.cuts.clear();
    }
    let mut parsed: Vec<Option<Value>> = events.iter().map(|event| crate::wire::json(&event.data)).collect();
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for json in parsed.iter().flatten() {
        each_text("", json, &mut |pointer, text| texts.entry(pointer.to_string()).or_default().push_str(text));
    }
    for (pointer, whole) in texts {
        // What is a secret in one event only is found when the line is written.
        if let Cow::Owned(redacted) = redactor.redact(&whole) {
            response.cuts.clear();
            replace(&mut parsed, events, &pointer, redacted);
        }
    }
}

fn replace(parsed: &mut [Option<Value>], events: &mut [Event], pointer: &str, redacted: String) {
    let mut rest = redacted;
    for (json, event) in parsed.iter_mut().zip(events) {
        let Some(place) = json.as_mut().and_then(|json| json.pointer_mut(pointer)).filter(|place| place.is_string()) else { continue };
        *place = Value::from(std::mem::take(&mut rest));
        event.data = json.as_ref().map(Value::to_string).unwrap_or_default();
    }
}

/// Every text in a value with the pointer to it.
fn each_text(pointer: &str, json: &Value, take: &mut impl FnMut(&str, &str)) {
    match json {
        Value::String(text) => take(pointer, text),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                each_text(&format!("{pointer}/{index}"), item, take);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                each_text(&format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")), item, take);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(events: Vec<Event>) -> Response {
        let headers = BTreeMap::new();
        Response { status: 200, headers, payload: Payload::Events(events), cuts: vec![7], end: crate::wire::End::Complete }
    }

    fn stream(pieces: &[&str]) -> Response {
        let event = |piece: &&str| Event {
            t_ms: 1.0,
            event: None,
            data: serde_json::json!({"id": "x", "choices": [{"delta": {"content": piece}}]}).to_string(),
        };
        response(pieces.iter().map(event).chain([Event { data: "[DONE]".into(), ..Event::default() }]).collect())
    }

    #[test]
    fn a_secret_in_pieces_is_gone_and_the_text_around_it_stays() {
        let redactor = Redactor::new([("APP_KEY".to_string(), "correct-horse-9".to_string())]).unwrap();
        let mut cut = stream(&["The key is corr", "ect-ho", "rse-9, keep it", "."]);
        join_secrets(&mut cut, &redactor);
        assert!(cut.cuts.is_empty());
        assert_eq!(cut.payload, stream(&["The key is [redacted:app-key:1], keep it.", "", "", ""]).payload);
    }

    #[test]
    fn a_stream_without_secrets_stays_byte_for_byte() {
        let data = r#"{ "b": 1.0, "a": "x" }"#;
        let mut plain = response(vec![Event { data: data.into(), ..Event::default() }]);
        let before = plain.clone();
        join_secrets(&mut plain, &Redactor::default());
        assert_eq!(plain, before);
    }
}
