//! Anthropic Messages.

use super::{Said, parsed, pieces};
use serde_json::{Value, json};

pub(super) fn body(said: &Said<'_>) -> Value {
    let mut content = Vec::new();
    if !said.text().is_empty() {
        content.push(json!({"type": "text", "text": said.text()}));
    }
    let calls = said.attempt.tool_calls.iter();
    content.extend(calls.map(|call| json!({"type": "tool_use", "id": call.id, "name": call.name, "input": parsed(&call.arguments)})));
    let mut message = json!({"id": said.id(), "type": "message", "role": "assistant", "model": said.model(), "content": content,
        "usage": usage(said, said.usage().output)});
    stop(said, &mut message);
    message
}

pub(super) fn events(said: &Said<'_>) -> Vec<(Option<&'static str>, String)> {
    let started = json!({"id": said.id(), "type": "message", "role": "assistant", "model": said.model(), "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage(said, Some(1))});
    let mut events = vec![("message_start", json!({"message": started}))];
    let mut index = 0;
    if !said.text().is_empty() {
        let deltas = pieces(said.text()).into_iter().map(|piece| json!({"type": "text_delta", "text": piece}));
        block(index, json!({"type": "text", "text": ""}), deltas.collect(), &mut events);
        index += 1;
    }
    for call in &said.attempt.tool_calls {
        let deltas = pieces(&call.arguments).into_iter().map(|piece| json!({"type": "input_json_delta", "partial_json": piece}));
        block(index, json!({"type": "tool_use", "id": call.id, "name": call.name, "input": {}}), deltas.collect(), &mut events);
        index += 1;
    }
    let mut delta = json!({});
    stop(said, &mut delta);
    events.push(("message_delta", json!({"delta": delta, "usage": {"output_tokens": said.usage().output.unwrap_or(0)}})));
    events.push(("message_stop", json!({})));
    events.into_iter().map(named).collect()
}

fn named((name, rest): (&'static str, Value)) -> (Option<&'static str>, String) {
    let mut event = json!({"type": name});
    if let (Some(event), Value::Object(rest)) = (event.as_object_mut(), rest) {
        event.extend(rest);
    }
    (Some(name), event.to_string())
}

fn block(index: usize, opening: Value, deltas: Vec<Value>, events: &mut Vec<(&'static str, Value)>) {
    events.push(("content_block_start", json!({"index": index, "content_block": opening})));
    events.extend(deltas.into_iter().map(|delta| ("content_block_delta", json!({"index": index, "delta": delta}))));
    events.push(("content_block_stop", json!({"index": index})));
}

/// A refusal has no content; why stands beside the stop reason.
fn stop(said: &Said<'_>, json: &mut Value) {
    json["stop_reason"] = said.finish().into();
    json["stop_sequence"] = Value::Null;
    if let Some(refusal) = &said.attempt.refusal {
        json["stop_details"] = json!({"type": "refusal", "category": null, "explanation": refusal});
    }
}

/// The wire counts cached tokens into the prompt; the API tells them apart.
fn usage(said: &Said<'_>, output: Option<u64>) -> Value {
    let cached = said.usage().cached.unwrap_or(0);
    let input = said.usage().input.unwrap_or(0).saturating_sub(cached);
    json!({"input_tokens": input, "cache_creation_input_tokens": 0, "cache_read_input_tokens": cached, "output_tokens": output.unwrap_or(0)})
}
