//! Answers of OpenAI Responses, streamed or whole.

use super::call::{Answer, ProviderError, ToolCall, Usage, error};
use super::{Event, mended};
use crate::tree::Tree;

pub(super) fn body(json: &Tree<'_>) -> Answer {
    let mut answer = Answer::default();
    take_response(json, &mut answer);
    for item in json.list("output") {
        take_item(item, &mut answer);
    }
    answer
}

/// The last event holds the whole answer; where the stream broke off, the deltas have to do.
pub(super) fn stream(events: &[Event]) -> Answer {
    let mut answer = Answer::default();
    let mut first_content = None;
    for (index, event) in events.iter().enumerate() {
        let said = mended(&event.data);
        let Some(json) = answer.data(index, &said) else { continue };
        let kind = json.text("type").or(event.event.as_deref()).unwrap_or_default().to_string();
        if carries_content(&kind, &json) {
            first_content.get_or_insert(index);
        }
        take_event(&kind, &json, &mut answer);
    }
    answer.first_content = first_content;
    answer
}

fn carries_content(kind: &str, json: &Tree<'_>) -> bool {
    kind.ends_with(".delta")
        || (kind == "response.output_item.added" && json.at(&["item", "type"]).and_then(Tree::as_str) == Some("function_call"))
}

fn take_event(kind: &str, json: &Tree<'_>, answer: &mut Answer) {
    let delta = json.text("delta").unwrap_or_default();
    match kind {
        "response.created" | "response.in_progress" => {
            answer.id = json.at(&["response", "id"]).and_then(Tree::as_str).map(str::to_string);
            answer.model = json.at(&["response", "model"]).and_then(Tree::as_str).map(str::to_string);
        }
        "response.output_text.delta" => answer.push_text(delta),
        "response.refusal.delta" => answer.push_refusal(delta),
        "response.output_item.done" if json.at(&["item", "type"]).and_then(Tree::as_str) == Some("function_call") => {
            answer.tool_calls.extend(json.get("item").map(tool_call));
        }
        "response.completed" | "response.incomplete" | "response.failed" => {
            let Some(response) = json.get("response") else { return };
            let whole = body(response);
            let has_output = !response.list("output").is_empty();
            if has_output {
                *answer = whole;
            } else {
                *answer = Answer {
                    text: answer.text.take(),
                    refusal: answer.refusal.take(),
                    tool_calls: std::mem::take(&mut answer.tool_calls),
                    ..whole
                };
            }
        }
        "error" => answer.error = error(json).or_else(|| Some(flat_error(json))),
        _ => {
            if let Some(found) = error(json) {
                answer.error = Some(found);
            }
        }
    }
}

fn flat_error(json: &Tree<'_>) -> ProviderError {
    let text = |key: &str| json.text(key).map(str::to_string);
    ProviderError { kind: text("code").unwrap_or_else(|| "error".into()), message: text("message").unwrap_or_default() }
}

fn take_response(json: &Tree<'_>, answer: &mut Answer) {
    let text = |keys: &[&str]| json.at(keys).and_then(Tree::as_str).map(str::to_string);
    let number = |keys: &[&str]| json.at(keys).and_then(Tree::as_u64);
    answer.id = text(&["id"]);
    answer.model = text(&["model"]);
    answer.error = error(json);
    // An incomplete answer says why in a place of its own.
    answer.finish = text(&["incomplete_details", "reason"])
        .or_else(|| text(&["status"]).filter(|status| status != "in_progress" && status != "failed"));
    answer.usage = Usage {
        input: number(&["usage", "input_tokens"]),
        output: number(&["usage", "output_tokens"]),
        cached: number(&["usage", "input_tokens_details", "cached_tokens"]),
        reasoning: number(&["usage", "output_tokens_details", "reasoning_tokens"]),
    };
}

fn take_item(item: &Tree<'_>, answer: &mut Answer) {
    match item.text("type") {
        Some("function_call" | "custom_tool_call") => answer.tool_calls.push(tool_call(item)),
        Some("message") => {
            for part in item.list("content") {
                if let Some(text) = part.text("text") {
                    answer.push_text(text);
                }
                if let Some(refusal) = part.text("refusal") {
                    answer.push_refusal(refusal);
                }
            }
        }
        _ => {}
    }
}

fn tool_call(item: &Tree<'_>) -> ToolCall {
    let text = |key: &str| item.text(key).unwrap_or_default().to_string();
    let arguments = if item.get("arguments").is_some() { text("arguments") } else { text("input") };
    ToolCall { id: text("call_id"), name: text("name"), arguments }
}
