//! OpenAI chat completions.

use super::{CREATED, Said, pieces};
use serde_json::{Value, json};

pub(super) fn body(said: &Said<'_>) -> Value {
    let calls: Vec<Value> = said
        .attempt
        .tool_calls
        .iter()
        .map(|call| json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}))
        .collect();
    let mut message = json!({"role": "assistant", "content": said.attempt.text, "refusal": said.attempt.refusal});
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    json!({"id": said.id(), "object": "chat.completion", "created": CREATED, "model": said.model(),
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish(said)}], "usage": usage(said)})
}

pub(super) fn events(said: &Said<'_>) -> Vec<(Option<&'static str>, String)> {
    let mut deltas =
        vec![json!({"role": "assistant", "content": if said.attempt.tool_calls.is_empty() { json!("") } else { Value::Null }})];
    deltas.extend(pieces(said.text()).into_iter().map(|piece| json!({"content": piece})));
    deltas.extend(pieces(said.attempt.refusal.as_deref().unwrap_or_default()).into_iter().map(|piece| json!({"refusal": piece})));
    for (index, call) in said.attempt.tool_calls.iter().enumerate() {
        let opening = json!({"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}});
        deltas.push(json!({"tool_calls": [opening]}));
        let arguments = pieces(&call.arguments).into_iter();
        deltas.extend(arguments.map(|piece| json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})));
    }
    let mut chunks: Vec<Value> = deltas.into_iter().map(|delta| chunk(said, delta, None)).collect();
    chunks.push(chunk(said, json!({}), Some(finish(said))));
    if said.asked.pointer("/stream_options/include_usage") == Some(&Value::Bool(true)) {
        let mut last = chunk(said, Value::Null, None);
        last["choices"] = json!([]);
        last["usage"] = usage(said);
        chunks.push(last);
    }
    let data = chunks.into_iter().map(|chunk| chunk.to_string()).chain(["[DONE]".to_string()]);
    data.map(|data| (None, data)).collect()
}

fn chunk(said: &Said<'_>, delta: Value, finish: Option<&str>) -> Value {
    json!({"id": said.id(), "object": "chat.completion.chunk", "created": CREATED, "model": said.model(),
        "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]})
}

/// A refusal has a field of its own, and ends like any other answer.
fn finish<'a>(said: &'a Said<'_>) -> &'a str {
    if said.finish() == "refusal" { "stop" } else { said.finish() }
}

fn usage(said: &Said<'_>) -> Value {
    let usage = said.usage();
    let (input, output) = (usage.input.unwrap_or(0), usage.output.unwrap_or(0));
    let mut json = json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
    if let Some(cached) = usage.cached {
        json["prompt_tokens_details"] = json!({"cached_tokens": cached});
    }
    if let Some(reasoning) = usage.reasoning {
        json["completion_tokens_details"] = json!({"reasoning_tokens": reasoning});
    }
    json
}
