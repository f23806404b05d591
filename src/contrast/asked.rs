//! What a model was asked in each logical call: system prompt, turns, tools and parameters; from the wire, else from telemetry.

use crate::provider::Tool;
use crate::request::Request;
use crate::trace::{History, Message, ToolRequest};
use crate::wire::Exchange;
use serde_json::{Map, Value};

/// Keys of a body that are no parameters: content, identity and transport.
const NO_PARAMETERS: [&str; 14] = [
    "messages",
    "input",
    "instructions",
    "system",
    "tools",
    "model",
    "stream",
    "stream_options",
    "metadata",
    "user",
    "store",
    "previous_response_id",
    "prompt_cache_key",
    "include",
];

/// One logical call of a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Call {
    /// The system prompt, all parts joined.
    pub(super) system: String,
    /// Everything else that was said so far.
    pub(super) turns: Vec<Message>,
    /// The tools that the model was told of; none when nothing says.
    pub(super) tools: Option<Vec<Tool>>,
    /// Parameters, as `temperature`; none without a wire.
    pub(super) params: Option<Map<String, Value>>,
    /// Whether all turns are here: the provider may keep some, and telemetry joins what answers several tools.
    pub(super) is_whole: bool,
}

/// The calls of a request; none when neither wire nor telemetry has their content.
pub(super) fn calls(request: &Request) -> Option<Vec<Call>> {
    of_wire(request).or_else(|| of_trace(request))
}

fn of_wire(request: &Request) -> Option<Vec<Call>> {
    let wire = request.wire.as_ref()?;
    let exchange = |seq: u64| request.exchanges.iter().find(|exchange| exchange.seq == seq);
    let calls: Vec<Call> = wire.calls.iter().filter_map(|call| exchange(call.last().seq)).map(read).collect();
    (!calls.is_empty()).then_some(calls)
}

fn of_trace(request: &Request) -> Option<Vec<Call>> {
    let trace = request.trace.as_ref()?;
    let told: Vec<&History> = trace.model_calls.iter().map(|call| &call.input).filter(|input| !input.is_empty()).collect();
    // With a hole in what was asked, nothing that is counted in it can be compared.
    if told.is_empty() || told.iter().any(|input| input.is_broken()) {
        return None;
    }
    let tools: Vec<Tool> = trace.tools.iter().filter_map(Tool::from_json).collect();
    let tools = (!tools.is_empty()).then_some(tools);
    Some(told.into_iter().map(|messages| Call { tools: tools.clone(), ..split(messages.iter().cloned().collect()) }).collect())
}

pub(super) fn read(exchange: &Exchange) -> Call {
    let body = &exchange.request.body;
    let mut messages: Vec<Message> = Vec::new();
    for key in ["instructions", "system"] {
        if let Some(text) = body.get(key).map(text).filter(|text| !text.is_empty()) {
            messages.push(Message { role: "system".into(), text, ..Message::default() });
        }
    }
    match body.get("messages").or_else(|| body.get("input")) {
        Some(Value::String(text)) => messages.push(Message { role: "user".into(), text: text.clone(), ..Message::default() }),
        Some(Value::Array(items)) => items.iter().for_each(|item| take(item, &mut messages)),
        _ => {}
    }
    let tools = body.get("tools").and_then(Value::as_array).map(|tools| tools.iter().filter_map(Tool::from_json).collect());
    let params = body.as_object().map(|map| {
        map.iter().filter(|(key, _)| !NO_PARAMETERS.contains(&key.as_str())).map(|(key, value)| (key.clone(), value.clone())).collect()
    });
    let refers = |item: &Value| item.get("type").and_then(Value::as_str) == Some("item_reference");
    let is_whole = body.get("previous_response_id").is_none_or(Value::is_null)
        && !body.get("input").and_then(Value::as_array).is_some_and(|items| items.iter().any(refers));
    Call { tools: Some(tools.unwrap_or_default()), params, is_whole, ..split(messages) }
}

fn split(messages: Vec<Message>) -> Call {
    let (system, turns): (Vec<Message>, Vec<Message>) =
        messages.into_iter().partition(|message| matches!(message.role.as_str(), "system" | "developer"));
    let system = system.into_iter().map(|message| message.text).collect::<Vec<_>>().join("\n");
    Call { system, turns, ..Call::default() }
}

