//! OpenAI Responses.

use super::{CREATED, Said, pieces};
use serde_json::{Value, json};

type Events = Vec<(Option<&'static str>, Value)>;

pub(super) fn body(said: &Said<'_>) -> Value {
    response(said, said.status(), items(said))
}

pub(super) fn events(said: &Said<'_>) -> Vec<(Option<&'static str>, String)> {
    let opened = response(said, "in_progress", Vec::new());
    let mut events: Events =
        vec![(Some("response.created"), json!({"response": opened})), (Some("response.in_progress"), json!({"response": opened}))];
    for (index, item) in items(said).into_iter().enumerate() {
        if item["type"] == "message" {
            message_events(index, &item, &mut events)
        } else {
            call_events(index, &item, &mut events)
        }
        events.push((Some("response.output_item.done"), json!({"output_index": index, "item": item})));
    }
    let last = if said.status() == "completed" { "response.completed" } else { "response.incomplete" };
    events.push((Some(last), json!({"response": body(said)})));
    events.into_iter().enumerate().map(numbered).collect()
}

fn numbered((index, (name, rest)): (usize, (Option<&'static str>, Value))) -> (Option<&'static str>, String) {
    let mut event = json!({"type": name, "sequence_number": index});
    if let (Some(event), Value::Object(rest)) = (event.as_object_mut(), rest) {
        event.extend(rest);
    }
    (name, event.to_string())
}

fn message_events(index: usize, item: &Value, events: &mut Events) {
    let place = json!({"item_id": item["id"], "output_index": index, "content_index": 0});
    let with = |key: &str, value: Value| {
        let mut event = place.clone();
        event[key] = value;
        event
    };
    let part = &item["content"][0];
    let (kind, delta, done) = if part["type"] == "refusal" {
        ("refusal", "response.refusal.delta", "response.refusal.done")
    } else {
        ("text", "response.output_text.delta", "response.output_text.done")
    };
    let mut opened = item.clone();
    (opened["status"], opened["content"]) = (json!("in_progress"), json!([]));
    let mut empty = part.clone();
    empty[kind] = json!("");
    events.push((Some("response.output_item.added"), json!({"output_index": index, "item": opened})));
    events.push((Some("response.content_part.added"), with("part", empty)));
    events.extend(pieces(part[kind].as_str().unwrap_or_default()).into_iter().map(|piece| (Some(delta), with("delta", json!(piece)))));
    events.push((Some(done), with(kind, part[kind].clone())));
    events.push((Some("response.content_part.done"), with("part", part.clone())));
}

fn call_events(index: usize, item: &Value, events: &mut Events) {
    let mut opened = item.clone();
    (opened["status"], opened["arguments"]) = (json!("in_progress"), json!(""));
    events.push((Some("response.output_item.added"), json!({"output_index": index, "item": opened})));
    let arguments = item["arguments"].as_str().unwrap_or_default();
    for piece in pieces(arguments) {
        let event = json!({"item_id": item["id"], "output_index": index, "delta": piece});
        events.push((Some("response.function_call_arguments.delta"), event));
    }
    let event = json!({"item_id": item["id"], "output_index": index, "arguments": arguments});
    events.push((Some("response.function_call_arguments.done"), event));
}

fn response(said: &Said<'_>, status: &str, output: Vec<Value>) -> Value {
    let incomplete = (status == "incomplete").then(|| json!({"reason": said.finish()}));
    let usage = (status != "in_progress").then(|| usage(said));
    json!({"id": said.id(), "object": "response", "created_at": CREATED, "status": status, "error": null,
        "incomplete_details": incomplete, "instructions": said.asked.get("instructions"), "model": said.model(), "output": output,
        "parallel_tool_calls": true, "previous_response_id": said.asked.get("previous_response_id"), "temperature": said.asked.get("temperature"),
        "tool_choice": said.asked.get("tool_choice").cloned().unwrap_or_else(|| json!("auto")),
        "tools": said.asked.get("tools").cloned().unwrap_or_else(|| json!([])), "top_p": 1.0, "usage": usage, "metadata": {}})
}

fn items(said: &Said<'_>) -> Vec<Value> {
    let part = match (&said.attempt.refusal, said.text()) {
        (Some(refusal), _) => Some(json!({"type": "refusal", "refusal": refusal})),
        (None, "") => None,
        (None, text) => Some(json!({"type": "output_text", "text": text, "annotations": []})),
    };
    let message =
        part.map(|part| json!({"id": "msg_conditioned", "type": "message", "status": "completed", "role": "assistant", "content": [part]}));
    let calls = said.attempt.tool_calls.iter().enumerate().map(|(index, call)| {
        json!({"id": format!("fc_conditioned_{index}"), "type": "function_call", "status": "completed", "call_id": call.id,
            "name": call.name, "arguments": call.arguments})
    });
    message.into_iter().chain(calls).collect()
}

fn usage(said: &Said<'_>) -> Value {
    let usage = said.usage();
    let (input, output) = (usage.input.unwrap_or(0), usage.output.unwrap_or(0));
    let mut json = json!({"input_tokens": input, "output_tokens": output, "total_tokens": input + output});
    if let Some(cached) = usage.cached {
        json["input_tokens_details"] = json!({"cached_tokens": cached});
    }
    if let Some(reasoning) = usage.reasoning {
        json["output_tokens_details"] = json!({"reasoning_tokens": reasoning});
    }
    json
}

impl Said<'_> {
    /// An answer is incomplete when it has a finish reason that is neither a status nor a refusal.
    fn status(&self) -> &'static str {
        match self.finish() {
            "completed" | "stop" | "refusal" => "completed",
            _ => "incomplete",
        }
    }
}
