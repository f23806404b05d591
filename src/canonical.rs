//! Canonical JSON and digests: equal values give equal bytes, whatever order their keys came in.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

const HEXADECIMAL: [u8; 16] = *b"0123456789abcdef";

/// The value as compact JSON with sorted keys, at every depth.
pub fn json(value: &Value) -> String {
    let mut text = String::new();
    write_json(value, &mut text);
    text
}

fn write_json(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_json(item, text);
            }
            text.push(']');
        }
        Value::Object(map) => {
            let mut members: Vec<(&String, &Value)> = map.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            text.push('{');
            for (index, (key, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_text(key, text);
                text.push(':');
                write_json(value, text);
            }
            text.push('}');
        }
        // 1.0 and 1 are the same number on the wire: JavaScript and Python write it differently.
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 9.0e15 => {
                let _ = write!(text, "{}", float as i64);
            }
            _ => {
                let _ = write!(text, "{number}");
            }
        },
        Value::String(string) => write_text(string, text),
        scalar => {
            let _ = write!(text, "{scalar}");
        }
    }
}

/// A JSON string; nearly all need no escape and are copied.
fn write_text(string: &str, text: &mut String) {
    if string.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        text.push('"');
        text.push_str(string);
        text.push('"');
    } else {
        let _ = write!(text, "{}", Value::from(string));
    }
}

/// `sha256:` and the digest of some bytes in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(71);
    text.push_str("sha256:");
    for byte in Sha256::digest(bytes) {
        text.push(char::from(HEXADECIMAL[usize::from(byte >> 4)]));
        text.push(char::from(HEXADECIMAL[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn key_order_and_number_spelling_do_not_matter() {
        assert_eq!(super::json(&json!({"b": 1, "a": [2.0, {"z": null, "y": "\n"}]})), r#"{"a":[2,{"y":"\n","z":null}],"b":1}"#);
        assert_eq!(super::json(&json!({"b": 1, "a": 2})), super::json(&json!({"a": 2.0, "b": 1})));
    }

    #[test]
    fn a_digest_is_sha256() {
        assert_eq!(digest(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
