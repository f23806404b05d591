//! OpenAI chat completions.

use super::{Conversation, Tool, set_params};
use crate::trace::Message;
use serde_json::{Value, json};

pub(super) fn body(conversation: &Conversation) -> Value {
    let mut body = json!({
        "model": conversation.model,
        "messages": conversation.messages.iter().map(message).collect::<Vec<_>>(),
        "stream": true,
        // Without it a stream says nothing of its tokens.
        "stream_options": {"include_usage": true},
    });
    if !conversation.tools.is_empty() {
        body["tools"] = conversation.tools.iter().map(tool).collect();
    }
    set_params(&mut body, &conversation.params);
    body
}

fn message(message: &Message) -> Value {
    if let Some(id) = &message.answers {
        return json!({"role": "tool", "tool_call_id": id, "content": message.text});
    }
    if message.tool_requests.is_empty() {
        return json!({"role": message.role, "content": message.text});
    }
    let calls = message
        .tool_requests
        .iter()
        .map(|request| json!({"id": request.id, "type": "function", "function": {"name": request.name, "arguments": request.arguments}}));
    let content = if message.text.is_empty() { Value::Null } else { message.text.as_str().into() };
    json!({"role": "assistant", "content": content, "tool_calls": calls.collect::<Vec<_>>()})
}

fn tool(tool: &Tool) -> Value {
    json!({"type": "function", "function": tool.to_json()})
}
