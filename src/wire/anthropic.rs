//! Answers of Anthropic Messages, streamed or whole.

use super::call::{Answer, ToolCall, Usage, error};
use super::{Event, mended};
use crate::tree::Tree;
use std::collections::BTreeMap;

pub(super) fn body(json: &Tree<'_>) -> Answer {
    let mut answer = Answer { error: error(json), ..Answer::default() };
    take_message(json, &mut answer);
    answer.usage = usage(json.get("usage"));
    for block in json.list("content") {
        match block.text("type") {
            Some("text") => answer.push_text(block.text("text").unwrap_or_default()),
            Some("tool_use") => answer.tool_calls.push(tool_call(block, block.get("input").map(Tree::to_string).unwrap_or_default())),
            _ => {}
        }
    }
    answer
}

pub(super) fn stream(events: &[Event]) -> Answer {
    let mut answer = Answer::default();
    let mut blocks: BTreeMap<u64, ToolCall> = BTreeMap::new();
    let mut started = Usage::default();
    for (index, event) in events.iter().enumerate() {
        let said = mended(&event.data);
        let Some(json) = answer.data(index, &said) else { continue };
        let block = json.count("index").unwrap_or_default();
        match json.text("type").unwrap_or_default() {
            "message_start" => {
                if let Some(message) = json.get("message") {
                    take_message(message, &mut answer);
                    started = usage(message.get("usage"));
                }
            }
            "content_block_start" => {
                answer.content_at(index);
                start_block(&json, block, &mut answer, &mut blocks);
            }
            "content_block_delta" => take_delta(&json, block, &mut answer, &mut blocks),
            "message_delta" => {
                if let Some(delta) = json.get("delta") {
                    take_stop(delta, &mut answer);
                }
                answer.usage = ended(started, usage(json.get("usage")));
            }
            "error" => answer.error = error(&json),
            _ => {}
        }
    }
    answer.tool_calls = blocks.into_values().collect();
    answer
}

fn start_block(json: &Tree<'_>, block: u64, answer: &mut Answer, blocks: &mut BTreeMap<u64, ToolCall>) {
    let Some(content) = json.get("content_block") else { return };
    match content.text("type") {
        Some("tool_use") => {
            let input = content.get("input").filter(|input| !input.members().is_empty());
            blocks.insert(block, tool_call(content, input.map(Tree::to_string).unwrap_or_default()));
        }
        Some("text") => answer.push_text(content.text("text").unwrap_or_default()),
        _ => {}
    }
}

fn take_delta(json: &Tree<'_>, block: u64, answer: &mut Answer, blocks: &mut BTreeMap<u64, ToolCall>) {
    let text = |key: &str| json.at(&["delta", key]).and_then(Tree::as_str);
    if let Some(added) = text("text") {
        answer.push_text(added);
    }
    if let (Some(added), Some(call)) = (text("partial_json"), blocks.get_mut(&block)) {
        call.arguments.push_str(added);
    }
}

/// The counts at the end are cumulative; what they leave out was told at the start.
fn ended(started: Usage, told: Usage) -> Usage {
    Usage { input: told.input.or(started.input), output: told.output, cached: told.cached.or(started.cached), reasoning: told.reasoning }
}

fn take_message(message: &Tree<'_>, answer: &mut Answer) {
    let text = |key: &str| message.text(key).map(str::to_string);
    answer.id = text("id");
    answer.model = text("model");
    take_stop(message, answer);
}

fn take_stop(json: &Tree<'_>, answer: &mut Answer) {
    let Some(reason) = json.text("stop_reason") else { return };
    answer.finish = Some(reason.to_string());
    if reason == "refusal" {
        let why = json.at(&["stop_details", "explanation"]).and_then(Tree::as_str).unwrap_or("refused");
        answer.refusal = Some(why.to_string());
    }
}

/// Anthropic counts cached parts of the prompt apart; the whole prompt is their sum.
fn usage(json: Option<&Tree<'_>>) -> Usage {
    let number = |key: &str| json.and_then(|usage| usage.get(key)).and_then(Tree::as_u64);
    let (read, written) = (number("cache_read_input_tokens"), number("cache_creation_input_tokens"));
    Usage {
        input: number("input_tokens").map(|input| input + read.unwrap_or(0) + written.unwrap_or(0)),
        output: number("output_tokens"),
        cached: read,
        reasoning: json.and_then(|usage| usage.at(&["output_tokens_details", "thinking_tokens"])).and_then(Tree::as_u64),
    }
}

fn tool_call(block: &Tree<'_>, arguments: String) -> ToolCall {
    let text = |key: &str| block.text(key).unwrap_or_default().to_string();
    ToolCall { id: text("id"), name: text("name"), arguments }
}
