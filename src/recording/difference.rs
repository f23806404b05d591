//! The difference between two requests, word by word, where they differ.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

/// Places shown before the rest is only counted.
const SHOWN: usize = 6;
/// Words of agreement kept on each side of a change.
const CONTEXT: usize = 4;

/// How far two bodies are apart: characters in values that differ.
pub(super) fn distance(one: &Value, other: &Value) -> usize {
    places(one, other).iter().map(|place| place.weight()).sum()
}

/// One line for each place that differs: what the recording has in `[-…-]`, what is asked now in `{+…+}`.
pub(super) fn lines(recorded: &Value, asked: &Value) -> Vec<String> {
    let places = places(recorded, asked);
    let mut lines: Vec<String> = places.iter().take(SHOWN).map(Place::line).collect();
    if places.len() > SHOWN {
        lines.push(format!("  and {} more places", places.len() - SHOWN));
    }
    lines
}

struct Place<'a> {
    pointer: String,
    recorded: Option<&'a Value>,
    asked: Option<&'a Value>,
}

fn places<'a>(recorded: &'a Value, asked: &'a Value) -> Vec<Place<'a>> {
    let mut found = Vec::new();
    walk(String::new(), Some(recorded), Some(asked), &mut found);
    found
}

fn walk<'a>(pointer: String, recorded: Option<&'a Value>, asked: Option<&'a Value>, found: &mut Vec<Place<'a>>) {
    match (recorded, asked) {
        (Some(one), Some(other)) if one == other => {}
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            for key in one.keys() {
                walk(format!("{pointer}/{key}"), one.get(key), other.get(key), found);
            }
            for key in other.keys().filter(|key| !one.contains_key(*key)) {
                walk(format!("{pointer}/{key}"), None, other.get(key), found);
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            for index in 0..one.len().max(other.len()) {
                walk(format!("{pointer}/{index}"), one.get(index), other.get(index), found);
            }
        }
        (Some(one), Some(other)) if crate::canonical::json(one) == crate::canonical::json(other) => {}
        _ => found.push(Place { pointer, recorded, asked }),
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

fn clipped(text: &str) -> String {
    crate::inert::clip(&crate::inert::one_line(text), 160).into_owned()
}

impl Place<'_> {
    fn weight(&self) -> usize {
        let text = |value: Option<&Value>| value.map(shown).unwrap_or_default();
        let (one, other) = (text(self.recorded), text(self.asked));
        let diff = TextDiff::configure().timeout(std::time::Duration::from_millis(200)).diff_words(&one, &other);
        diff.iter_all_changes().filter(|change| change.tag() != ChangeTag::Equal).map(|change| change.value().len()).sum::<usize>() + 1
    }

    fn line(&self) -> String {
        let pointer = &self.pointer;
        match (self.recorded, self.asked) {
            (Some(Value::String(one)), Some(Value::String(other))) => format!("  {pointer}: {}", words(one, other)),
            (Some(one), Some(other)) => format!("  {pointer}: [-{}-] {{+{}+}}", clipped(&shown(one)), clipped(&shown(other))),
            (Some(one), None) => format!("  {pointer}: [-{}-] is not asked any more", clipped(&shown(one))),
            (None, Some(other)) => format!("  {pointer}: {{+{}+}} is new", clipped(&shown(other))),
            (None, None) => format!("  {pointer}"),
        }
    }
}

/// The words that changed, with a few around them.
fn words(one: &str, other: &str) -> String {
    let diff = TextDiff::configure().timeout(std::time::Duration::from_millis(200)).diff_words(one, other);
    let mut out = String::new();
    for op in diff.ops() {
        let (old, new) = (diff.old_slices()[op.old_range()].concat(), diff.new_slices()[op.new_range()].concat());
        match op.tag() {
            similar::DiffTag::Equal => out.push_str(&middle(
                &diff.old_slices()[op.old_range()],
                op.old_range().start == 0,
                op.old_range().end == diff.old_slices().len(),
            )),
            similar::DiffTag::Delete => out.push_str(&format!("[-{}-]", clipped(&old))),
            similar::DiffTag::Insert => out.push_str(&format!("{{+{}+}}", clipped(&new))),
            similar::DiffTag::Replace => out.push_str(&format!("[-{}-] {{+{}+}}", clipped(&old), clipped(&new))),
        }
    }
    crate::inert::one_line(out.trim())
}

/// A stretch of agreement, cut to a few words at its inner ends.
fn middle(slices: &[&str], first: bool, last: bool) -> String {
    let keep = CONTEXT * 2;
    let (head, tail) = (if first { 0 } else { keep }, if last { 0 } else { keep });
    if slices.len() <= head + tail + 1 {
        return slices.concat();
    }
    format!("{} … {}", slices[..head].concat().trim_end(), slices[slices.len() - tail..].concat().trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_word_that_changed_is_shown_with_its_neighbours() {
        let recorded = json!({"model": "m", "messages": [{"content": "one two three four five six seven eight nine ten eleven Cite sources twelve"}], "temperature": 0.2});
        let asked = json!({"model": "m", "messages": [{"content": "one two three four five six seven eight nine ten eleven twelve"}], "temperature": 0.2, "seed": 1});
        assert_eq!(
            lines(&recorded, &asked),
            ["  /messages/0/content: … eight nine ten eleven [-Cite sources -]twelve", "  /seed: {+1+} is new"]
        );
    }

    #[test]
    fn the_nearest_body_is_the_one_with_the_fewest_changed_characters() {
        let asked = json!({"a": "one two three"});
        assert!(distance(&json!({"a": "one two four"}), &asked) < distance(&json!({"a": "nothing alike"}), &asked));
        assert_eq!(distance(&json!({"a": 1.0}), &json!({"a": 1})), 0);
    }
}
