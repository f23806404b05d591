//! Secrets that a stream cuts in two: a model that repeats one sends it in pieces, and no piece looks like a secret.

use super::leaf;
use crate::redact::Redactor;
use crate::wire::{self, Event, Payload, Response};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Redacts texts that are whole only over several events: the first event of such a text gets all of it, redacted, and
/// the others get none. Where anything is redacted, the cuts between pieces mean nothing any more.
pub(super) fn join_secrets(response: &mut Response, redactor: &Redactor) {
    let Payload::Events(events) = &mut response.payload else { return };
    // What is a secret in one event only is replaced when the line is written.
    if !response.cuts.is_empty() && events.iter().any(|event| matches!(redactor.redact(&event.data), Cow::Owned(_))) {
        response.cuts.clear();
    }
    let redacted = joined(events).into_iter().filter_map(|(pointer, whole)| match redactor.redact(&whole) {
        Cow::Owned(redacted) => Some((pointer, redacted)),
        Cow::Borrowed(_) => None,
    });
    let redacted: Vec<(String, String)> = redacted.collect();
    if !redacted.is_empty() {
        response.cuts.clear();
        replace(events, redacted);
    }
}

/// Every text of a stream by its place in the events, joined over all of them.
fn joined(events: &[Event]) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for event in events {
        leaf::each(&wire::mended(&event.data), &mut |pointer, text| match texts.get_mut(pointer) {
            Some(whole) => whole.push_str(text),
            None => drop(texts.insert(pointer.to_string(), text.to_string())),
        });
    }
    texts
}

/// Puts each text whole into the first event that has a part of it.
fn replace(events: &mut [Event], texts: Vec<(String, String)>) {
    let mut parsed: Vec<Option<Value>> = events.iter().map(|event| wire::json(&event.data)).collect();
    for (pointer, text) in texts {
        let mut rest = text;
        for (json, event) in parsed.iter_mut().zip(&mut *events) {
            let Some(place) = json.as_mut().and_then(|json| json.pointer_mut(&pointer)).filter(|place| place.is_string()) else { continue };
            *place = Value::from(std::mem::take(&mut rest));
            event.data = json.as_ref().map(Value::to_string).unwrap_or_default();
        }
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
