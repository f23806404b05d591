//! The texts in a JSON document, each with the pointer to it, without a tree in between.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt::{self, Write as _};

/// Gives every text of a document with its JSON pointer to `take`; nothing of what is no JSON from there on.
pub(super) fn each(json: &str, take: &mut impl FnMut(&str, &str)) {
    let mut pointer = String::new();
    // What is no JSON has no texts in it: a stream's last event is `[DONE]`.
    let _ = Leaves { pointer: &mut pointer, take }.deserialize(&mut serde_json::Deserializer::from_str(json));
}

/// The texts below one place.
struct Leaves<'p, F> {
    pointer: &'p mut String,
    take: &'p mut F,
}

/// A key of an object, read onto the end of the pointer.
struct Step<'p>(&'p mut String);

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Step<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        self.0.push('/');
        if key.contains(['~', '/']) {
            self.0.push_str(&key.replace('~', "~0").replace('/', "~1"));
        } else {
            self.0.push_str(key);
        }
        Ok(())
    }
}

impl<'de, F: FnMut(&str, &str)> DeserializeSeed<'de> for Leaves<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&str, &str)> Visitor<'de> for Leaves<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        (self.take)(self.pointer, text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let length = self.pointer.len();
        for index in 0_usize.. {
            // A text takes whatever is written to it.
            let _ = write!(self.pointer, "/{index}");
            let item = items.next_element_seed(Leaves { pointer: self.pointer, take: self.take })?;
            self.pointer.truncate(length);
            if item.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let length = self.pointer.len();
        while entries.next_key_seed(Step(self.pointer))?.is_some() {
            entries.next_value_seed(Leaves { pointer: self.pointer, take: self.take })?;
            self.pointer.truncate(length);
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(json: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        each(json, &mut |pointer, text| found.push((pointer.to_string(), text.to_string())));
        found
    }

    #[test]
    fn every_text_has_the_pointer_that_finds_it_again() {
        let text = r#"{"a": ["x", {"b/c~d": "y\n"}, []], "n": [1, -2, 0.5, null, true], "": "z", "a2": {}}"#;
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        let found = leaves(text);
        assert_eq!(found.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["x", "y\n", "z"]);
        assert!(found.iter().all(|(pointer, text)| json.pointer(pointer).and_then(serde_json::Value::as_str) == Some(text)), "{found:?}");
        assert_eq!(leaves("\"whole\""), [(String::new(), "whole".to_string())]);
    }

    #[test]
    fn what_is_no_json_has_no_texts() {
        assert!(leaves("[DONE]").is_empty() && leaves("").is_empty() && leaves(&"[".repeat(100_000)).is_empty());
    }
}
