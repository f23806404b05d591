//! What others thought of a request: scores, users' feedback and people's reviews, wherever they are told.

use crate::mapping::{self, Kind};
use crate::otlp::{Attributes, Span, get};
use crate::trace::Trace;
use serde_json::Value;
use std::collections::BTreeMap;

/// One opinion in neutral form.
#[derive(Debug, Default)]
struct Opinion {
    name: String,
    score: Option<f64>,
    label: String,
    /// The attribute or event that told it.
    key: &'static str,
}

/// Words with which a user is not content.
const COMPLAINTS: [&str; 7] = ["complaint", "negative", "bad", "down", "thumbs_down", "thumbs-down", "false"];

fn put(trace: &mut Trace, opinion: Opinion) {
    let Opinion { name, score, label, key } = opinion;
    let said = |label: String| if label.is_empty() { score.map_or(Value::Null, Value::from) } else { Value::from(label) };
    match name.as_str() {
        "user_feedback" => {
            trace.complaint = Some(COMPLAINTS.contains(&label.as_str()) || score.is_some_and(|score| score <= 0.0));
            trace.beside.insert("feedback", (said(label), key));
        }
        "human_review" => {
            trace.review = Some(label.clone());
            trace.beside.insert("review", (said(label), key));
        }
        _ => {
            let Some(score) = score else { return };
            trace.scores.insert(name, score);
            trace.beside.insert("score", (score.into(), key));
        }
    }
}

fn text(attributes: &Attributes, key: &str) -> Option<String> {
    get(attributes, key).and_then(mapping::text)
}

/// The event `gen_ai.evaluation.result`.
pub(super) fn of_evaluation(trace: &mut Trace, attributes: &Attributes) {
    let opinion = Opinion {
        name: text(attributes, "gen_ai.evaluation.name").unwrap_or_else(|| "unnamed".into()),
        score: get(attributes, "gen_ai.evaluation.score.value").and_then(mapping::number),
        label: text(attributes, "gen_ai.evaluation.score.label").unwrap_or_default().to_lowercase(),
        key: "gen_ai.evaluation.result",
    };
    put(trace, opinion);
}

/// The event `app.user_feedback`.
pub(super) fn of_thumb(trace: &mut Trace, attributes: &Attributes) {
    let thumb = text(attributes, "app.feedback.thumb").or_else(|| text(attributes, "app.feedback")).unwrap_or_default();
    put(trace, Opinion { name: "user_feedback".into(), score: None, label: thumb.to_lowercase(), key: "app.feedback.thumb" });
}

/// Opinions on spans: OpenInference's numbered annotations, and Logfire's feedback, a span of its own below the rated one.
pub(super) fn on_spans(trace: &mut Trace, spans: &[&Span]) {
    for (index, span) in spans.iter().enumerate() {
        annotations(&span.attributes).into_iter().for_each(|opinion| put(trace, opinion));
        if trace.nodes[index].kind == Kind::Feedback
            && let Some(name) = text(&span.attributes, "logfire.feedback.name")
        {
            let value = get(&span.attributes, &name);
            let score = value.and_then(mapping::number);
            let label = value.and_then(mapping::text).filter(|_| score.is_none()).unwrap_or_default().to_lowercase();
            put(trace, Opinion { name, score, label, key: "logfire.feedback.name" });
        }
    }
}

/// `annotations.N.annotation.*` and `evaluations.N.evaluation.*`, also of a trace or a session; a person's are a review.
fn annotations(attributes: &Attributes) -> Vec<Opinion> {
    let mut by_number: BTreeMap<(&str, &str), Opinion> = BTreeMap::new();
    let mut people: Vec<(&str, &str)> = Vec::new();
    for (key, value) in attributes {
        let Some((number, member)) = numbered(key) else { continue };
        let opinion = by_number.entry(number).or_insert_with(|| Opinion { key: "annotations", ..Opinion::default() });
        match member {
            "name" => opinion.name = mapping::text(value).unwrap_or_default(),
            "score" => opinion.score = mapping::number(value),
            "label" => opinion.label = mapping::text(value).unwrap_or_default().to_lowercase(),
            "annotator_kind" if value.as_text() == Some("HUMAN") => people.push(number),
            _ => {}
        }
    }
    for number in people {
        if let Some(opinion) = by_number.get_mut(&number).filter(|opinion| opinion.name != "user_feedback") {
            opinion.name = "human_review".into();
        }
    }
    by_number.into_values().collect()
}

/// The list and number of an annotation's key, and its member.
///
/// Read from its end, because every key of every span is asked and nearly none is one.
fn numbered(key: &str) -> Option<((&str, &str), &str)> {
    // The ends of `name`, `score`, `label` and `annotator_kind`.
    const ENDS: [[u8; 4]; 4] = [*b"name", *b"core", *b"abel", *b"kind"];
    if !key.as_bytes().last_chunk().is_some_and(|end| ENDS.contains(end)) {
        return None;
    }
    let (rest, member) = key.rsplit_once('.')?;
    let rest = rest.strip_suffix(".annotation").or_else(|| rest.strip_suffix(".evaluation"))?;
    let (list, number) = rest.rsplit_once('.')?;
    let list = ["annotations", "evaluations"].into_iter().find(|name| list.ends_with(name))?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(((list, number), member))
}
