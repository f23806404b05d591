//! Anthropic Messages.

use super::{Conversation, Tool, set_params};
use crate::trace::Message;
use serde_json::{Value, json};

/// Anthropic demands a limit; this one is used where the target sets none.
const MAX_TOKENS: u32 = 1024;

pub(super) fn body(conversation: &Conversation) -> Value {
    let mut body = json!({
        "model": conversation.model,
        "messages": turns(conversation),
        "stream": true,
        "max_tokens": MAX_TOKENS,
    });
    if let Some(system) = conversation.system() {
        body["system"] = system.into();
    }
    if !conversation.tools.is_empty() {
        body["tools"] = conversation.tools.iter().map(tool).collect();
    }
    set_params(&mut body, &conversation.params);
    body
}

/// Results of several tools that were asked for in one turn must come back in one message.
fn turns(conversation: &Conversation) -> Vec<Value> {
    let mut turns: Vec<Value> = Vec::new();
    for message in conversation.turns() {
        let turn = turn(message);
        if message.answers.is_some()
            && let Some(last) = turns.last_mut()
            && last["content"][0]["type"] == "tool_result"
            && let Some(blocks) = last["content"].as_array_mut()
        {
            blocks.push(turn["content"][0].clone());
            continue;
        }
        turns.push(turn);
    }
    turns
}

fn turn(message: &Message) -> Value {
    if let Some(id) = &message.answers {
        return json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": message.text}]});
    }
    if message.tool_requests.is_empty() {
        return json!({"role": message.role, "content": message.text});
    }
    let mut blocks = Vec::new();
    if !message.text.is_empty() {
        blocks.push(json!({"type": "text", "text": message.text}));
    }
    for request in &message.tool_requests {
        // The API takes an object; arguments that are no JSON cannot be sent back as they were.
        let input = serde_json::from_str::<Value>(&request.arguments).ok().filter(Value::is_object).unwrap_or_else(|| json!({}));
        blocks.push(json!({"type": "tool_use", "id": request.id, "name": request.name, "input": input}));
    }
    json!({"role": "assistant", "content": blocks})
}

fn tool(tool: &Tool) -> Value {
    let mut json = json!({"name": tool.name, "input_schema": tool.parameters});
    if let Some(description) = &tool.description {
        json["description"] = description.as_str().into();
    }
    json
}
