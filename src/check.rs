//! A check: what must hold of a candidate, and the evidence for it.

mod cites;
mod grader;
mod json;
mod observation;
mod text;
mod tool;

pub use observation::Observation;

use crate::expression::{Expression, Vocabulary};
use crate::fault::{Fault, Faults, Place};
use crate::grade::Question;
use crate::signal::Datum;
use crate::verdict::Doubt;
use crate::yaml::{Node, Yaml};
use std::collections::{BTreeMap, BTreeSet};

/// The keys of the map form of `expect`.
const KEYS: [&str; 13] = [
    "contains",
    "not_contains",
    "equals",
    "matches",
    "not_matches",
    "json",
    "cites",
    "tool_called",
    "tool_not_called",
    "tools_in_order",
    "similar",
    "judge",
    "command",
];

/// Reads a file that a check names, as a JSON schema; paths are confined by whoever gives it.
pub type Loader<'a> = &'a dyn Fn(&str, &Place) -> Result<String, Fault>;

/// What must hold: one expression, or every entry of a map.
#[derive(Debug)]
pub struct Check {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Expression(Expression),
    Text(text::TextCheck),
    Json(json::JsonCheck),
    Cites(cites::Citations),
    Tool(tool::ToolCheck),
    Graded(grader::Graded),
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Finding {
    /// Whether it holds; none when nothing can be said.
    pub held: Option<bool>,
    /// What was expected, on one line.
    pub expected: String,
    /// What was seen, whole.
    pub actual: String,
    /// Every value that an expression used.
    pub values: BTreeMap<String, Datum>,
    /// What was needed and unknown: signals, fields, `answer`, `tool calls`, `documents`.
    pub unknown: BTreeSet<String>,
    /// Why nothing can be said, where it is not for want of telemetry.
    pub doubt: Option<Doubt>,
}

/// What a check looks at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// The candidate's signals.
    pub signals: BTreeSet<String>,
    /// The candidate's fields.
    pub fields: BTreeSet<String>,
    /// Whether it reads the answer.
    pub answer: bool,
    /// Whether it reads tool calls.
    pub tools: bool,
}

impl Check {
    /// Reads the value of `expect`; every mistake is a fault with its place.
    pub fn parse(node: &Node, loader: Loader<'_>, faults: &mut Faults) -> Option<Self> {
        match &node.value {
            Yaml::Plain(text) | Yaml::Quoted(text) => {
                let expression = parse_expression(text, node, faults)?;
                Some(Self { parts: vec![Part::Expression(expression)] })
            }
            Yaml::Map(_) => Self::parse_map(node, loader, faults),
            _ => {
                faults.push(node.unexpected("an expression, or a map of checks"));
                None
            }
        }
    }

    fn parse_map(node: &Node, loader: Loader<'_>, faults: &mut Faults) -> Option<Self> {
        let known: Vec<&str> = KEYS.into_iter().chain(["ignore_case"]).collect();
        let map = node.as_map(&known, faults)?;
        let ignore_case = map.get("ignore_case").and_then(|flag| flag.as_flag(faults)).unwrap_or(false);
        let mut parts = Vec::new();
        for (key, value) in map.entries().filter(|(key, _)| key.name != "ignore_case" && !key.name.starts_with("x-")) {
            parts.push(Part::parse(&key.name, value, ignore_case, (loader, faults))?);
        }
        if parts.is_empty() {
            faults.push(node.fault("an empty check").help(format!("one of {}", KEYS.join(", "))));
            return None;
        }
        Some(Self { parts })
    }

    /// Holds the check against what a candidate did.
    pub fn evaluate(&self, observation: &Observation<'_>) -> Finding {
        let findings: Vec<Finding> = self.parts.iter().map(|part| part.evaluate(observation)).collect();
        // The worst part speaks for the whole: what fails, else what is unknown, else all of them.
        let worst = findings
            .iter()
            .position(|finding| finding.held == Some(false))
            .or_else(|| findings.iter().position(|finding| finding.held.is_none()));
        match worst {
            Some(index) => findings.into_iter().nth(index).unwrap_or_default(),
            None => all(findings),
        }
    }

    /// What is expected, on one line.
    pub fn expected(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(Part::expected).collect();
        parts.join("; ")
    }

    /// What it asks of graders.
    pub fn questions(&self) -> impl Iterator<Item = &Question> {
        self.parts.iter().filter_map(|part| match part {
            Part::Graded(check) => Some(&check.question),
            _ => None,
        })
    }

