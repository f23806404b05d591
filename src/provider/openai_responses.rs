//! OpenAI Responses.

use super::{Conversation, Tool, set_params};
use crate::trace::Message;
use serde_json::{Value, json};

pub(super) fn body(conversation: &Conversation) -> Value {
    let mut body = json!({
        "model": conversation.model,
        "input": conversation.turns().flat_map(items).collect::<Vec<_>>(),
        "stream": true,
        // Nothing is kept on the server: every turn is whole, so that it can be replayed.
        "store": false,
    });
    if let Some(system) = conversation.system() {
        body["instructions"] = system.into();
    }
    if !conversation.tools.is_empty() {
        body["tools"] = conversation.tools.iter().map(tool).collect();
    }
    let renamed = |name: &String| if name == "max_tokens" { "max_output_tokens".to_string() } else { name.clone() };
    set_params(&mut body, &conversation.params.iter().map(|(name, value)| (renamed(name), value.clone())).collect());
    body
}

fn items(message: &Message) -> Vec<Value> {
    if let Some(id) = &message.answers {
        return vec![json!({"type": "function_call_output", "call_id": id, "output": message.text})];
    }
    let mut items = Vec::new();
    if !message.text.is_empty() {
        items.push(json!({"role": message.role, "content": message.text}));
    }
    items.extend(
        message
            .tool_requests
            .iter()
            .map(|request| json!({"type": "function_call", "call_id": request.id, "name": request.name, "arguments": request.arguments})),
    );
    items
}

fn tool(tool: &Tool) -> Value {
    let mut json = tool.to_json();
    json["type"] = "function".into();
    json
}
