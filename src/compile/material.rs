//! What a replay needs of a postmortem: input, passages, tools and what they answered.

use super::{Read, conditions};
use crate::canonical;
use crate::case::{Passage, ToolResult};
use crate::disk::Root;
use crate::fault::{Fault, Faults};
use crate::limit;
use crate::postmortem::{Input, Postmortem};
use crate::project::{Project, Prompt, TargetKind};
use crate::provider::Tool;
use crate::request::Request;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

pub(super) struct Material {
    pub(super) input: Value,
    pub(super) documents: Option<Vec<Passage>>,
    pub(super) tools: Vec<Value>,
    pub(super) tool_results: Vec<ToolResult>,
    pub(super) conditions: Value,
}

impl Material {
    pub(super) fn gather(root: &Root, postmortem: &Postmortem, read: &Read, faults: &mut Faults) -> Self {
        Self {
            input: input(postmortem, read, faults),
            documents: documents(root, postmortem, read, faults),
            tools: tools(read),
            tool_results: tool_results(root, postmortem, read, faults),
            conditions: conditions::compiled(root, postmortem, read, faults),
        }
    }

    /// Every target that the postmortem names exists, and a prompt that uses `documents` has some.
    pub(super) fn check_targets(&self, root: &Root, project: &Project, postmortem: &Postmortem, faults: &mut Faults) {
        let names: Vec<&str> = project.targets.iter().map(|target| target.name.as_str()).collect();
        for named in postmortem.targets.iter().flatten() {
            if !names.contains(&named.value.as_str()) {
                let fault = Fault::new(format!("no target `{}` in relapse.yaml", named.value)).at(named.place.clone());
                faults.push(fault.help(crate::fault::suggest(&named.value, names.iter().copied())));
            }
        }
        for target in &project.targets {
            let named = postmortem.targets.as_ref().is_none_or(|named| named.iter().any(|name| name.value == target.name));
            let TargetKind::Prompt(prompt) = &target.kind else { continue };
            if named && self.documents.is_none() && uses_documents(root, &prompt.prompt) {
                let message = format!("the prompt of target `{}` uses `documents`, and none are recorded", target.name);
                let fault = Fault::new(message).at(postmortem.title.place.clone());
                faults.push(fault.help("add `conditions: {documents: []}`, or a file of {id, text}"));
            }
        }
    }
}

fn uses_documents(root: &Root, prompt: &Prompt) -> bool {
    let uses = |text: &str| {
        text.split("{{").chain(text.split("{%")).skip(1).any(|code| code.split('}').next().is_some_and(|code| code.contains("documents")))
    };
    match prompt {
        Prompt::File(file) => file.read_text(root, limit::YAML_BYTES).is_ok_and(|text| uses(&text)),
        Prompt::Messages(messages) => messages.iter().any(|message| uses(&message.text.value)),
    }
}

fn input(postmortem: &Postmortem, read: &Read, faults: &mut Faults) -> Value {
    match &postmortem.input {
        Some(Input::Text(text)) => text.value.as_str().into(),
        Some(Input::Messages(messages)) => {
            messages.iter().map(|message| message_json(&message.role, &message.content, &message.further)).collect()
        }
        None => match history(read.incident()).or_else(|| read.incident().input().map(Value::from)) {
            Some(input) => input,
            None => {
                let fault = Fault::new("the evidence does not say what the user asked").at(postmortem.title.place.clone());
                faults.push(fault.help("add `input:` with the user's text, or capture message content"));
                Value::Null
            }
        },
    }
}

fn message_json(role: &str, content: &Value, further: &std::collections::BTreeMap<String, Value>) -> Value {
    let mut map = Map::from_iter([("role".to_string(), role.into()), ("content".to_string(), content.clone())]);
    map.extend(further.iter().map(|(key, value)| (key.clone(), value.clone())));
    Value::Object(map)
}

/// The conversation before the first answer, where it holds more than one question.
fn history(request: &Request) -> Option<Value> {
    let body = &request.exchanges.first()?.request.body;
    let messages = body.get("messages")?.as_array()?;
    let turns: Vec<&Value> = messages
        .iter()
        .filter(|message| message.get("role").and_then(Value::as_str).is_some_and(|role| role != "system" && role != "developer"))
        .collect();
    (turns.len() > 1).then(|| turns.into_iter().cloned().collect())
}

fn documents(root: &Root, postmortem: &Postmortem, read: &Read, faults: &mut Faults) -> Option<Vec<Passage>> {
    if let Some(documents) = &postmortem.conditions.documents {
        let loaded = faults.take(documents.load(root)).unwrap_or_default();
        return Some(loaded.into_iter().map(|document| Passage { id: document.id, text: document.text }).collect());
    }
    let told = read.incident().documents.as_ref()?;
    told.iter().map(|document| Some(Passage { id: document.id.clone(), text: document.text.clone()? })).collect()
}

