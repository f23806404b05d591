//! Secrets that a stream cuts in two: a model that repeats one sends it in pieces, and no piece looks like a secret.

use crate::redact::Redactor;
use crate::wire::{Event, Payload};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Redacts texts that are whole only over several events: the first event of such a text gets all of it, redacted, and
/// the others get none.
pub(super) fn join_secrets(payload: &mut Payload, redactor: &Redactor) {
    let Payload::Events(events) = payload else { return };
    let mut parsed: Vec<Option<Value>> = events.iter().map(|event| crate::wire::json(&event.data)).collect();
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for json in parsed.iter().flatten() {
        each_text("", json, &mut |pointer, text| texts.entry(pointer.to_string()).or_default().push_str(text));
    }
    for (pointer, whole) in texts {
        // What is a secret in one event only is found when the line is written.
        if let Cow::Owned(redacted) = redactor.redact(&whole) {
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

    fn payload(pieces: &[&str]) -> Payload {
        let event = |piece: &&str| Event {
            t_ms: 1.0,
            event: None,
            data: serde_json::json!({"id": "x", "choices": [{"delta": {"content": piece}}]}).to_string(),
        };
        Payload::Events(pieces.iter().map(event).chain([Event { data: "[DONE]".into(), ..Event::default() }]).collect())
    }

    #[test]
    fn a_secret_in_pieces_is_gone_and_the_text_around_it_stays() {
        let redactor = Redactor::new([("APP_KEY".to_string(), "correct-horse-9".to_string())]).unwrap();
        let mut cut = payload(&["The key is corr", "ect-ho", "rse-9, keep it", "."]);
        join_secrets(&mut cut, &redactor);
        assert_eq!(cut, payload(&["The key is [redacted:app-key:1], keep it.", "", "", ""]));
    }

    #[test]
    fn a_stream_without_secrets_stays_byte_for_byte() {
        let data = r#"{ "b": 1.0, "a": "x" }"#;
        let mut plain = Payload::Events(vec![Event { data: data.into(), ..Event::default() }]);
        join_secrets(&mut plain, &Redactor::default());
        assert_eq!(plain, Payload::Events(vec![Event { data: data.into(), ..Event::default() }]));
    }
}
