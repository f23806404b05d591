//! A conversation with a model: prompt, answer, tools from the case, until a final answer.

use super::{Stage, Undecided};
use crate::canonical;
use crate::case::{Case, Passage, ToolResult};
use crate::fault::{Fault, Faults, Place};
use crate::limit;
use crate::project::{self, Api, PromptTarget, Target};
use crate::prompt::{Part, Prompt, Recorded};
use crate::provider::{self, Conversation, Tool};
use crate::recording::Answers;
use crate::request::{Request, canonical_arguments};
use crate::trace::{Document, Message, ToolRequest};
use crate::verdict::Doubt;
use crate::wire::call::Attempt;
use crate::wire::{self, Exchange};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A prompt target, ready to speak.
#[derive(Debug)]
pub(super) struct Speaker {
    api: Api,
    model: String,
    prompt: Prompt,
    params: Map<String, Value>,
    tools: Option<Vec<Tool>>,
    vars: BTreeMap<String, Value>,
    max_turns: u32,
}

impl Speaker {
    pub(super) fn new(stage: Stage<'_>, target: &Target, prompt: &PromptTarget) -> Result<Self, Faults> {
        let mut faults = Faults::new();
        let parts = faults.take(parts(stage, prompt));
        let tools = prompt.tools.as_ref().map(|file| {
            let text = file.read_text(stage.root, limit::YAML_BYTES)?;
            parse_tools(&text).map_err(|why| Fault::new(why).in_file(file.path.clone()))
        });
        let tools = tools.and_then(|tools| faults.take(tools));
        let made = parts.and_then(|parts| faults.take(Prompt::new(parts)));
        let api = api(stage.project, prompt)
            .ok_or_else(|| Fault::new(format!("unknown provider `{}`", prompt.model.provider)).at(target.place.clone()));
        let api = faults.take(api);
        match (made, api) {
            (Some(made), Some(api)) => faults.into_result(Self {
                api,
                model: prompt.model.name.value.clone(),
                prompt: made,
                params: prompt.params.clone(),
                tools,
                vars: prompt.identity.iter().map(|(name, value)| (name.value.clone(), Value::from(value.as_str()))).collect(),
                max_turns: prompt.max_turns,
            }),
            _ => Err(faults.into_result(()).err().unwrap_or_default()),
        }
    }

    /// Holds the conversation of a case once more, every answer from its recordings.
    pub(super) async fn converse(
        &self,
        stage: Stage<'_>,
        case: &Case,
        answers: &mut Answers,
        trial: u32,
    ) -> Result<Result<Request, Undecided>, Faults> {
        let mut conversation = self.open(case)?;
        let mut exchanges: Vec<Exchange> = Vec::new();
        for turn in 1..=self.max_turns {
            let asked = Exchange { trial: Some(trial), ..self.exchange(&conversation, u64::from(turn)) };
            let answered = match answers.next(&asked)? {
                Ok(recorded) => Exchange { response: recorded.response, ms: recorded.ms, ..asked },
                Err(miss) => return Ok(Err((Doubt::NeedsRecording, format!("call {turn}: {}", miss.detail)))),
            };
            let attempt = Attempt::of(&answered);
            exchanges.push(answered);
            let Some(attempt) = attempt.filter(|attempt| !attempt.failed()) else {
                return Ok(Err((Doubt::Infrastructure, format!("call {turn}: the recording holds no answer"))));
            };
            if attempt.tool_calls.is_empty() {
                return Ok(Ok(observed(case, exchanges, stage)));
            }
            if let Err(detail) = answer_tools(case, &attempt, &mut conversation) {
                return Ok(Err((Doubt::NeedsRecording, detail)));
            }
        }
        Ok(Ok(observed(case, exchanges, stage)))
    }

    fn open(&self, case: &Case) -> Result<Conversation, Fault> {
        let messages = recorded_messages(&case.input);
        let input = messages.iter().rev().find(|message| message.role == "user").map(|message| message.text.clone()).unwrap_or_default();
        let empty: [Passage; 0] = [];
        let recorded =
            Recorded { input: &input, messages: &messages, documents: case.documents.as_deref().unwrap_or(&empty), vars: &self.vars };
        let tools = match &self.tools {
            Some(tools) => tools.clone(),
            None => case.tools.iter().filter_map(Tool::from_json).collect(),
        };
        Ok(Conversation { model: self.model.clone(), messages: self.prompt.render(&recorded)?, tools, params: self.params.clone() })
    }

    fn exchange(&self, conversation: &Conversation, seq: u64) -> Exchange {
        let request = wire::Request {
            method: "POST".into(),
            path: provider::path(self.api).into(),
            headers: BTreeMap::new(),
            body: provider::body(self.api, conversation),
        };
        Exchange { seq, ms: None, at: None, upstream: None, trial: None, request, response: None }
    }
}

fn api(project: &project::Project, prompt: &PromptTarget) -> Option<Api> {
    let built_in = Api::ALL.iter().find(|(name, _)| *name == prompt.model.provider).map(|(_, api)| *api);
    built_in.or_else(|| project.providers.iter().find(|provider| provider.name.value == prompt.model.provider).map(|provider| provider.api))
}