    /// What it looks at.
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for part in &self.parts {
            match part {
                Part::Expression(expression) => {
                    needs.signals.extend(expression.signals().into_iter().map(str::to_string));
                    needs.fields.extend(expression.fields().into_iter().map(str::to_string));
                }
                Part::Text(_) | Part::Json(_) | Part::Cites(_) | Part::Graded(_) => needs.answer = true,
                Part::Tool(_) => needs.tools = true,
            }
        }
        needs
    }
}

fn all(findings: Vec<Finding>) -> Finding {
    let mut whole = Finding { held: Some(true), ..Finding::default() };
    for finding in findings {
        whole.values.extend(finding.values);
        for (text, more) in [(&mut whole.expected, finding.expected), (&mut whole.actual, finding.actual)] {
            if !text.is_empty() && !more.is_empty() {
                text.push_str("; ");
            }
            text.push_str(&more);
        }
    }
    whole
}

/// Reads an expression where a person wrote it; the fault points at the mistake.
pub fn parse_expression(text: &str, node: &Node, faults: &mut Faults) -> Option<Expression> {
    match Expression::parse(text, Vocabulary::Test) {
        Ok(expression) => Some(expression),
        Err(error) => {
            let quote = u32::from(matches!(node.value, Yaml::Quoted(_)));
            let mut place = node.place.clone();
            place.column += error.offset as u32 + quote;
            let mut fault = Fault::new(error.message).at(place);
            if let Some(help) = error.help {
                fault = fault.help(help);
            }
            faults.push(fault);
            None
        }
    }
}

impl Part {
    fn parse(key: &str, node: &Node, ignore_case: bool, (loader, faults): (Loader<'_>, &mut Faults)) -> Option<Self> {
        match key {
            "contains" | "not_contains" | "equals" | "matches" | "not_matches" => {
                text::TextCheck::parse(key, node, ignore_case, faults).map(Self::Text)
            }
            "json" => json::JsonCheck::parse(node, loader, faults).map(Self::Json),
            "cites" => cites::Citations::parse(node, faults).map(Self::Cites),
            "tool_called" | "tool_not_called" | "tools_in_order" => tool::ToolCheck::parse(key, node, faults).map(Self::Tool),
            _ => grader::Graded::parse(key, node, faults).map(Self::Graded),
        }
    }

    fn expected(&self) -> String {
        match self {
            Self::Expression(expression) => expression.source().to_string(),
            Self::Text(check) => check.expected(),
            Self::Json(check) => check.expected(),
            Self::Cites(check) => check.expected(),
            Self::Tool(check) => check.expected(),
            Self::Graded(check) => check.expected(),
        }
    }

    fn evaluate(&self, observation: &Observation<'_>) -> Finding {
        match self {
            Self::Expression(expression) => evaluate_expression(expression, observation),
            Self::Text(check) => check.evaluate(observation),
            Self::Json(check) => check.evaluate(observation),
            Self::Cites(check) => check.evaluate(observation),
            Self::Tool(check) => check.evaluate(observation),
            Self::Graded(check) => check.evaluate(observation),
        }
    }
}

fn evaluate_expression(expression: &Expression, observation: &Observation<'_>) -> Finding {
    let evaluation = expression.evaluate(observation);
    let shown: Vec<String> = evaluation.values.iter().map(|(name, datum)| format!("{name} = {}", show(datum))).collect();
    Finding {
        held: evaluation.truth,
        expected: expression.source().to_string(),
        actual: shown.join(", "),
        values: evaluation.values,
        unknown: if evaluation.truth.is_none() { evaluation.unknown } else { BTreeSet::new() },
        doubt: None,
    }
}

/// A value as a reader sees it.
pub fn show(datum: &Datum) -> String {
    match datum {
        Datum::Unknown => "unknown".into(),
        Datum::Text(text) => format!("'{text}'"),
        other => other.to_json().to_string(),
    }
}

/// The answer, quoted; whoever shows it clips it, so that what is said of its length is said of the answer.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.trim())
}

/// What a check says when the answer was not captured: unknown, not true.
fn no_answer(expected: String) -> Finding {
    Finding {
        expected,
        actual: "the answer was not captured".into(),
        unknown: BTreeSet::from(["answer".to_string()]),
        ..Finding::default()
    }
}
