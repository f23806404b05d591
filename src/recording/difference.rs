//! The difference between two requests, word by word, where they differ.

use crate::wire::call::Attempt;
use regex::Regex;
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};
use std::collections::BTreeSet;
use std::sync::LazyLock;

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

/// What sort of change it is: of ids and times only, which no candidate is about, or of the prompt, tools or parameters.
pub(super) fn class(recorded: &Value, asked: &Value) -> String {
    let places = places(recorded, asked);
    if places.iter().all(Place::is_benign) {
        return "a benign change (ids and times only, which `match` in relapse.yaml can leave out)".into();
    }
    let parts: BTreeSet<&str> = places.iter().filter(|place| !place.is_benign()).map(Place::part).collect();
    format!("a semantic change ({})", parts.into_iter().collect::<Vec<_>>().join(", "))
}

/// What an answer says, for a comparison: ids, times and counts are left out.
pub(super) fn spoken(attempt: &Attempt) -> Value {
    let tools: Vec<Value> = attempt.tool_calls.iter().map(|call| json!({"name": call.name, "arguments": call.arguments})).collect();
    json!({"text": attempt.text, "refusal": attempt.refusal, "tool_calls": tools, "finish": attempt.finish})
}

/// UUIDs, dates with and without a time, times of day, long hexadecimal ids, ids with a prefix, and times since 1970.
static VOLATILE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
        r"|\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?",
        r"|\b\d\d:\d\d(?::\d\d)?\b|\b[0-9a-f]{16,}\b|\b(?:call|toolu|msg|resp|req|fc|chatcmpl|run)[_-][0-9a-z_-]{6,}",
        r"|\b1[5-9]\d{8}(?:\d{3})?\b"
    ))
    .ok()
});

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
    /// Whether both sides say the same but for ids and times.
    fn is_benign(&self) -> bool {
        let (Some(one), Some(other), Some(volatile)) = (self.recorded, self.asked, VOLATILE.as_ref()) else { return false };
        volatile.replace_all(&shown(one), "…") == volatile.replace_all(&shown(other), "…")
    }

    /// The part of the request that it belongs to.
    fn part(&self) -> &'static str {
        match self.pointer.split('/').nth(1).unwrap_or_default() {
            "messages" | "input" | "system" | "instructions" | "prompt" => "prompt",
            "tools" | "tool_choice" | "functions" => "tools",
            "model" => "model",
            _ => "params",
        }
    }

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
    fn a_change_of_ids_and_times_is_benign_and_any_other_is_semantic() {
        let recorded =
            json!({"system": "Today is 2026-03-14T10:00:00Z.", "metadata": {"id": "6f1c1c6e-0e4b-4a39-9a9e-0d5a3f2b1c00"}, "n": 1});
        let later = json!({"system": "Today is 2026-11-28.", "metadata": {"id": "00000000-0e4b-4a39-9a9e-0d5a3f2b1c00"}, "n": 1});
        assert!(class(&recorded, &later).starts_with("a benign"), "{}", class(&recorded, &later));
        let other =
            json!({"system": "Today is the 2026-03-14T10:00:00Z.", "metadata": {"id": "6f1c1c6e-0e4b-4a39-9a9e-0d5a3f2b1c00"}, "n": 2});
        assert_eq!(class(&recorded, &other), "a semantic change (params, prompt)");
        assert_eq!(class(&json!({}), &json!({"tools": []})), "a semantic change (tools)");
    }

    #[test]
    fn the_nearest_body_is_the_one_with_the_fewest_changed_characters() {
        let asked = json!({"a": "one two three"});
        assert!(distance(&json!({"a": "one two four"}), &asked) < distance(&json!({"a": "nothing alike"}), &asked));
        assert_eq!(distance(&json!({"a": 1.0}), &json!({"a": 1})), 0);
    }
}
