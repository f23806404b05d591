//! A conversation with a model: prompt, answer, tools from the case, until a final answer.

mod input;
mod tool;

use super::{Halt, Opened, Stage};
use crate::case::{Case, Passage};
use crate::client::{Answered, Spent};
use crate::fault::{Fault, Faults, Place};
use crate::limit;
use crate::price::Price;
use crate::project::{self, Api, PromptTarget, Target};
use crate::prompt::{self, Part, Prompt};
use crate::provider::{self, Conversation, Endpoint, Tool};
use crate::recording::{Answers, Recorded};
use crate::request::Request;
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
    /// As relapse.yaml names it.
    written: String,
    model: String,
    /// Where live answers come from; none in a replay.
    endpoint: Option<Endpoint>,
    price: Option<Price>,
    prompt: Prompt,
    params: Map<String, Value>,
    tools: Option<Vec<Tool>>,
    vars: BTreeMap<String, Value>,
    max_turns: u32,
}

/// What came of one conversation.
pub(super) struct Held {
    /// What was observed, or why there is nothing to judge.
    pub(super) outcome: Result<Request, (Doubt, String)>,
    /// What it cost.
    pub(super) spent: Spent,
    /// What a reader should know of it.
    pub(super) notes: Vec<String>,
    /// Tool calls that nothing answers.
    pub(super) unrecorded: u32,
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
        let endpoint =
            stage.client.map(|client| Endpoint::of(stage.project, &prompt.model, client.egress(), &|name| std::env::var(name).ok()));
        let endpoint = endpoint.and_then(|endpoint| faults.take(endpoint));
        match (made, api) {
            (Some(made), Some(api)) => faults.into_result(Self {
                api,
                written: format!("{}/{}", prompt.model.provider, prompt.model.name.value),
                model: prompt.model.name.value.clone(),
                price: price(stage.project, prompt),
                endpoint,
                prompt: made,
                params: prompt.params.clone(),
                tools,
                vars: prompt.identity.iter().map(|(name, value)| (name.value.clone(), Value::from(value.as_str()))).collect(),
                max_turns: prompt.max_turns,
            }),
            _ => Err(faults.into_result(()).err().unwrap_or_default()),
        }
    }

    /// Holds the conversation of a case once more: answers come from recordings and, where there is a client, live.
    ///
    /// # Errors
    /// Files that cannot be read, and a prompt that does not render.
    pub(super) async fn converse(&self, stage: Stage<'_>, case: &Case, answers: &mut Answers, trial: u32) -> Result<Held, Faults> {
        let (spent, notes) = (Spent::default(), Vec::new());
        let mut session = Session { speaker: self, stage, case, answers, trial, spent, notes, unrecorded: 0, has_changed: false };
        let outcome = match session.hold().await {
            Ok(request) => Ok(request),
            Err(Halt::Undecided(doubt, why)) => Err((doubt, why)),
            Err(Halt::Faults(faults)) => return Err(faults),
        };
        Ok(Held { outcome, spent: session.spent, notes: session.notes, unrecorded: session.unrecorded })
    }

    /// The model as relapse.yaml names it.
    pub(super) fn full_name(&self) -> &str {
        &self.written
    }

    fn open(&self, case: &Case) -> Result<Conversation, Fault> {
        let messages = input::recorded_messages(&case.input);
        let input = messages.iter().rev().find(|message| message.role == "user").map(|message| message.text.clone()).unwrap_or_default();
        let empty: [Passage; 0] = [];
        let recorded = prompt::Recorded {
            input: &input,
            messages: &messages,
            documents: case.documents.as_deref().unwrap_or(&empty),
            vars: &self.vars,
        };
        let tools = match &self.tools {
            Some(tools) => tools.clone(),
            None => case.tools.iter().filter_map(Tool::from_json).collect(),
        };
        Ok(Conversation { model: self.model.clone(), messages: self.prompt.render(&recorded)?, tools, params: self.params.clone() })
    }

    /// How the conversation of a case begins.
    pub(super) fn opened(&self, case: &Case) -> Result<Opened, Fault> {
        let request = self.request(&self.open(case)?);
        Ok(Opened {
            asked: Exchange { seq: 1, ms: None, at: None, upstream: None, trial: None, request, response: None },
            layout: self.prompt.parts().iter().map(|part| (part.role.clone(), part.template.clone())).collect(),
            uses_documents: self.prompt.uses_documents(),
            takes_input: self.prompt.takes_input(),
        })
    }

    fn request(&self, conversation: &Conversation) -> wire::Request {
        match &self.endpoint {
            Some(endpoint) => endpoint.request(conversation),
            None => wire::Request {
                method: "POST".into(),
                path: provider::path(self.api).into(),
                headers: BTreeMap::new(),
                body: provider::body(self.api, conversation),
            },
        }
    }
}

/// What was said so far: exchanges, and each of them as an attempt.
#[derive(Default)]
struct Said {
    exchanges: Vec<Exchange>,
    attempts: Vec<Attempt>,
}

/// One conversation under way.
struct Session<'s> {
    speaker: &'s Speaker,
    stage: Stage<'s>,
    case: &'s Case,
    answers: &'s mut Answers,
    trial: u32,
    spent: Spent,
    notes: Vec<String>,
    unrecorded: u32,
    /// Whether a call went live already.
    has_changed: bool,
}

