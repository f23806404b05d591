//! Messages of every convention, read into one neutral form.

use super::plain;
use crate::otlp::{AnyValue, Attributes};
use crate::trace::{Document, Message, ToolRequest};
use crate::tree::Tree;
use serde_json::Value;
use std::collections::BTreeMap;

/// Messages out of a JSON list: OpenTelemetry's parts, OpenAI's, Anthropic's, the AI SDK's and Bedrock Converse's content.
pub(super) fn list(json: &Value) -> Vec<Message> {
    read(&Tree::from(json))
}

/// Messages out of the text of a JSON list; none when it is no JSON, as when it was cut off.
pub(super) fn parse(text: &str) -> Option<Vec<Message>> {
    plain::parse(text).or_else(|| Tree::parse_twice(text).map(|tree| read(&tree)))
}

fn read(json: &Tree<'_>) -> Vec<Message> {
    let items = match json {
        Tree::List(items) => items.as_slice(),
        Tree::Object(_) => match LISTS.iter().find_map(|key| json.get(key)).and_then(Tree::as_array) {
            Some(items) => items,
            None => return vec![message(json)],
        },
        Tree::Text(text) => return vec![Message { role: "assistant".into(), text: text.to_string(), ..Message::default() }],
        Tree::Null | Tree::Bool(_) | Tree::Number(_) => return Vec::new(),
    };
    // LangChain keeps one list of messages per prompt.
    let items = match items {
        [Tree::List(inner)] => inner.as_slice(),
        other => other,
    };
    let mut messages: Vec<Message> = Vec::with_capacity(items.len());
    let mut answering = false;
    for item in items {
        let message = message(item.get("message").unwrap_or(item));
        let is_answer = is_answer_item(item) && message.role == "assistant";
        match messages.last_mut().filter(|_| answering && is_answer) {
            Some(answer) => extend(answer, message),
            None => messages.push(message),
        }
        answering = is_answer;
    }
    messages
}

/// The keys under which an object keeps its list of messages, choices, generations or items.
const LISTS: [&str; 4] = ["messages", "choices", "generations", "output"];

/// Whether an item of OpenAI's Responses is a part of one answer, which it spreads over several.
fn is_answer_item(item: &Tree<'_>) -> bool {
    matches!(item.get("type").and_then(Tree::as_str), Some("message" | "function_call" | "reasoning"))
}

fn extend(answer: &mut Message, more: Message) {
    answer.text.push_str(&more.text);
    answer.tool_requests.extend(more.tool_requests);
    answer.refusal = answer.refusal.take().or(more.refusal);
}

fn message(json: &Tree<'_>) -> Message {
    // LangChain writes the message's class beside its members.
    let inner = json.get("kwargs").or_else(|| json.get("data")).unwrap_or(json);
    let mut message = Message { role: role(json, inner), ..Message::default() };
    for part in parts(inner) {
        read_part(part, &mut message);
    }
    if matches!(json.get("type").and_then(Tree::as_str), Some("function_call" | "function_call_output")) {
        read_part(json, &mut message);
    }
    let calls = |json: &Tree<'_>| json.get("tool_calls").and_then(Tree::as_array).is_some_and(|calls| !calls.is_empty());
    let holder = if calls(inner) { Some(inner) } else { inner.get("additional_kwargs").filter(|kwargs| calls(kwargs)) };
    for call in holder.and_then(|holder| holder.get("tool_calls")).and_then(Tree::as_array).into_iter().flatten() {
        message.tool_requests.extend(tool_request(call));
    }
    let json = inner;
    if let Some(refusal) = json.get("refusal").and_then(Tree::as_str).filter(|text| !text.is_empty()) {
        message.refusal = Some(refusal.to_string());
    }
    if let Some(id) = json.get("tool_call_id").and_then(Tree::as_str) {
        message.answers = Some(id.to_string());
    }
    message
}

