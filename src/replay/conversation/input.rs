//! A case's input as messages of a conversation.

use crate::trace::{Message, ToolRequest};
use serde_json::Value;

/// A case's input as messages: one text of the user, or a conversation.
pub(super) fn recorded_messages(input: &Value) -> Vec<Message> {
    match input {
        Value::String(text) => vec![Message { role: "user".into(), text: text.clone(), ..Message::default() }],
        Value::Array(items) => items.iter().map(recorded_message).collect(),
        _ => Vec::new(),
    }
}

fn recorded_message(item: &Value) -> Message {
    let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
    let content = match item.get("content") {
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect(),
        _ => text("content"),
    };
    let calls = item.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
    let requests = calls.map(|call| {
        let part = |pointer: &str| call.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string();
        ToolRequest { id: part("/id"), name: part("/function/name"), arguments: part("/function/arguments") }
    });
    let answers = item.get("tool_call_id").and_then(Value::as_str).map(str::to_string);
    Message { role: text("role"), text: content, refusal: None, tool_requests: requests.collect(), answers }
}