impl Session<'_> {
    async fn hold(&mut self) -> Result<Request, Halt> {
        let mut conversation = self.speaker.open(self.case)?;
        let mut said = Said::default();
        for turn in 1..=self.speaker.max_turns {
            let (exchange, attempt) = self.ask(&conversation, turn).await?;
            let Some(attempt) = attempt.filter(Attempt::is_content) else {
                return Err(Halt::Undecided(Doubt::Infrastructure, format!("call {turn}: the recording holds no answer")));
            };
            // An answer that stopped at its limit may have cut a tool call in two: it is judged as it is.
            let is_final = attempt.tool_calls.is_empty() || attempt.truncated();
            if !is_final {
                self.answer_tools(&attempt, &mut conversation).await?;
            }
            said.exchanges.push(exchange);
            said.attempts.push(attempt);
            if is_final {
                return Ok(self.observed(said));
            }
        }
        Ok(self.unanswered(said))
    }

    /// The model's next answer: recorded, else live.
    async fn ask(&mut self, conversation: &Conversation, turn: u32) -> Result<(Exchange, Option<Attempt>), Halt> {
        let request = self.speaker.request(conversation);
        let asked = Exchange { seq: u64::from(turn), ms: None, at: None, upstream: None, trial: Some(self.trial), request, response: None };
        if let Some(Recorded { exchange, attempt }) = self.answers.next(&asked)? {
            let answered = Exchange { response: exchange.response, ms: exchange.ms, ..asked };
            let attempt = attempt.map(|attempt| attempt.given_to(&answered));
            return Ok((answered, attempt));
        }
        let (Some(client), Some(endpoint)) = (self.stage.client, &self.speaker.endpoint) else {
            return Err(Halt::Undecided(Doubt::NeedsRecording, format!("call {turn}: {}", self.answers.miss(&asked).detail)));
        };
        match client.ask(endpoint, &asked.request).await {
            Ok(Answered { exchange, attempt, spent }) => {
                self.spent += spent;
                let answered = Exchange { response: exchange.response, ms: exchange.ms, ..asked };
                let attempt = attempt.map(|attempt| Attempt { seq: answered.seq, ..attempt });
                // What follows a change is its consequence.
                if !std::mem::replace(&mut self.has_changed, true) {
                    let change = self.answers.change(&answered, attempt.as_ref());
                    self.notes.extend(change.map(|change| format!("call {turn}: {change}")));
                }
                if self.stage.destination.keeps() {
                    self.answers.keep(answered.clone());
                }
                Ok((answered, attempt))
            }
            Err(unanswered) => {
                self.spent += unanswered.spent;
                Err(Halt::Undecided(unanswered.doubt, format!("call {turn}: {}", unanswered.detail)))
            }
        }
    }

    /// Answers every tool that the model asked for.
    async fn answer_tools(&mut self, attempt: &Attempt, conversation: &mut Conversation) -> Result<(), Halt> {
        let calls = attempt.tool_calls.iter();
        let requests: Vec<ToolRequest> =
            calls.map(|call| ToolRequest { id: call.id.clone(), name: call.name.clone(), arguments: call.arguments.clone() }).collect();
        let text = attempt.text.clone().unwrap_or_default();
        conversation.messages.push(Message { role: "assistant".into(), text, tool_requests: requests.clone(), ..Message::default() });
        let mut missing = Vec::new();
        for request in requests {
            match tool::answer(self.stage, self.case, self.answers, &request, self.trial).await? {
                tool::Answer::Text(text) => {
                    conversation.messages.push(Message { role: "tool".into(), text, answers: Some(request.id), ..Message::default() });
                }
                tool::Answer::Unrecorded(why) => missing.push(why),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        self.unrecorded += missing.len() as u32;
        Err(Halt::Undecided(Doubt::NeedsRecording, missing.join("\n")))
    }

    /// A conversation that came to no answer within its turns: that it has none is known.
    fn unanswered(&mut self, said: Said) -> Request {
        self.notes.push(format!("no final answer within {} model calls (`max_turns`)", self.speaker.max_turns));
        let mut request = self.observed(said);
        request.answer = Some(String::new());
        request.signals.set_number("output.words", Some(0.0));
        request.signals.set_flag("output.empty", Some(true));
        request.signals.set_flag("output.json", Some(false));
        request
    }

    /// What was observed: the wire of the conversation, with the case's passages as what was found.
    fn observed(&self, said: Said) -> Request {
        let case = self.case;
        let mut request = Request::of_conversation(said.exchanges, said.attempts, self.stage.standard.mapping);
        request.documents = case.documents.as_ref().map(|passages| {
            passages.iter().map(|passage| Document { id: passage.id.clone(), score: None, text: Some(passage.text.clone()) }).collect()
        });
        if let Some(uses) = &request.tool_uses {
            let failed = uses.iter().filter(|used| tool::fails(case, &used.name, &used.arguments));
            let (calls, errors) = (uses.len() as f64, failed.count() as f64);
            request.signals.set_number("calls.tool", Some(calls));
            request.signals.set_number("calls.tool_errors", Some(errors));
            request.signals.set_number("calls.unrecorded", Some(0.0));
        }
        let calls = || request.wire.iter().flat_map(|wire| &wire.calls).map(|call| call.last());
        let times: Option<f64> = request.wire.as_ref().and_then(|_| calls().map(|call| call.total).sum());
        let cost: Option<f64> = self.speaker.price.and_then(|price| calls().map(|call| price.cost(&call.usage)).sum());
        request.signals.set_number("latency.model", times.map(crate::request::micro));
        request.signals.set_number("cost.usd", cost);
        request
    }
}

/// What the target's tokens cost, where that is known.
fn price(project: &project::Project, prompt: &PromptTarget) -> Option<Price> {
    match project.providers.iter().find(|provider| provider.name.value == prompt.model.provider) {
        Some(provider) => provider.price,
        None => Price::of(&prompt.model.name.value),
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