/// The role, or what LangChain's type or class of the message stands for.
fn role(json: &Tree<'_>, inner: &Tree<'_>) -> String {
    if let Some(role) = inner.get("role").and_then(Tree::as_str) {
        return role.to_string();
    }
    let class = json.get("id").and_then(Tree::as_array).and_then(|path| path.last()?.as_str());
    let kind = inner.get("type").or_else(|| json.get("type")).and_then(Tree::as_str).filter(|kind| *kind != "constructor");
    match kind.or(class).unwrap_or_default() {
        "human" | "HumanMessage" => "user",
        "system" | "SystemMessage" => "system",
        "tool" | "ToolMessage" | "function_call_output" => "tool",
        _ => "assistant",
    }
    .to_string()
}

fn parts<'t, 'a>(json: &'t Tree<'a>) -> &'t [Tree<'a>] {
    match json.get("parts").or_else(|| json.get("content")).or_else(|| json.get("text")) {
        Some(Tree::List(parts)) => parts,
        Some(text @ Tree::Text(_)) => std::slice::from_ref(text),
        _ => &[],
    }
}

fn read_part(part: &Tree<'_>, message: &mut Message) {
    let text = |key: &str| part.get(key).and_then(Tree::as_str);
    match part.get("type").and_then(Tree::as_str).unwrap_or("text") {
        "text" if part.get("toolUse").is_some() => message.tool_requests.extend(part.get("toolUse").and_then(tool_request)),
        "text" if part.get("toolResult").is_some() => {
            let result = part.get("toolResult");
            message.answers = result.and_then(|result| result.get("toolUseId")).and_then(Tree::as_str).map(str::to_string);
            let content = result.and_then(|result| result.get("content")).and_then(Tree::as_array).unwrap_or_default();
            content.iter().for_each(|inner| {
                message.text.push_str(&inner.get("text").or_else(|| inner.get("json")).map(as_written).unwrap_or_default())
            });
        }
        "text" | "input_text" | "output_text" => {
            message.text.push_str(part.as_str().or_else(|| text("content")).or_else(|| text("text")).unwrap_or_default());
        }
        "refusal" => message.refusal = text("content").or_else(|| text("refusal")).map(str::to_string),
        "tool_call" | "tool-call" | "tool_use" | "function_call" => message.tool_requests.extend(tool_request(part)),
        "tool_call_response" | "tool-result" | "tool_result" | "function_call_output" => {
            message.answers = ["call_id", "id", "toolCallId", "tool_use_id"].iter().find_map(|key| text(key)).map(str::to_string);
            let result = ["response", "result", "output", "content"].iter().find_map(|key| part.get(key));
            message.text.push_str(&result.map(as_written).unwrap_or_default());
        }
        _ => {}
    }
}

fn tool_request(call: &Tree<'_>) -> Option<ToolRequest> {
    let inner = call.get("function").unwrap_or(call);
    let text = |keys: &[&str]| {
        keys.iter().find_map(|key| call.get(key).or_else(|| inner.get(key)).and_then(Tree::as_str)).unwrap_or_default().to_string()
    };
    let name = text(&["name", "toolName"]);
    let arguments = ["arguments", "input", "args"].iter().find_map(|key| inner.get(key)).map(as_written).unwrap_or_default();
    (!name.is_empty()).then(|| ToolRequest { id: text(&["call_id", "id", "toolCallId", "toolUseId"]), name, arguments })
}

/// A string as it is, anything else as JSON.
fn as_written(value: &Tree<'_>) -> String {
    value.as_str().map_or_else(|| serde_json::to_string(value).unwrap_or_default(), str::to_string)
}

/// Tool requests of the AI SDK's list.
pub(super) fn tool_requests(json: &Value) -> Vec<ToolRequest> {
    Tree::from(json).as_array().into_iter().flatten().filter_map(tool_request).collect()
}

/// Messages that are spread over numbered keys, as in `llm.output_messages.0.message.content`.
pub(super) fn flattened(attributes: &Attributes, prefix: &str, inner: &str) -> Vec<Message> {
    let mut by_index: BTreeMap<usize, BTreeMap<&str, &AnyValue>> = BTreeMap::new();
    for (key, value) in attributes {
        let Some((index, rest)) = numbered(key, prefix) else { continue };
        let rest = if inner.is_empty() { rest } else { rest.strip_prefix(inner).unwrap_or(rest) };
        by_index.entry(index).or_default().insert(rest, value);
    }
    by_index.values().map(|keys| flat_message(keys)).collect()
}