/// Takes one item of a conversation: a chat message, a Responses item, or an Anthropic message with blocks.
fn take(item: &Value, messages: &mut Vec<Message>) {
    let named = |key: &str| item.get(key).and_then(Value::as_str).map(str::to_string);
    match item.get("type").and_then(Value::as_str) {
        Some("function_call") => messages.push(Message {
            role: "assistant".into(),
            tool_requests: vec![request(item, named("call_id").unwrap_or_default())],
            ..Message::default()
        }),
        Some("function_call_output") => messages.push(Message {
            role: "tool".into(),
            text: item.get("output").map(text).unwrap_or_default(),
            answers: named("call_id"),
            ..Message::default()
        }),
        Some("item_reference") => {}
        _ => take_message(item, messages),
    }
}

fn take_message(item: &Value, messages: &mut Vec<Message>) {
    let role = item.get("role").and_then(Value::as_str).unwrap_or("user").to_string();
    let mut message = Message { role, answers: item.get("tool_call_id").and_then(Value::as_str).map(str::to_string), ..Message::default() };
    for call in item.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
        let id = call.get("id").and_then(Value::as_str).unwrap_or_default();
        message.tool_requests.push(request(call.get("function").unwrap_or(call), id.to_string()));
    }
    let blocks = item.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_tool = |block: &&Value| block.get("type").and_then(Value::as_str).is_some_and(|kind| kind.starts_with("tool_"));
    for block in blocks.iter().filter(is_tool) {
        let id = |key: &str| block.get(key).and_then(Value::as_str).map(str::to_string);
        if block.get("type").and_then(Value::as_str) == Some("tool_use") {
            message.tool_requests.push(request(block, id("id").unwrap_or_default()));
        } else {
            let text = block.get("content").map(text).unwrap_or_default();
            messages.push(Message { role: "tool".into(), text, answers: id("tool_use_id"), ..Message::default() });
        }
    }
    message.text = item.get("content").map(text).unwrap_or_default();
    if !message.text.is_empty() || !message.tool_requests.is_empty() || blocks.is_empty() {
        messages.push(message);
    }
}

fn request(json: &Value, id: String) -> ToolRequest {
    let name = json.get("name").and_then(Value::as_str).unwrap_or_default().to_string();
    let arguments = json.get("arguments").or_else(|| json.get("input"));
    let arguments = arguments.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_string)).unwrap_or_default();
    ToolRequest { id, name, arguments }
}

/// A text, or the texts of a list of parts.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part.as_str().or_else(|| part.get("text").and_then(Value::as_str)));
            texts.collect::<Vec<_>>().join("\n")
        }
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{ModelCall, Trace};
    use serde_json::json;

    fn exchange(path: &str, body: &Value) -> Exchange {
        let line = json!({"seq": 1, "request": {"method": "POST", "path": path, "body": body}, "response": null, "unanswered": true});
        crate::wire::read_line(&line.to_string()).unwrap()
    }

    #[test]
    fn what_was_asked_is_unknown_where_a_history_cannot_be_read() {
        let call = |text: &str| ModelCall {
            node: 0,
            input: History::unread(&[], text.to_string(), |text| (text == "[{}]").then(Vec::new)).unwrap(),
            output: None,
        };
        let of = |texts: &[&str]| {
            let model_calls = texts.iter().map(|text| call(text)).collect();
            calls(&Request { trace: Some(Trace { model_calls, ..Trace::default() }), ..Request::default() })
        };
        assert!(of(&["[{}]", "[{}]"]).is_some());
        assert!(of(&["[{}]", "[{?}]"]).is_none());
    }

    #[test]
    fn the_three_forms_of_a_conversation_are_read_alike() {
        let chat = json!({"model": "m", "temperature": 0, "tools": [{"type": "function", "function": {"name": "look"}}], "messages": [
            {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where?"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "function": {"name": "look", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "here"}]});
        let responses = json!({"model": "m", "temperature": 0, "instructions": "Be kind.", "tools": [{"type": "function", "name": "look"}], "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Where?"}]},
            {"type": "function_call", "call_id": "1", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": "here"}]});
        let anthropic = json!({"model": "m", "temperature": 0, "system": [{"type": "text", "text": "Be kind."}], "tools": [{"name": "look"}], "messages": [
            {"role": "user", "content": "Where?"}, {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "look", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "here"}]}]}]});
        let read = |path, body| read(&exchange(path, body));
        let expected = read("/v1/chat/completions", &chat);
        assert_eq!((expected.system.as_str(), expected.turns.len()), ("Be kind.", 3));
        assert_eq!(read("/v1/responses", &responses), expected);
        assert_eq!(read("/v1/messages", &anthropic), expected);
    }
}
