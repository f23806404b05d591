//! A variation: a case and its target with one factor restored.

use super::patch::Layout;
use super::previous::{Previous, PromptChange, restorable, tool_results};
use crate::case::Case;
use crate::compile;
use crate::diagnosis::Factor;
use crate::project::{Prompt, PromptMessage, PromptTarget, Target, TargetKind};
use crate::prompt;
use crate::replay::Assignment;
use crate::request::Request;
use crate::yaml::Spanned;
use serde_json::{Map, Value};

/// Finish reasons of an answer that a filter stopped.
const FILTERED: [&str; 2] = ["content_filter", "refusal"];
/// Why an application's own choices cannot be restored.
const OWN: &str = "the application chooses these itself; run its previous version";

/// A case and its target with one factor restored.
#[derive(Debug, Clone)]
pub(super) struct Variation {
    pub(super) case: Case,
    pub(super) target: Target,
}

impl Variation {
    fn of(assignment: Assignment<'_>) -> Self {
        Self { case: assignment.case.clone(), target: assignment.target.clone() }
    }

    /// The prompt target with another prompt.
    pub(super) fn prompted(assignment: Assignment<'_>, change: &PromptChange, layout: Layout) -> Self {
        let mut made = Self::of(assignment);
        let place = made.target.place.clone();
        if let TargetKind::Prompt(prompt) = &mut made.target.kind {
            let text = |text: String| if change.is_literal { prompt::quoted(&text) } else { text };
            let message =
                |(role, written): (String, String)| PromptMessage { role, text: Spanned { value: text(written), place: place.clone() } };
            prompt.prompt = Prompt::Messages(layout.into_iter().map(message).collect());
            prompt.identity = change.identity.clone().unwrap_or_else(|| std::mem::take(&mut prompt.identity));
        }
        made
    }

    /// A conversation with one factor restored, but for the prompt; or why there is nothing to restore.
    pub(super) fn of_conversation(
        assignment: Assignment<'_>,
        (previous, base): (&Previous, Option<&Request>),
        factor: Factor,
    ) -> Result<Self, String> {
        let mut made = Self::of(assignment);
        let TargetKind::Prompt(prompt) = &mut made.target.kind else { return Err(OWN.into()) };
        restore(&mut made.case, prompt, (previous, base), factor)?;
        Ok(made)
    }

    /// An application with one factor restored, as far as a case's conditions are it; or why there is nothing to restore.
    pub(super) fn of_application(assignment: Assignment<'_>, base: Option<&Request>, factor: Factor) -> Result<Self, String> {
        let mut made = Self::of(assignment);
        let has_fewer = match factor {
            Factor::Prompt | Factor::Model | Factor::Params | Factor::Tools => return Err(OWN.into()),
            Factor::Documents => {
                let passages = restorable(assignment.case, base).ok().filter(|_| made.case.documents.is_some());
                let has_others = passages.is_some();
                made.case.documents = passages.or_else(|| made.case.documents.take());
                remove(&mut made.case.conditions, &["upstream"]) || has_others
            }
            Factor::Policy => {
                let is_rejecting = remove(&mut made.case.conditions, &["rejected"]);
                retain_model(&mut made.case.conditions, |item| !is_filtered(item)) || is_rejecting
            }
            Factor::Faults => {
                let has_variables = remove(&mut made.case.conditions, &["env"]);
                retain_model(&mut made.case.conditions, is_filtered) || has_variables
            }
        };
        if has_fewer { Ok(made) } else { Err("the case has no condition of this kind".into()) }
    }
}

fn restore(
    case: &mut Case,
    prompt: &mut PromptTarget,
    (previous, base): (&Previous, Option<&Request>),
    factor: Factor,
) -> Result<(), String> {
    match factor {
        Factor::Documents => case.documents = Some(previous.documents.clone()?),
        Factor::Model => prompt.model = previous.model.clone()?,
        Factor::Params => prompt.params = previous.params.clone()?,
        Factor::Tools => {
            case.tools = previous.tools.clone()?;
            prompt.tools = None;
        }
        Factor::Policy => return Err("no guardrail stands in a conversation that relapse holds".into()),
        Factor::Faults => case.tool_results = tool_results(&case.tool_results, &base.map(compile::answered).unwrap_or_default())?,
        Factor::Prompt => return Err("a prompt is restored hunk by hunk".into()),
    }
    Ok(())
}

/// Takes conditions away; whether any was there.
fn remove(conditions: &mut Value, keys: &[&str]) -> bool {
    let Some(map) = conditions.as_object_mut() else { return false };
    let removed: Map<String, Value> = keys.iter().filter_map(|key| map.shift_remove_entry(*key)).collect();
    removed.values().any(|value| !is_empty(value))
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

/// Keeps some conditions of model calls; whether any other was there.
fn retain_model(conditions: &mut Value, keep: impl Fn(&Value) -> bool) -> bool {
    let Some(items) = conditions.get_mut("model").and_then(Value::as_array_mut) else { return false };
    let before = items.len();
    items.retain(keep);
    items.len() < before
}

fn is_filtered(condition: &Value) -> bool {
    condition.get("finish").and_then(Value::as_str).is_some_and(|finish| FILTERED.contains(&finish))
}