fn numbered<'a>(key: &'a str, prefix: &str) -> Option<(usize, &'a str)> {
    let (index, rest) = key.strip_prefix(prefix)?.split_once('.')?;
    Some((index.parse().ok().filter(|index| *index < 100_000)?, rest))
}

fn flat_message(keys: &BTreeMap<&str, &AnyValue>) -> Message {
    let text = |key: &str| keys.get(key).and_then(|value| value.as_text()).map(str::to_string);
    let mut message = Message {
        role: text("role").unwrap_or_else(|| "assistant".into()),
        text: text("content").unwrap_or_default(),
        refusal: text("refusal"),
        answers: text("tool_call_id"),
        tool_requests: flat_tool_requests(keys),
    };
    if message.text.is_empty() {
        let parts = keys.iter().filter(|(key, _)| key.starts_with("contents.") && key.ends_with("message_content.text"));
        message.text = parts.filter_map(|(_, value)| value.as_text()).collect();
    }
    message
}

fn flat_tool_requests(keys: &BTreeMap<&str, &AnyValue>) -> Vec<ToolRequest> {
    let mut by_index: BTreeMap<usize, ToolRequest> = BTreeMap::new();
    for (key, value) in keys {
        let Some((index, rest)) = numbered(key, "tool_calls.") else { continue };
        let request =
            by_index.entry(index).or_insert_with(|| ToolRequest { id: String::new(), name: String::new(), arguments: String::new() });
        let text = value.as_text().unwrap_or_default().to_string();
        match rest.trim_start_matches("tool_call.").trim_start_matches("function.") {
            "id" => request.id = text,
            "name" => request.name = text,
            "arguments" => request.arguments = text,
            _ => {}
        }
    }
    by_index.into_values().filter(|request| !request.name.is_empty()).collect()
}

/// Retrieved passages out of a JSON list.
pub(super) fn documents(json: &Value) -> Option<Vec<Document>> {
    let json = Tree::from(json);
    let items = json.as_array().or_else(|| json.get("documents").and_then(Tree::as_array))?;
    Some(items.iter().map(document).collect())
}

fn document(json: &Tree<'_>) -> Document {
    let inner =
        |key: &str| json.get(key).filter(|value| !value.is_null()).or_else(|| json.get("metadata").and_then(|metadata| metadata.get(key)));
    let text = ["text", "content", "page_content"].iter().find_map(|key| json.get(key).and_then(Tree::as_str));
    Document {
        id: inner("id").map(as_written).unwrap_or_default(),
        score: inner("score").and_then(Tree::as_f64),
        text: text.map(str::to_string),
    }
}

/// Passages that are spread over numbered keys, as in `retrieval.documents.0.document.id`.
pub(super) fn flattened_documents(attributes: &Attributes) -> Option<Vec<Document>> {
    let mut by_index: BTreeMap<usize, Document> = BTreeMap::new();
    for (key, value) in attributes {
        let Some((index, rest)) = numbered(key, "retrieval.documents.") else { continue };
        let document = by_index.entry(index).or_insert_with(|| Document { id: String::new(), score: None, text: None });
        match rest.trim_start_matches("document.") {
            "id" => document.id = crate::mapping::text(value).unwrap_or_default(),
            "score" => document.score = crate::mapping::number(value),
            "content" => document.text = value.as_text().map(str::to_string),
            "metadata" => read_metadata(value, document),
            _ => {}
        }
    }
    (!by_index.is_empty()).then(|| by_index.into_values().collect())
}

fn read_metadata(value: &AnyValue, document: &mut Document) {
    let Some(metadata) = crate::mapping::json(value) else { return };
    if document.id.is_empty() {
        document.id = metadata.get("id").map(|id| as_written(&id.into())).unwrap_or_default();
    }
    document.score = document.score.or_else(|| metadata.get("score").and_then(Value::as_f64));
}
