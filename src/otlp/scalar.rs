//! A scalar: a JSON value that is no container, and what can be read out of it whatever kind it is.

use super::diagnostic::quote;
use super::id::LENIENT;
use super::value::AnyValue;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use std::borrow::Cow;
use std::fmt;

/// A JSON value; lists and objects are only named.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(Cow<'a, str>),
    List,
    Object,
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:e}"),
            Self::Text(text) => f.write_str(&quote(text)),
            Self::List => f.write_str("a list"),
            Self::Object => f.write_str("an object"),
        }
    }
}

/// What was read, if anything, and what was wrong with it, if anything.
#[derive(Debug, PartialEq)]
pub(super) struct Taken<T> {
    pub(super) value: Option<T>,
    pub(super) complaint: Option<String>,
}

impl<T> Taken<T> {
    fn clean(value: T) -> Self {
        Self { value: Some(value), complaint: None }
    }

    fn nothing() -> Self {
        Self { value: None, complaint: None }
    }

    fn odd(value: T, complaint: String) -> Self {
        Self { value: Some(value), complaint: Some(complaint) }
    }

    fn lost(expected: &str, found: &Scalar<'_>) -> Self {
        Self { value: None, complaint: Some(format!("expected {expected}, found {found}")) }
    }
}

impl Scalar<'_> {
    /// Text; a number or a truth value is spelt out.
    pub(super) fn text(self) -> Taken<String> {
        match self {
            Self::Text(text) => Taken::clean(text.into_owned()),
            Self::Null => Taken::nothing(),
            Self::Bool(_) | Self::Integer(_) | Self::Float(_) => Taken::odd(self.to_string(), format!("expected text, found {self}")),
            Self::List | Self::Object => Taken::lost("text", &self),
        }
    }

    /// A 64-bit number: a whole one in any spelling, else a floating-point one with a complaint.
    pub(super) fn integer(self) -> Taken<AnyValue> {
        match &self {
            Self::Null => Taken::nothing(),
            Self::Integer(number) => integer_or_double(*number),
            Self::Float(number) => float_as_integer(*number),
            Self::Text(text) => match (text.trim().parse::<i128>(), text.trim().parse::<f64>()) {
                (Ok(number), _) => integer_or_double(number),
                (_, Ok(number)) => float_as_integer(number),
                _ => Taken::lost("a whole number", &self),
            },
            Self::Bool(_) | Self::List | Self::Object => Taken::lost("a whole number", &self),
        }
    }

    /// A whole number of a narrower type, for times, counts and flags.
    pub(super) fn unsigned<T: TryFrom<i128>>(self, expected: &str) -> Taken<T> {
        let number = match &self {
            Self::Null => return Taken::nothing(),
            Self::Text(text) if text.is_empty() => return Taken::nothing(),
            Self::Integer(number) => Some(*number),
            Self::Float(number) => whole_wide(*number),
            Self::Text(text) => match text.trim().parse() {
                Ok(number) => Some(number),
                Err(_) => text.trim().parse().ok().and_then(whole_wide),
            },
            Self::Bool(_) | Self::List | Self::Object => None,
        };
        match number.and_then(|number| T::try_from(number).ok()) {
            Some(number) => Taken::clean(number),
            None => Taken::lost(expected, &self),
        }
    }

    /// A floating-point number, also as text (`"NaN"`, `"Infinity"`, `"1.5"`).
    pub(super) fn double(self) -> Taken<f64> {
        match &self {
            Self::Null => Taken::nothing(),
            Self::Integer(number) => Taken::clean(*number as f64),
            Self::Float(number) => Taken::clean(*number),
            Self::Text(text) => match text.trim().parse() {
                Ok(number) => Taken::clean(number),
                Err(_) => Taken::lost("a number", &self),
            },
            Self::Bool(_) | Self::List | Self::Object => Taken::lost("a number", &self),
        }
    }

    /// A truth value, also as text.
    pub(super) fn truth(self) -> Taken<bool> {
        match &self {
            Self::Null => Taken::nothing(),
            Self::Bool(truth) => Taken::clean(*truth),
            Self::Text(text) => match text.trim().to_ascii_lowercase().parse() {
                Ok(truth) => Taken::odd(truth, format!("expected true or false, found {self}")),
                Err(_) => Taken::lost("true or false", &self),
            },
            Self::Integer(_) | Self::Float(_) | Self::List | Self::Object => Taken::lost("true or false", &self),
        }
    }

    /// Bytes out of base64 of either alphabet, padded or not.
    pub(super) fn bytes(self) -> Taken<Vec<u8>> {
        let Self::Text(text) = &self else {
            return if self == Self::Null { Taken::nothing() } else { Taken::lost("base64", &self) };
        };
        match LENIENT.decode(text.as_bytes()).or_else(|_| URL_SAFE.decode(text.as_bytes())) {
            Ok(bytes) => Taken::clean(bytes),
            Err(_) => Taken::lost("base64", &self),
        }
    }
}

