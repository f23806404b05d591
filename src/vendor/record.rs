//! A record: one JSON object of a vendor's export, whose members may be spelt in camelCase or snake_case.

use serde_json::{Map, Value};
use std::borrow::Cow;

/// One JSON object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a>(&'a Map<String, Value>);

impl<'a> Record<'a> {
    pub(super) fn of(value: &'a Value) -> Option<Self> {
        value.as_object().map(Self)
    }

    /// A member that is not null, by its name in camelCase or in snake_case.
    pub(super) fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).or_else(|| self.0.get(&snake(name))).filter(|value| !value.is_null())
    }

    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A number, also one written as text.
    pub(super) fn number(self, name: &str) -> Option<f64> {
        self.get(name).and_then(number)
    }

    /// Nanoseconds since 1970, or 0: RFC 3339, with or without an offset (UTC then), or a number of s, ms, µs or ns.
    pub(super) fn time(self, name: &str) -> u64 {
        self.get(name).and_then(time).unwrap_or(0)
    }

    pub(super) fn list(self, name: &str) -> &'a [Value] {
        self.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(super) fn map(self, name: &str) -> Option<Self> {
        self.get(name).and_then(Self::of)
    }

    pub(super) fn has(self, name: &str) -> bool {
        self.0.contains_key(name) || self.0.contains_key(&snake(name))
    }

    pub(super) fn members(self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}

fn snake(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// A number, also one written as text.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    number.is_finite().then_some(number)
}

fn time(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => moment(text).or_else(|| number(value).map(since_epoch)),
        // Nanoseconds are more than a float holds.
        other => other.as_u64().filter(|nanos| *nanos > NANOS).or_else(|| number(other).map(since_epoch)),
    }
}

fn moment(text: &str) -> Option<u64> {
    let text = text.trim();
    let with_offset = || chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    let without = || {
        let parsed =
            ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"].iter().find_map(|form| chrono::NaiveDateTime::parse_from_str(text, form).ok());
        parsed.map(|time| time.and_utc())
    };
    u64::try_from(with_offset().or_else(without)?.timestamp_nanos_opt()?).ok()
}

/// Numbers beyond this are nanoseconds.
const NANOS: u64 = 100_000_000_000_000_000;

/// A time since 1970 whose size tells its unit: no trace is older than 1971 or younger than 5000.
fn since_epoch(number: f64) -> u64 {
    let nanos = match number {
        number if number < 1e11 => number * 1e9,
        number if number < 1e14 => number * 1e6,
        number if number < 1e17 => number * 1e3,
        number => number,
    };
    nanos.max(0.0) as u64
}

/// A text as it is, anything else as JSON.
pub(super) fn written(value: &Value) -> Cow<'_, str> {
    value.as_str().map_or_else(|| value.to_string().into(), Cow::Borrowed)
}

/// A value that some exporters encode as JSON in a text, decoded; other texts stay what they are.
pub(super) fn decoded(value: &Value) -> Cow<'_, Value> {
    let decode = |text: &str| serde_json::from_str::<Value>(text).ok();
    match value {
        Value::String(text) if text.trim_start().starts_with(['{', '[', '"']) => match decode(text) {
            Some(Value::String(inner)) if inner.trim_start().starts_with(['{', '[']) => {
                decode(&inner).map_or_else(|| Cow::Owned(Value::String(inner)), Cow::Owned)
            }
            Some(value) => Cow::Owned(value),
            None => Cow::Borrowed(value),
        },
        _ => Cow::Borrowed(value),
    }
}

/// The one text of an object of inputs or outputs, where there is one; else the object.
pub(super) fn plain(value: &Value) -> String {
    const USUAL: [&str; 10] = ["input", "question", "query", "text", "prompt", "output", "answer", "result", "content", "response"];
    let Some(map) = value.as_object() else { return written(value).into_owned() };
    let only = || map.values().next().filter(|_| map.len() == 1).and_then(Value::as_str);
    let usual = || USUAL.iter().find_map(|key| map.get(*key).and_then(Value::as_str));
    only().or_else(usual).map_or_else(|| value.to_string(), str::to_string)
}

/// The first of several places at which there is something.
pub(super) fn first<'a>(value: &'a Value, pointers: &[&str]) -> Option<&'a Value> {
    pointers.iter().find_map(|pointer| value.pointer(pointer).filter(|found| !found.is_null()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_read_in_every_spelling() {
        let value = json!({"a": "2025-06-11T14:01:32.598Z", "b": "2025-06-11T14:01:32.598", "c": "2025-06-11 14:01:32.598000", "d": 1_749_650_492.598,
            "e": 1_749_650_492_598_u64, "f": "yesterday", "g": -5, "started_at": 1_749_650_492_598_000_000_u64});
        let record = Record::of(&value).unwrap();
        for name in ["a", "b", "c", "d", "e", "startedAt"] {
            assert_eq!(record.time(name) / 1_000_000, 1_749_650_492_598, "{name}");
        }
        assert_eq!((record.time("f"), record.time("g"), record.time("h")), (0, 0, 0));
    }

    #[test]
    fn json_in_a_text_is_decoded_as_often_as_it_was_encoded() {
        assert_eq!(*decoded(&json!(r#""{\"a\":1}""#)), json!({"a": 1}));
        assert_eq!(*decoded(&json!(r#""plain""#)), json!("plain"));
        assert_eq!(*decoded(&json!("{broken")), json!("{broken"));
    }
}
