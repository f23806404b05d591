//! Plain scalars and JSON: YAML 1.2's core rules, and nothing that loses what was written.

use super::{Key, Node, Yaml};
use crate::fault::Place;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

/// Whether a plain scalar says that there is nothing.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// The flag that a plain scalar says; `yes` and `on` are texts.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// The number that a plain scalar says.
///
/// `010` is not a number: YAML 1.1 reads eight, YAML 1.2 ten, and the person meant an identifier. Neither is a number
/// that neither 64 bits nor a finite double can hold: it would come back as another one.
pub(super) fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let has_leading_zero = unsigned.len() > 1 && unsigned.starts_with('0') && unsigned.as_bytes()[1].is_ascii_digit();
    if has_leading_zero {
        return None;
    }
    if is_digits(unsigned) {
        return whole(text);
    }
    if !is_float(unsigned) {
        return None;
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

fn radix(digits: &str, base: u32) -> Option<Number> {
    let is_valid = digits.chars().all(|digit| digit.is_digit(base));
    is_valid.then(|| u64::from_str_radix(digits, base).ok()).flatten().map(Number::from)
}

fn whole(text: &str) -> Option<Number> {
    let text = text.strip_prefix('+').unwrap_or(text);
    text.parse::<u64>().map(Number::from).or_else(|_| text.parse::<i64>().map(Number::from)).ok()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    if exponent.is_some_and(|exponent| !is_digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))) {
        return false;
    }
    match mantissa.split_once('.') {
        Some(("", fraction)) => is_digits(fraction),
        Some((before, fraction)) => is_digits(before) && (fraction.is_empty() || is_digits(fraction)),
        None => is_digits(mantissa),
    }
}

impl Node {
    /// The value as JSON: plain scalars are typed by YAML 1.2's core rules, with the exceptions that `010`, `.inf` and
    /// integers beyond 64 bits stay texts; bytes become base64.
    pub fn to_json(&self) -> Value {
        match &self.value {
            Yaml::Null => Value::Null,
            Yaml::Plain(text) => plain(text),
            Yaml::Quoted(text) => Value::from(text.as_str()),
            Yaml::Binary(bytes) => Value::from(STANDARD.encode(bytes)),
            Yaml::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Yaml::Map(entries) => entries.iter().map(|(key, node)| (key.name.clone(), node.to_json())).collect::<Map<_, _>>().into(),
        }
    }

    /// The tree of a JSON value, all of it at one place.
    pub fn from_json(value: &Value, place: &Place) -> Self {
        let key = |name: &String| Key { place: place.clone(), name: name.clone() };
        let value = match value {
            Value::Null => Yaml::Null,
            Value::Bool(flag) => Yaml::Plain(flag.to_string()),
            Value::Number(number) => Yaml::Plain(number.to_string()),
            Value::String(text) => Yaml::Quoted(text.clone()),
            Value::Array(items) => Yaml::List(items.iter().map(|item| Self::from_json(item, place)).collect()),
            Value::Object(map) => Yaml::Map(map.iter().map(|(name, value)| (key(name), Self::from_json(value, place))).collect()),
        };
        Self { place: place.clone(), value }
    }
}

fn plain(text: &str) -> Value {
    if let Some(flag) = flag(text) {
        return Value::Bool(flag);
    }
    number(text).map_or_else(|| Value::from(text), Value::Number)
}