fn integer_or_double(number: i128) -> Taken<AnyValue> {
    match i64::try_from(number) {
        Ok(number) => Taken::clean(AnyValue::Int(number)),
        Err(_) => Taken::odd(AnyValue::Double(number as f64), format!("expected a 64-bit whole number, found {number}")),
    }
}

fn float_as_integer(number: f64) -> Taken<AnyValue> {
    match whole(number) {
        Some(number) => Taken::clean(AnyValue::Int(number)),
        None => Taken::odd(AnyValue::Double(number), format!("expected a 64-bit whole number, found {number:e}")),
    }
}

/// The 64-bit whole number that a floating-point number stands for, if it has no fraction and fits.
pub(super) fn whole(number: f64) -> Option<i64> {
    whole_wide(number).and_then(|number| i64::try_from(number).ok())
}

fn whole_wide(number: f64) -> Option<i128> {
    // Beyond 2^64 nothing that OTLP carries is a whole number any more.
    (number.fract() == 0.0 && number.abs() <= 18_446_744_073_709_551_616.0).then_some(number as i128)
}

/// The names of an enumeration of the protocol; a name's position is its number.
#[derive(Debug)]
pub(super) struct Names {
    prefix: &'static str,
    names: &'static [&'static str],
}

/// Kinds of spans.
pub(super) const KINDS: Names =
    Names { prefix: "SPAN_KIND_", names: &["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"] };
/// Codes of a span's status.
pub(super) const STATUSES: Names = Names { prefix: "STATUS_CODE_", names: &["UNSET", "OK", "ERROR"] };
/// Severities of log records.
pub(super) const SEVERITIES: Names = Names {
    prefix: "SEVERITY_NUMBER_",
    names: &[
        "UNSPECIFIED",
        "TRACE",
        "TRACE2",
        "TRACE3",
        "TRACE4",
        "DEBUG",
        "DEBUG2",
        "DEBUG3",
        "DEBUG4",
        "INFO",
        "INFO2",
        "INFO3",
        "INFO4",
        "WARN",
        "WARN2",
        "WARN3",
        "WARN4",
        "ERROR",
        "ERROR2",
        "ERROR3",
        "ERROR4",
        "FATAL",
        "FATAL2",
        "FATAL3",
        "FATAL4",
    ],
};

impl Names {
    /// The number of a name, with or without its prefix, in any case.
    pub(super) fn number(&self, name: &str) -> Option<u8> {
        let name = name.to_ascii_uppercase();
        let name = name.strip_prefix(self.prefix).unwrap_or(&name);
        self.names.iter().position(|known| *known == name).and_then(|number| u8::try_from(number).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Scalar<'_> {
        Scalar::Text(Cow::Borrowed(text))
    }

    #[test]
    fn whole_numbers_are_read_in_every_spelling() {
        for scalar in [text("50"), text("50.0"), Scalar::Integer(50), Scalar::Float(50.0)] {
            assert_eq!(scalar.integer(), Taken::clean(AnyValue::Int(50)));
        }
        assert_eq!(text("-9223372036854775808").integer(), Taken::clean(AnyValue::Int(i64::MIN)));
        assert_eq!(text("18446744073709551615").unsigned("a time"), Taken::clean(u64::MAX));
    }

    #[test]
    fn what_does_not_fit_becomes_a_double_with_a_complaint() {
        for scalar in [Scalar::Float(1e21), text("1e+21"), text("1000000000000000000000")] {
            let taken = scalar.integer();
            assert_eq!(taken.value, Some(AnyValue::Double(1e21)));
            assert!(taken.complaint.is_some());
        }
        assert!(matches!(Scalar::Float(f64::NAN).integer(), Taken { value: Some(AnyValue::Double(_)), complaint: Some(_) }));
    }

    #[test]
    fn enumerations_are_read_by_name() {
        assert_eq!(KINDS.number("SPAN_KIND_CLIENT"), Some(3));
        assert_eq!(STATUSES.number("error"), Some(2));
        assert_eq!(SEVERITIES.number("SEVERITY_NUMBER_FATAL4"), Some(24));
        assert_eq!(KINDS.number("SPAN_KIND_"), None);
    }
}
