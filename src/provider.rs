//! A provider's API: how a conversation becomes a request body.

mod anthropic;
mod openai_chat;
mod openai_responses;

use crate::trace::Message;
use serde_json::{Map, Value};
use std::fmt;

/// The APIs that relapse speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// OpenAI chat completions, and every server that is compatible with it.
    OpenAiChat,
    /// OpenAI Responses.
    OpenAiResponses,
    /// Anthropic Messages.
    Anthropic,
}

impl Api {
    /// The words in `model:` and under `providers:`, with the API that each names.
    pub const ALL: [(&'static str, Self); 3] =
        [("openai", Self::OpenAiChat), ("openai-responses", Self::OpenAiResponses), ("anthropic", Self::Anthropic)];

    /// The API that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, api)| *api)
    }

    /// The path of its endpoint below the base URL's host.
    pub fn path(self) -> &'static str {
        match self {
            Self::OpenAiChat => "/v1/chat/completions",
            Self::OpenAiResponses => "/v1/responses",
            Self::Anthropic => "/v1/messages",
        }
    }

    /// The body of a streaming request.
    pub fn body(self, conversation: &Conversation) -> Value {
        match self {
            Self::OpenAiChat => openai_chat::body(conversation),
            Self::OpenAiResponses => openai_responses::body(conversation),
            Self::Anthropic => anthropic::body(conversation),
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, api)| api == self).map_or("openai", |(name, _)| name);
        f.write_str(name)
    }
}

/// A tool as the model is told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The JSON schema of its arguments.
    pub parameters: Value,
}

impl Tool {
    /// Reads a tool in any provider's form: OpenAI's nested and flat ones, and Anthropic's.
    pub fn from_json(json: &Value) -> Option<Self> {
        let inner = json.get("function").unwrap_or(json);
        let parameters = ["parameters", "input_schema", "inputSchema"].iter().find_map(|key| inner.get(*key));
        Some(Self {
            name: inner.get("name")?.as_str()?.to_string(),
            description: inner.get("description").and_then(Value::as_str).map(str::to_string),
            parameters: parameters.cloned().unwrap_or_else(|| serde_json::json!({"type": "object"})),
        })
    }

    /// The neutral form, in which a compiled case keeps it.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("name".into(), self.name.as_str().into());
        if let Some(description) = &self.description {
            map.insert("description".into(), description.as_str().into());
        }
        map.insert("parameters".into(), self.parameters.clone());
        Value::Object(map)
    }
}

/// A conversation that waits for the model's next answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    /// The model's name as the provider knows it.
    pub model: String,
    /// The messages so far; the system prompt is the first one, if there is one.
    pub messages: Vec<Message>,
    /// The tools that the model may ask for.
    pub tools: Vec<Tool>,
    /// Parameters of the request, as `temperature`.
    pub params: Map<String, Value>,
}

impl Conversation {
    fn system(&self) -> Option<String> {
        let texts: Vec<&str> =
            self.messages.iter().filter(|message| message.role == "system").map(|message| message.text.as_str()).collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    fn turns(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(|message| message.role != "system")
    }
}
