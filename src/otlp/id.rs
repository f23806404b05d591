//! Ids: as hexadecimal digits of either case, as base64, or as bytes.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use std::fmt::Write as _;

/// Base64 with or without padding.
pub(super) const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// What stood in the place of an id.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Id {
    /// Lower-case hexadecimal digits, not all zero.
    Valid(String),
    /// The same, out of base64, which generic protobuf libraries write.
    Base64(String),
    /// Nothing.
    Empty,
    /// Zeros only, which the specification calls invalid.
    Zero,
    /// Neither of these.
    Wrong,
}

/// Reads an id of so many bytes from text.
pub(super) fn from_text(text: &str, bytes: usize) -> Id {
    if text.is_empty() {
        return Id::Empty;
    }
    // Folded rather than searched, so that the compiler looks at many digits at once.
    if text.len() == bytes * 2 && text.bytes().fold(true, |all, byte| all & byte.is_ascii_hexdigit()) {
        return unless_zero(text.to_ascii_lowercase());
    }
    if bytes == 16 && text.len() == 36 && text.bytes().filter(|byte| *byte == b'-').count() == 4 {
        return from_text(&text.replace('-', ""), bytes);
    }
    match LENIENT.decode(text) {
        Ok(decoded) if decoded.len() == bytes => match unless_zero(hex(&decoded)) {
            Id::Valid(id) => Id::Base64(id),
            other => other,
        },
        _ => Id::Wrong,
    }
}

/// Reads an id of so many bytes as protobuf has them.
pub(super) fn from_bytes(found: &[u8], bytes: usize) -> Id {
    match found.len() {
        0 => Id::Empty,
        length if length == bytes => unless_zero(hex(found)),
        _ => Id::Wrong,
    }
}

fn unless_zero(id: String) -> Id {
    if id.bytes().all(|digit| digit == b'0') { Id::Zero } else { Id::Valid(id) }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_in_every_spelling_and_kept_in_one() {
        let valid = |text: &str| Id::Valid(text.to_owned());
        assert_eq!(from_text("EEE19B7EC3C1B174", 8), valid("eee19b7ec3c1b174"));
        assert_eq!(from_text("7uGbfsPBsXQ=", 8), Id::Base64("eee19b7ec3c1b174".to_owned()));
        assert_eq!(from_text("7uGbfsPBsXQ", 8), Id::Base64("eee19b7ec3c1b174".to_owned()));
        assert_eq!(from_text("36d7f8f0-7a0b-2ba2-acc9-31c065736567", 16), valid("36d7f8f07a0b2ba2acc931c065736567"));
        assert_eq!(from_bytes(&[0, 0, 0, 0, 0, 0, 0, 1], 8), valid("0000000000000001"));
    }

    #[test]
    fn what_is_no_id_says_why() {
        assert_eq!(from_text("", 8), Id::Empty);
        assert_eq!(from_text("0000000000000000", 8), Id::Zero);
        assert_eq!(from_text("AAAAAAAAAAA=", 8), Id::Zero);
        assert_eq!(from_text("eee19b7ec3c1b17", 8), Id::Wrong);
        assert_eq!(from_text("gee19b7ec3c1b174", 8), Id::Wrong);
        assert_eq!(from_text("ééééééé", 8), Id::Wrong);
        assert_eq!(from_bytes(&[1], 8), Id::Wrong);
    }
}
