//! A provider's API: how a conversation becomes a request body.

mod anthropic;
mod endpoint;
mod openai_chat;
mod openai_responses;

pub use endpoint::{Endpoint, Environment, key_variables};

use crate::project::Api;
use crate::trace::Message;
use serde_json::{Map, Value};

/// The path of an API's endpoint below the base URL's host.
pub fn path(api: Api) -> &'static str {
    match api {
        Api::OpenAi => "/v1/chat/completions",
        Api::OpenAiResponses => "/v1/responses",
        Api::Anthropic => "/v1/messages",
    }
}

/// The body of a streaming request.
pub fn body(api: Api, conversation: &Conversation) -> Value {
    match api {
        Api::OpenAi => openai_chat::body(conversation),
        Api::OpenAiResponses => openai_responses::body(conversation),
        Api::Anthropic => anthropic::body(conversation),
    }
}

/// Puts a target's parameters over the defaults; `null` takes a default out, for servers that refuse it.
fn set_params(body: &mut Value, params: &Map<String, Value>) {
    let Some(body) = body.as_object_mut() else { return };
    for (name, value) in params {
        if value.is_null() {
            body.shift_remove(name);
        } else {
            body.insert(name.clone(), value.clone());
        }
    }
    // A request that does not stream has no options of a stream.
    if body.get("stream") != Some(&Value::Bool(true)) && !params.contains_key("stream_options") {
        body.shift_remove("stream_options");
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
