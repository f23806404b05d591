//! A check that a grader decides: `judge`, `similar` and `command`.

use super::{Finding, Observation, no_answer, quoted};
use crate::fault::Faults;
use crate::grade::{Grade, Question};
use crate::inert;
use crate::signal::Datum;
use crate::verdict::Doubt;
use crate::yaml::{Node, Yaml, quote};
use serde_json::Value;
use std::collections::BTreeMap;

/// A question to a grader, and what its grade must be.
#[derive(Debug)]
pub(super) struct Graded {
    pub(super) question: Question,
    /// The least similarity; 0 where a grader says yes or no.
    min: f64,
}

impl Graded {
    pub(super) fn parse(key: &str, node: &Node, faults: &mut Faults) -> Option<Self> {
        let (question, min) = match key {
            "judge" => (judge(node, faults)?, 0.0),
            "similar" => similar(node, faults)?,
            _ => (program(node, faults)?, 0.0),
        };
        Some(Self { question, min })
    }

    pub(super) fn expected(&self) -> String {
        match &self.question {
            Question::Judge { rubric, .. } => format!("judge: {}", inert::one_line(rubric)),
            Question::Similarity { to, .. } => format!("similar to {} by at least {}", quoted(to), self.min),
            Question::Program { name, .. } => format!("command: {}", inert::one_line(name)),
        }
    }

    pub(super) fn evaluate(&self, observation: &Observation<'_>) -> Finding {
        let expected = self.expected();
        if observation.answer.is_none() {
            return no_answer(expected);
        }
        match observation.grades.and_then(|grades| grades.of(&self.question)) {
            Some(Grade::Verdict { held, says }) => Finding { held: Some(*held), expected, actual: says.clone(), ..Finding::default() },
            Some(Grade::Similarity(similarity)) => Finding {
                held: Some(*similarity >= self.min),
                expected,
                actual: format!("similarity {similarity:.3}"),
                values: BTreeMap::from([("similarity".to_string(), Datum::Number(*similarity))]),
                ..Finding::default()
            },
            Some(Grade::Undecided { doubt, why }) => Finding { expected, actual: why.clone(), doubt: Some(*doubt), ..Finding::default() },
            None => Finding { expected, actual: "no grader was asked".into(), doubt: Some(Doubt::Judge), ..Finding::default() },
        }
    }
}

fn judge(node: &Node, faults: &mut Faults) -> Option<Question> {
    if !matches!(node.value, Yaml::Map(_)) {
        return Some(Question::Judge { rubric: node.as_text(faults)?.to_string(), model: None, votes: None });
    }
    let map = node.as_map(&["rubric", "model", "votes"], faults)?;
    let rubric = map.require("rubric", faults)?.as_text(faults)?.to_string();
    let votes = map.get("votes").and_then(|node| node.as_whole(1, 99, faults));
    if let Some(node) = map.get("votes").filter(|_| votes.is_some_and(|votes| votes % 2 == 0)) {
        faults.push(node.fault("an even number of votes can tie").help("write an odd one"));
    }
    Some(Question::Judge { rubric, model: model(map.get("model"), faults), votes })
}

fn similar(node: &Node, faults: &mut Faults) -> Option<(Question, f64)> {
    if !matches!(node.value, Yaml::Map(_)) {
        let fault = node.fault("`similar` does not say how near the answer must be");
        faults.push(fault.help("write `similar: {to: \"…\", min: 0.8}`"));
        return None;
    }
    let map = node.as_map(&["to", "min", "model"], faults)?;
    let to = map.require("to", faults).and_then(|node| node.as_text(faults)).map(str::to_string);
    let node = map.require("min", faults);
    let min = node.and_then(|node| node.as_number(faults));
    if let Some((node, min)) = node.zip(min).filter(|(_, min)| !(-1.0..=1.0).contains(min)) {
        faults.push(node.fault(format!("a similarity lies between -1 and 1, found {min}")));
    }
    Some((Question::Similarity { to: to?, model: model(map.get("model"), faults) }, min?))
}

fn program(node: &Node, faults: &mut Faults) -> Option<Question> {
    if !matches!(node.value, Yaml::Map(_)) {
        return Some(Question::Program { name: node.as_text(faults)?.to_string(), with: Value::Null });
    }
    let map = node.as_map(&["name", "with"], faults)?;
    let name = map.require("name", faults)?.as_text(faults)?.to_string();
    Some(Question::Program { name, with: map.get("with").map_or(Value::Null, Node::to_json) })
}

/// A model as `provider/model`.
fn model(node: Option<&Node>, faults: &mut Faults) -> Option<String> {
    let node = node?;
    let text = node.as_text(faults)?;
    let is_whole = text.split_once('/').is_some_and(|(provider, name)| !provider.is_empty() && !name.trim().is_empty());
    if !is_whole {
        faults.push(node.fault(format!("expected `provider/model`, found {}", quote(text))));
    }
    is_whole.then(|| text.to_string())
}