fn parts(stage: Stage<'_>, prompt: &PromptTarget) -> Result<Vec<Part>, Fault> {
    match &prompt.prompt {
        project::Prompt::File(file) => {
            let template = file.read_text(stage.root, limit::YAML_BYTES)?;
            Ok(vec![Part { role: "system".into(), template, place: Place::at(file.path.clone(), 1, 0) }])
        }
        project::Prompt::Messages(messages) => Ok(messages
            .iter()
            .map(|message| Part { role: message.role.clone(), template: message.text.value.clone(), place: message.text.place.clone() })
            .collect()),
    }
}

fn parse_tools(text: &str) -> Result<Vec<Tool>, String> {
    let json: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let items = json.as_array().ok_or("expected a list of tools")?;
    items.iter().map(|item| Tool::from_json(item).ok_or_else(|| format!("a tool without a name: {item}"))).collect()
}

/// A case's input as messages: one text of the user, or a conversation.
fn recorded_messages(input: &Value) -> Vec<Message> {
    match input {
        Value::String(text) => vec![Message { role: "user".into(), text: text.clone(), ..Message::default() }],
        Value::Array(items) => items.iter().map(recorded_message).collect(),
        _ => Vec::new(),
    }
}

fn recorded_message(item: &Value) -> Message {
    let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
    let content = match item.get("content") {
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect(),
        _ => text("content"),
    };
    let calls = item.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
    let requests = calls.map(|call| {
        let part = |pointer: &str| call.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string();
        ToolRequest { id: part("/id"), name: part("/function/name"), arguments: part("/function/arguments") }
    });
    let answers = item.get("tool_call_id").and_then(Value::as_str).map(str::to_string);
    Message { role: text("role"), text: content, refusal: None, tool_requests: requests.collect(), answers }
}

/// Answers every tool that the model asked for from the case; what is not recorded is named with the lines to paste.
fn answer_tools(case: &Case, attempt: &Attempt, conversation: &mut Conversation) -> Result<(), String> {
    let requests: Vec<ToolRequest> = attempt
        .tool_calls
        .iter()
        .map(|call| ToolRequest { id: call.id.clone(), name: call.name.clone(), arguments: call.arguments.clone() })
        .collect();
    let text = attempt.text.clone().unwrap_or_default();
    conversation.messages.push(Message { role: "assistant".into(), text, tool_requests: requests.clone(), ..Message::default() });
    for request in requests {
        let Some(result) = recorded_result(case, &request) else { return Err(unrecorded(case, &request)) };
        conversation.messages.push(Message {
            role: "tool".into(),
            text: result_text(result),
            answers: Some(request.id),
            ..Message::default()
        });
    }
    Ok(())
}

fn recorded_result<'a>(case: &'a Case, request: &ToolRequest) -> Option<&'a ToolResult> {
    let asked = canonical_arguments(&request.arguments);
    let recorded = |result: &&ToolResult| {
        let arguments = result.arguments.as_str().map_or_else(|| canonical::json(&result.arguments), str::to_string);
        result.name == request.name && arguments == asked
    };
    case.tool_results.iter().find(recorded)
}

fn result_text(result: &ToolResult) -> String {
    match (&result.result, &result.error) {
        (Some(Value::String(text)), _) => text.clone(),
        (Some(value), _) => value.to_string(),
        (None, Some(error)) => serde_json::json!({"error": error}).to_string(),
        (None, None) => String::new(),
    }
}

fn unrecorded(case: &Case, request: &ToolRequest) -> String {
    let arguments = serde_json::from_str::<Value>(&request.arguments).unwrap_or_else(|_| request.arguments.as_str().into());
    let line = serde_json::json!({"name": request.name, "arguments": arguments, "result": "…"});
    format!(
        "the model called {}({}), and the case has no answer to it; add to `tool_results` of {}:\n  - {line}",
        request.name,
        crate::inert::clip(&request.arguments, 200),
        Case::postmortem_path(&case.id)
    )
}

/// What was observed: the wire of the conversation, with the case's passages as what was found.
fn observed(case: &Case, exchanges: Vec<Exchange>, stage: Stage<'_>) -> Request {
    let mut request = Request::new(None, exchanges, stage.standard.mapping);
    request.documents = case.documents.as_ref().map(|passages| {
        passages.iter().map(|passage| Document { id: passage.id.clone(), score: None, text: Some(passage.text.clone()) }).collect()
    });
    if let Some(uses) = &request.tool_uses {
        let failed = uses.iter().filter(|tool| {
            let asked = ToolRequest { id: tool.id.clone(), name: tool.name.clone(), arguments: tool.arguments.clone() };
            recorded_result(case, &asked).is_some_and(|result| result.error.is_some())
        });
        let (calls, errors) = (uses.len() as f64, failed.count() as f64);
        request.signals.set_number("calls.tool", Some(calls));
        request.signals.set_number("calls.tool_errors", Some(errors));
        request.signals.set_number("calls.unrecorded", Some(0.0));
    }
    let times: Option<f64> = request.wire.as_ref().and_then(|wire| wire.calls.iter().map(|call| call.last().total).sum());
    request.signals.set_number("latency.model", times.map(crate::request::micro));
    request
}
