//! `cites`: the answer names its passages, and only passages that were found.

use super::{Finding, Observation, no_answer, quoted, text};
use crate::fault::Faults;
use crate::yaml::{Node, Yaml};
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A passage's id in square brackets, as in `[kb-returns-01]`; links in Markdown are none.
const PATTERN: &str = r"\[([A-Za-z0-9][A-Za-z0-9_.:/#-]*)\](?:[^(]|$)";

#[derive(Debug)]
pub(super) struct Citations {
    pattern: Arc<Regex>,
}

impl Citations {
    pub(super) fn parse(node: &Node, faults: &mut Faults) -> Option<Self> {
        let pattern = match &node.value {
            Yaml::Plain(word) | Yaml::Quoted(word) if word == "documents" => None,
            Yaml::Map(_) => {
                let map = node.as_map(&["documents", "pattern"], faults)?;
                map.get("pattern")
            }
            _ => {
                faults.push(node.unexpected("`documents`, or a map with `pattern`"));
                return None;
            }
        };
        let pattern = match pattern {
            Some(pattern) => text::regex(pattern.as_text(faults)?, false, (pattern, faults))?,
            None => Arc::new(Regex::new(PATTERN).expect("the pattern is tested")),
        };
        if pattern.captures_len() > 2 {
            faults.push(node.fault("a citation's pattern has at most one group: the id"));
            return None;
        }
        Some(Self { pattern })
    }

    #[expect(clippy::unused_self, reason = "every kind of check says what it expects")]
    pub(super) fn expected(&self) -> String {
        "cites the documents that were found".to_string()
    }

    pub(super) fn evaluate(&self, observation: &Observation<'_>) -> Finding {
        let expected = self.expected();
        let Some(answer) = observation.answer else { return no_answer(expected) };
        let cited: BTreeSet<&str> =
            self.pattern.captures_iter(answer).filter_map(|found| found.get(found.len() - 1)).map(|group| group.as_str()).collect();
        if cited.is_empty() {
            return Finding { held: Some(false), expected, actual: format!("no citation: {}", quoted(answer)), ..Finding::default() };
        }
        let Some(documents) = observation.documents else {
            let unknown = BTreeSet::from(["documents".to_string()]);
            return Finding { expected, actual: "nothing says which documents were found".into(), unknown, ..Finding::default() };
        };
        let stray = cited.iter().find(|id| !documents.iter().any(|document| document.id == **id));
        let actual = match stray {
            Some(id) => format!("cites [{id}], which was not found: {}", quoted(answer)),
            None => quoted(answer),
        };
        Finding { held: Some(stray.is_none()), expected, actual, ..Finding::default() }
    }
}
