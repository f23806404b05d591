//! Answers of OpenAI chat completions and of the older text completions, streamed or whole.

use super::call::{Answer, ToolCall, Usage, error};
use super::filter;
use super::{Event, mended};
use crate::tree::Tree;
use std::collections::BTreeMap;

pub(super) fn body(json: &Tree<'_>) -> Answer {
    let mut answer =
        Answer { error: error(json), usage: usage(json), model: text(json, "model"), id: text(json, "id"), ..Answer::default() };
    if let Some(choice) = first_choice(json) {
        answer.finish = text(choice, "finish_reason");
        answer.filtered = filter::of_choice(choice);
        answer.text = text(choice, "text");
        if let Some(message) = choice.get("message") {
            answer.text = text(message, "content");
            answer.refusal = text(message, "refusal");
            answer.tool_calls = message.list("tool_calls").iter().map(tool_call).collect();
            answer.tool_calls.extend(message.get("function_call").filter(|call| !call.is_null()).map(tool_call));
        }
    }
    answer
}

pub(super) fn stream(events: &[Event]) -> Answer {
    let mut answer = Answer::default();
    let mut calls: BTreeMap<u64, ToolCall> = BTreeMap::new();
    for (index, event) in events.iter().enumerate() {
        let said = mended(&event.data);
        let Some(json) = answer.data(index, &said) else { continue };
        answer.error = answer.error.take().or_else(|| error(&json));
        let named = |key: &str| json.text(key).filter(|name| !name.is_empty());
        if let Some(model) = named("model").filter(|model| answer.model.as_deref() != Some(model)) {
            answer.model = Some(model.to_string());
        }
        answer.id = answer.id.take().or_else(|| named("id").map(str::to_string));
        let told = usage(&json);
        if told != Usage::default() {
            answer.usage = told;
        }
        let Some(choice) = first_choice(&json) else { continue };
        answer.finish = text(choice, "finish_reason").or(answer.finish.take());
        answer.filtered.extend(filter::of_choice(choice));
        if let Some(added) = choice.text("text").filter(|added| !added.is_empty()) {
            answer.push_text(added);
            answer.content_at(index);
        }
        if choice.get("delta").is_some_and(|delta| take_delta(delta, &mut answer, &mut calls)) {
            answer.content_at(index);
        }
    }
    answer.tool_calls = calls.into_values().collect();
    answer
}

/// Takes what a delta adds; whether it carries content.
fn take_delta(delta: &Tree<'_>, answer: &mut Answer, calls: &mut BTreeMap<u64, ToolCall>) -> bool {
    let mut carries = false;
    if let Some(content) = delta.text("content") {
        answer.push_text(content);
        carries |= !content.is_empty();
    }
    if let Some(refusal) = delta.text("refusal") {
        answer.push_refusal(refusal);
        carries |= !refusal.is_empty();
    }
    carries |= ["reasoning_content", "reasoning"].iter().any(|key| delta.text(key).is_some_and(|text| !text.is_empty()));
    for call in delta.list("tool_calls") {
        let index = call.count("index").unwrap_or(calls.len() as u64);
        add(calls.entry(index).or_default(), &tool_call(call));
        carries = true;
    }
    if let Some(call) = delta.get("function_call").filter(|call| !call.is_null()) {
        add(calls.entry(0).or_default(), &tool_call(call));
        carries = true;
    }
    carries
}

fn add(call: &mut ToolCall, more: &ToolCall) {
    if call.id.is_empty() {
        call.id.clone_from(&more.id);
    }
    call.name.push_str(&more.name);
    call.arguments.push_str(&more.arguments);
}

fn tool_call(json: &Tree<'_>) -> ToolCall {
    let inner = json.get("function").or_else(|| json.get("custom")).unwrap_or(json);
    let arguments = inner.get("arguments").or_else(|| inner.get("input")).filter(|arguments| !arguments.is_null());
    let arguments = arguments.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_string)).unwrap_or_default();
    ToolCall { id: text(json, "id").unwrap_or_default(), name: text(inner, "name").unwrap_or_default(), arguments }
}

/// Several choices answer one question; the first is the answer.
fn first_choice<'t, 'a>(json: &'t Tree<'a>) -> Option<&'t Tree<'a>> {
    json.list("choices").iter().find(|choice| choice.count("index").unwrap_or(0) == 0)
}

fn usage(json: &Tree<'_>) -> Usage {
    let Some(usage) = json.get("usage") else { return Usage::default() };
    let number = |from: Option<&Tree<'_>>, key: &str| from?.get(key)?.as_u64();
    Usage {
        input: number(Some(usage), "prompt_tokens"),
        output: number(Some(usage), "completion_tokens"),
        cached: number(usage.get("prompt_tokens_details"), "cached_tokens"),
        reasoning: number(usage.get("completion_tokens_details"), "reasoning_tokens"),
    }
}

fn text(json: &Tree<'_>, key: &str) -> Option<String> {
    json.text(key).map(str::to_string)
}
