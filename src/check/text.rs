//! `contains`, `not_contains`, `equals`, `matches` and `not_matches`: what the answer says.

use super::{Finding, Observation, no_answer, quoted};
use crate::fault::{Fault, Faults};
use crate::limit;
use crate::yaml::{Node, Yaml};
use regex::{Regex, RegexBuilder};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Patterns that stay compiled for the cases to come; each may hold `limit::REGEX_BYTES`.
const KEPT_PATTERNS: usize = 64;

#[derive(Debug)]
pub(super) struct TextCheck {
    key: String,
    patterns: Vec<Pattern>,
    any: bool,
}

#[derive(Debug)]
struct Pattern {
    text: String,
    regex: Option<Arc<Regex>>,
    ignore_case: bool,
}

impl TextCheck {
    pub(super) fn parse(key: &str, node: &Node, ignore_case: bool, faults: &mut Faults) -> Option<Self> {
        let (list, any, ignore_case) = match &node.value {
            Yaml::Map(_) => {
                let map = node.as_map(&["any", "all", "ignore_case"], faults)?;
                let own = map.get("ignore_case").and_then(|flag| flag.as_flag(faults)).unwrap_or(ignore_case);
                match (map.get("any"), map.get("all")) {
                    (Some(any), None) => (any, true, own),
                    (None, Some(all)) => (all, false, own),
                    _ => {
                        faults.push(node.fault("expected exactly one of `any` and `all`"));
                        return None;
                    }
                }
            }
            _ => (node, false, ignore_case),
        };
        let mut patterns = Vec::new();
        for item in list.one_or_more() {
            let text = item.as_text(faults)?;
            patterns.push(pattern(key, text, ignore_case, (item, faults))?);
        }
        if patterns.is_empty() {
            faults.push(list.fault(format!("`{key}` with nothing in it")));
            return None;
        }
        Some(Self { key: key.to_string(), patterns, any })
    }

    pub(super) fn evaluate(&self, observation: &Observation<'_>) -> Finding {
        let expected = self.expected();
        let Some(answer) = observation.answer else { return no_answer(expected) };
        let negative = self.key.starts_with("not_");
        let found: Vec<&Pattern> = self.patterns.iter().filter(|pattern| pattern.fits(&self.key, answer)).collect();
        let held = match (negative, self.any) {
            (false, true) => !found.is_empty(),
            (false, false) => found.len() == self.patterns.len(),
            // `not_contains: {any: [a, b]}` asks that at least one of them is missing.
            (true, true) => found.len() < self.patterns.len(),
            (true, false) => found.is_empty(),
        };
        let actual = if negative && !held { format!("says \"{}\": {}", found[0].text, quoted(answer)) } else { quoted(answer) };
        Finding { held: Some(held), expected, actual, ..Finding::default() }
    }

    pub(super) fn expected(&self) -> String {
        let texts: Vec<String> = self.patterns.iter().map(|pattern| format!("\"{}\"", pattern.text)).collect();
        let joined = texts.join(if self.any { " or " } else { ", " });
        format!("{} {joined}", self.key.replace('_', " "))
    }
}

fn pattern(key: &str, text: &str, ignore_case: bool, (node, faults): (&Node, &mut Faults)) -> Option<Pattern> {
    if text.is_empty() {
        faults.push(node.fault(format!("`{key}` of an empty text is always the same")));
        return None;
    }
    let regex = if key.ends_with("matches") { Some(regex(text, ignore_case, (node, faults))?) } else { None };
    Some(Pattern { text: text.to_string(), regex, ignore_case })
}

/// Compiles a pattern of a person's with relapse's limits.
///
/// A suite writes the same few patterns in many cases, and compiling one costs more than asking a thousand times.
pub(super) fn regex(text: &str, ignore_case: bool, (node, faults): (&Node, &mut Faults)) -> Option<Arc<Regex>> {
    static COMPILED: RwLock<BTreeMap<(String, bool), Arc<Regex>>> = RwLock::new(BTreeMap::new());
    let key = (text.to_string(), ignore_case);
    if let Some(regex) = COMPILED.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Some(Arc::clone(regex));
    }
    let built = RegexBuilder::new(text).case_insensitive(ignore_case).size_limit(limit::REGEX_BYTES).build();
    // A clone of a pattern would begin with an empty cache; a shared one is warm.
    let regex = Arc::new(built.map_err(|error| faults.push(regex_fault(&error).at(node.place.clone()))).ok()?);
    let mut compiled = COMPILED.write().unwrap_or_else(PoisonError::into_inner);
    if compiled.len() < KEPT_PATTERNS {
        compiled.insert(key, Arc::clone(&regex));
    }
    Some(regex)
}

fn regex_fault(error: &regex::Error) -> Fault {
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string();
    let fault = Fault::new(format!("not a pattern: {reason}"));
    if text.contains("look-around") || text.contains("backreference") {
        return fault.help("the engine is linear-time: it has no look-around and no back-references; use two checks");
    }
    fault
}

impl Pattern {
    fn fits(&self, key: &str, answer: &str) -> bool {
        if let Some(regex) = &self.regex {
            return regex.is_match(answer);
        }
        let fold = |text: &str| if self.ignore_case { text.to_lowercase() } else { text.to_string() };
        let (answer, text) = (fold(answer), fold(&self.text));
        if key == "equals" { answer.trim_end_matches('\n') == text.trim_end_matches('\n') } else { answer.contains(&text) }
    }
}
