//! The forms in which a secret travels: as it is, and in the encodings of HTTP, JSON and reports.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::fmt::Write as _;

/// Every form of a secret, each once, sorted.
///
/// Base64 is there at each of the three offsets at which a secret can stand in what is encoded (after `user:` in a
/// `Basic` pair, say), without the characters at its ends that also depend on its neighbours.
pub(super) fn all(value: &str) -> Vec<String> {
    let json = json(value);
    let ascii = ascii(&json);
    let mut forms = vec![
        value.to_string(),
        percent(value, "%20", false),
        percent(value, "%20", true),
        percent(value, "+", false),
        percent(value, "+", true),
        percent(value, "%20", false).replace("%2F", "/"),
        value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
        value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;"),
        value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&apos;"),
        value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;"),
        self::json(&json),
        self::json(&ascii),
        json.replace('/', "\\/"),
        ascii.replace('/', "\\/"),
        json,
        ascii,
    ];
    forms.extend((0..3).flat_map(|offset| [base64(value, offset, false), base64(value, offset, true)]));
    forms.sort();
    forms.dedup();
    forms
}

/// The inside of the JSON string.
fn json(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&quoted).to_string()
}

/// JSON as Python writes it by default: everything beyond ASCII escaped.
fn ascii(json: &str) -> String {
    let mut text = String::new();
    for character in json.chars() {
        if character.is_ascii() {
            text.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

fn percent(value: &str, space: &str, lower: bool) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        let _ = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => write!(text, "{}", char::from(byte)),
            b' ' => write!(text, "{space}"),
            _ if lower => write!(text, "%{byte:02x}"),
            _ => write!(text, "%{byte:02X}"),
        };
    }
    text
}

fn base64(value: &str, offset: usize, url: bool) -> String {
    let padded = [vec![0; offset], value.as_bytes().to_vec()].concat();
    let encoded = if url { URL_SAFE_NO_PAD.encode(&padded) } else { STANDARD_NO_PAD.encode(&padded) };
    let (first, last) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
    encoded.get(first..last).unwrap_or(&encoded).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_secret_has_its_text_and_its_base64() {
        assert_eq!(all("secret1").len(), 4);
    }

    #[test]
    fn no_form_is_shorter_than_the_shortest_secret() {
        for value in ["aaaaaa", "é1é1", "\n\n\n\n\n\n"] {
            assert!(all(value).iter().all(|form| form.len() >= 6), "{:?}", all(value));
        }
    }
}