/// The tools of the recorded request: the wire's, else the telemetry's.
fn tools(read: &Read) -> Vec<Value> {
    let requests = || [read.incident()].into_iter().chain(&read.healthy);
    let of_wire = requests()
        .find_map(|request| request.exchanges.iter().find_map(|exchange| exchange.request.body.get("tools")?.as_array().cloned()));
    let listed = of_wire.or_else(|| {
        requests().filter_map(|request| request.trace.as_ref()).map(|trace| trace.tools.clone()).find(|tools| !tools.is_empty())
    });
    listed.unwrap_or_default().iter().filter_map(Tool::from_json).map(|tool| tool.to_json()).collect()
}

/// The postmortem's own answers, then the incident's, then those of the healthy requests that the incident did not reach.
fn tool_results(root: &Root, postmortem: &Postmortem, read: &Read, faults: &mut Faults) -> Vec<ToolResult> {
    let mut results: Vec<ToolResult> = Vec::new();
    if let Some(written) = &postmortem.tool_results {
        for result in faults.take(written.load(root)).unwrap_or_default() {
            let (value, error) = match result.answer {
                Ok(value) => (Some(value), None),
                Err(error) => (None, Some(error.as_str().map_or_else(|| error.to_string(), str::to_string))),
            };
            add(&mut results, ToolResult { name: result.name.value, arguments: result.arguments, result: value, error });
        }
    }
    for request in [read.incident()].into_iter().chain(&read.healthy) {
        for result in answered(request) {
            add(&mut results, result);
        }
    }
    results
}

fn add(results: &mut Vec<ToolResult>, result: ToolResult) {
    let key = |result: &ToolResult| (result.name.clone(), canonical::json(&result.arguments));
    if !results.iter().any(|known| key(known) == key(&result)) {
        results.push(result);
    }
}

/// What the tools of a request answered, by name and arguments: as the wire shows it, else as the telemetry tells it.
pub fn answered(request: &Request) -> Vec<ToolResult> {
    let of_wire = wire_results(request);
    if of_wire.is_empty() { told_results(request) } else { of_wire }
}

/// Arguments as JSON where they are, else the raw text.
fn arguments(raw: &str) -> Value {
    serde_json::from_str(raw).unwrap_or_else(|_| raw.into())
}

/// A result that is itself JSON in a text stays a text: it is sent back as it was.
fn wire_results(request: &Request) -> Vec<ToolResult> {
    let uses: HashMap<&str, (&str, &str)> =
        request.tool_uses.iter().flatten().map(|tool| (tool.id.as_str(), (tool.name.as_str(), tool.arguments.as_str()))).collect();
    let Some(body) = request.exchanges.last().map(|exchange| &exchange.request.body) else { return Vec::new() };
    let items = body.get("messages").or_else(|| body.get("input")).and_then(Value::as_array);
    let mut results = Vec::new();
    for (id, content) in items.into_iter().flatten().flat_map(tool_answers) {
        if let Some((name, raw)) = uses.get(id.as_str()) {
            results.push(ToolResult { name: name.to_string(), arguments: arguments(raw), result: Some(content), error: None });
        }
    }
    results
}

/// The tool answers in one message, in OpenAI's, Responses' and Anthropic's form.
fn tool_answers(message: &Value) -> Vec<(String, Value)> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_string);
    if message.get("type").and_then(Value::as_str) == Some("function_call_output") {
        return text(message, "call_id").zip(message.get("output").cloned()).into_iter().collect();
    }
    if message.get("role").and_then(Value::as_str) == Some("tool") {
        return text(message, "tool_call_id").zip(message.get("content").cloned()).into_iter().collect();
    }
    let blocks = message.get("content").and_then(Value::as_array).into_iter().flatten();
    blocks
        .filter(|block| block.get("type").and_then(Value::as_str) == Some("tool_result"))
        .filter_map(|block| text(block, "tool_use_id").zip(block.get("content").cloned()))
        .collect()
}

fn told_results(request: &Request) -> Vec<ToolResult> {
    let Some(trace) = &request.trace else { return Vec::new() };
    trace
        .tool_calls
        .iter()
        .filter(|call| call.result.is_some() || call.error.is_some())
        .map(|call| ToolResult {
            name: call.name.clone(),
            arguments: call.arguments.as_deref().map(arguments).unwrap_or_else(|| json!({})),
            result: call.result.as_deref().map(Value::from),
            error: call.result.is_none().then(|| call.error.clone()).flatten(),
        })
        .collect()
}
