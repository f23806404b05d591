//! Answers of OpenAI Responses, streamed or whole.

use super::Event;
use super::call::{Answer, ProviderError, ToolCall, Usage, error};
use serde_json::Value;

pub(super) fn body(json: &Value) -> Answer {
    let mut answer = Answer::default();
    take_response(json, &mut answer);
    for item in json.get("output").and_then(Value::as_array).into_iter().flatten() {
        take_item(item, &mut answer);
    }
    answer
}

/// The last event holds the whole answer; where the stream broke off, the deltas have to do.
pub(super) fn stream(events: &[Event]) -> Answer {
    let mut answer = Answer::default();
    let mut first_content = None;
    for (index, event) in events.iter().enumerate() {
        let Some(json) = answer.data(index, event) else { continue };
        let kind = json.get("type").and_then(Value::as_str).or(event.event.as_deref()).unwrap_or_default().to_string();
        if carries_content(&kind, &json) {
            first_content.get_or_insert(index);
        }
        take_event(&kind, &json, &mut answer);
    }
    answer.first_content = first_content;
    answer
}

fn carries_content(kind: &str, json: &Value) -> bool {
    kind.ends_with(".delta")
        || (kind == "response.output_item.added" && json.pointer("/item/type").and_then(Value::as_str) == Some("function_call"))
}

fn take_event(kind: &str, json: &Value, answer: &mut Answer) {
    let delta = json.get("delta").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "response.created" | "response.in_progress" => {
            answer.id = json.pointer("/response/id").and_then(Value::as_str).map(str::to_string);
            answer.model = json.pointer("/response/model").and_then(Value::as_str).map(str::to_string);
        }
        "response.output_text.delta" => answer.push_text(delta),
        "response.refusal.delta" => answer.push_refusal(delta),
        "response.output_item.done" if json.pointer("/item/type").and_then(Value::as_str) == Some("function_call") => {
            answer.tool_calls.extend(json.get("item").map(tool_call));
        }
        "response.completed" | "response.incomplete" | "response.failed" => {
            let Some(response) = json.get("response") else { return };
            let whole = body(response);
            let has_output = response.get("output").and_then(Value::as_array).is_some_and(|items| !items.is_empty());
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

fn flat_error(json: &Value) -> ProviderError {
    let text = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_string);
    ProviderError { kind: text("code").unwrap_or_else(|| "error".into()), message: text("message").unwrap_or_default() }
}

fn take_response(json: &Value, answer: &mut Answer) {
    let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str).map(str::to_string);
    let number = |pointer: &str| json.pointer(pointer).and_then(Value::as_u64);
    answer.id = text("/id");
    answer.model = text("/model");
    answer.error = error(json);
    // An incomplete answer says why in a place of its own.
    answer.finish =
        text("/incomplete_details/reason").or_else(|| text("/status").filter(|status| status != "in_progress" && status != "failed"));
    answer.usage = Usage {
        input: number("/usage/input_tokens"),
        output: number("/usage/output_tokens"),
        cached: number("/usage/input_tokens_details/cached_tokens"),
        reasoning: number("/usage/output_tokens_details/reasoning_tokens"),
    };
}

fn take_item(item: &Value, answer: &mut Answer) {
    match item.get("type").and_then(Value::as_str) {
        Some("function_call" | "custom_tool_call") => answer.tool_calls.push(tool_call(item)),
        Some("message") => {
            for part in item.get("content").and_then(Value::as_array).into_iter().flatten() {
                if let Some(text) = part.get("text").and_then(Value::as_str) {
                    answer.push_text(text);
                }
                if let Some(refusal) = part.get("refusal").and_then(Value::as_str) {
                    answer.push_refusal(refusal);
                }
            }
        }
        _ => {}
    }
}

fn tool_call(item: &Value) -> ToolCall {
    let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
    let arguments = if item.get("arguments").is_some() { text("arguments") } else { text("input") };
    ToolCall { id: text("call_id"), name: text("name"), arguments }
}
