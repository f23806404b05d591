//! A value: what an attribute or a log body holds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Attributes in the order in which they were exported; use [`get`] to look one up.
pub type Attributes = Vec<(String, AnyValue)>;

/// The value of an attribute, a log body or a member of one of these.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum AnyValue {
    /// No value: an empty `AnyValue`, or a null member of a list.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number. JavaScript exports `1.0` as one, so compare numbers with [`AnyValue::as_f64`].
    Int(i64),
    /// A floating-point number, which may be NaN or infinite.
    Double(f64),
    /// Text.
    Text(String),
    /// Bytes, which are never text.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Self>),
    /// Keys and values in the order in which they were exported.
    Map(Attributes),
}

impl AnyValue {
    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The number, if it is one of either kind.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            _ => None,
        }
    }

    /// The number, also when it is spelt as text (`"42"`, `" 0.5 "`); `"NaN"` and `"inf"` are not numbers here.
    pub fn parse_f64(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            other => other.as_f64(),
        }
    }

    /// The whole number, also when it is a floating-point number without a fraction.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Double(number) => super::scalar::whole(*number),
            _ => None,
        }
    }

    /// The members, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(members) => Some(members),
            _ => None,
        }
    }

    /// The keys and values, if it is a map.
    pub fn as_map(&self) -> Option<&[(String, Self)]> {
        match self {
            Self::Map(members) => Some(members),
            _ => None,
        }
    }

    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// The value as plain JSON: bytes become base64, numbers that JSON cannot hold become `"NaN"`, `"Infinity"` or
    /// `"-Infinity"`, and of two equal keys the last wins.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Int(number) => Value::from(*number),
            Self::Double(number) => double_to_json(*number),
            Self::Text(text) => Value::from(text.as_str()),
            Self::Bytes(bytes) => Value::from(STANDARD.encode(bytes)),
            Self::List(members) => members.iter().map(Self::to_json).collect(),
            Self::Map(members) => members.iter().map(|(key, value)| (key.clone(), value.to_json())).collect(),
        }
    }
}

fn double_to_json(number: f64) -> Value {
    match number {
        number if number.is_nan() => Value::from("NaN"),
        f64::INFINITY => Value::from("Infinity"),
        f64::NEG_INFINITY => Value::from("-Infinity"),
        number => Value::from(number),
    }
}

/// The value of a key; of two equal keys the last wins.
pub fn get<'a>(attributes: &'a [(String, AnyValue)], key: &str) -> Option<&'a AnyValue> {
    attributes.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_last_of_two_equal_keys_wins() {
        let attributes = vec![("a".to_owned(), AnyValue::Int(1)), ("b".to_owned(), AnyValue::Int(2)), ("a".to_owned(), AnyValue::Int(3))];
        assert_eq!(get(&attributes, "a"), Some(&AnyValue::Int(3)));
        assert_eq!(get(&attributes, "c"), None);
        assert_eq!(AnyValue::Map(attributes).to_json(), json!({"a": 3, "b": 2}));
    }

    #[test]
    fn numbers_are_read_from_text_only_where_asked() {
        let text = AnyValue::Text(" 42 ".to_owned());
        assert_eq!(text.as_f64(), None);
        assert_eq!(text.parse_f64(), Some(42.0));
        assert_eq!(AnyValue::Text("NaN".to_owned()).parse_f64(), None);
        assert_eq!(AnyValue::Double(50.0).as_i64(), Some(50));
        assert_eq!(AnyValue::Double(1e21).as_i64(), None);
    }

    #[test]
    fn bytes_are_never_text() {
        let bytes = AnyValue::Bytes(b"hi".to_vec());
        assert_eq!(bytes.as_text(), None);
        assert_eq!(bytes.to_json(), json!("aGk="));
    }
}
