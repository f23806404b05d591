//! Attributes of a span, put together from a vendor's members: what is absent is left out.

use super::record::written;
use crate::otlp::{AnyValue, Attributes};
use serde_json::Value;

/// Attributes under construction.
#[derive(Debug, Default)]
pub(super) struct Draft(Attributes);

impl Draft {
    /// A text.
    pub(super) fn text(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.0.push((key.to_string(), AnyValue::Text(text.to_string())));
        }
    }

    /// A number.
    pub(super) fn number(&mut self, key: &str, number: Option<f64>) {
        if let Some(number) = number {
            self.0.push((key.to_string(), AnyValue::Double(number)));
        }
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, key: &str, flag: Option<bool>) {
        if let Some(flag) = flag {
            self.0.push((key.to_string(), AnyValue::Bool(flag)));
        }
    }

    /// A text as it is, anything else as JSON in a text, as instrumentations write it.
    pub(super) fn written(&mut self, key: &str, value: Option<&Value>) {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            self.0.push((key.to_string(), AnyValue::Text(written(value).into_owned())));
        }
    }

    /// A JSON value as it is.
    pub(super) fn value(&mut self, key: &str, value: &Value) {
        self.0.push((key.to_string(), any(value)));
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(known, _)| known == key)
    }

    pub(super) fn finish(self) -> Attributes {
        self.0
    }
}

/// A JSON value as an attribute's.
fn any(value: &Value) -> AnyValue {
    match value {
        Value::Null => AnyValue::Null,
        Value::Bool(truth) => AnyValue::Bool(*truth),
        Value::Number(number) => number.as_i64().map_or_else(|| AnyValue::Double(number.as_f64().unwrap_or(f64::NAN)), AnyValue::Int),
        Value::String(text) => AnyValue::Text(text.clone()),
        Value::Array(items) => AnyValue::List(items.iter().map(any).collect()),
        Value::Object(members) => AnyValue::Map(members.iter().map(|(key, value)| (key.clone(), any(value))).collect()),
    }
}
