//! Conditions: what a replay re-creates besides the recorded input.

use crate::disk::{Reference, Root};
use crate::fault::Place;
use crate::fault::{Fault, Faults};
use crate::limit;
use crate::yaml::{self, Map, Node, Once, Spanned, Yaml, quote};
use camino::Utf8Path;
use serde_json::Value;
use std::time::Duration;

/// A passage that retrieval returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its id, one of a kind in the list.
    pub id: String,
    /// Its text.
    pub text: String,
    /// Where it is written.
    pub place: Place,
}

/// Retrieved documents: written down, or in a file. An empty list is a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Documents {
    /// Written down.
    Inline(Vec<Document>),
    /// In a file: YAML, JSON or JSON lines of `{id, text}`.
    File(Reference),
}

/// What a tool answered.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolResult {
    /// The tool's name.
    pub name: Spanned<String>,
    /// The arguments that it was called with.
    pub arguments: Value,
    /// The result, or the error.
    pub answer: Result<Value, Value>,
}

/// Tool results: written down, or in a file.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolResults {
    /// Written down.
    Inline(Vec<ToolResult>),
    /// In a file: YAML, JSON or JSON lines of `{name, arguments, result | error}`.
    File(Reference),
}

/// How an injected answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// As it should.
    Complete,
    /// The connection is closed early.
    Close,
    /// The connection is reset.
    Reset,
    /// An error event ends the stream.
    ErrorEvent,
    /// It ends before it began: a stream without an event.
    Empty,
}

impl End {
    const ALL: [(&'static str, Self); 5] = [
        ("complete", Self::Complete),
        ("close", Self::Close),
        ("reset", Self::Reset),
        ("error_event", Self::ErrorEvent),
        ("empty", Self::Empty),
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, end)| *end == self).map_or("complete", |(word, _)| word)
    }
}

/// A fault that is injected into model calls.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFault {
    /// Which distinct request of the conversation, from 1; none means every one.
    pub call: Option<u32>,
    /// How many attempts of it meet the fault, from 1.
    pub times: u32,
    /// The HTTP status that answers, 400 to 599.
    pub status: Option<u16>,
    /// What `Retry-After` says.
    pub retry_after: Option<Duration>,
    /// The time until the first token.
    pub first_token: Option<Duration>,
    /// The time between chunks of the stream.
    pub chunk_delay: Option<Duration>,
    /// How the answer ends.
    pub end: Option<End>,
    /// The finish reason that the answer carries, in a provider's words.
    pub finish: Option<String>,
    /// The raw arguments of the answer's first tool call, JSON or not.
    pub tool_arguments: Option<String>,
    /// Where it is written.
    pub place: Place,
}

/// The body of an injected upstream answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// JSON.
    Json(Value),
    /// Text.
    Text(String),
}

/// What an upstream other than the model answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// The variable of the target's `upstreams`.
    pub variable: Spanned<String>,
    /// The HTTP status.
    pub status: u16,
    /// The body; none is an empty one.
    pub body: Option<Body>,
}

/// What a replay re-creates besides the recorded input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conditions {
    /// Retrieved documents; an empty list is a value, absent is not.
    pub documents: Option<Documents>,
    /// Variables of the application's environment, which its target must allow.
    pub env: Vec<(Spanned<String>, String)>,
    /// Faults of model calls, in the order written; an empty list is a value, absent means those of the incident's wire.
    pub model: Option<Vec<ModelFault>>,
    /// Answers of other upstreams.
    pub upstream: Vec<Upstream>,
}

impl Conditions {
    pub(super) fn read(node: Option<&Node>, base: &Utf8Path, faults: &mut Faults) -> Self {
        let map = node.and_then(|node| node.as_map(&["documents", "env", "model", "upstream"], faults));
        let Some(map) = map else { return Self::default() };
        Self {
            documents: map.get("documents").and_then(|node| Documents::read(node, base, faults)),
            env: map.get("env").map(|node| variables(node, faults)).unwrap_or_default(),
            model: map.get("model").map(|node| super::items(Some(node), faults, model_fault)),
            upstream: map.get("upstream").map(|node| upstreams(node, faults)).unwrap_or_default(),
        }
    }
}

impl Documents {
    fn read(node: &Node, base: &Utf8Path, faults: &mut Faults) -> Option<Self> {
        match &node.value {
            Yaml::List(_) => Some(Self::Inline(documents(node, faults))),
            Yaml::Map(_) | Yaml::Null => {
                faults.push(node.unexpected("a list of documents or a file").help("write `[]` for no documents"));
                None
            }
            _ => node.as_reference(base, faults).map(Self::File),
        }
    }

    /// The documents, read from their file where they are in one.
    pub fn load(&self, root: &Root) -> Result<Vec<Document>, Faults> {
        match self {
            Self::Inline(documents) => Ok(documents.clone()),
            Self::File(file) => load(file, root, documents),
        }
    }
}

impl ToolResults {
    pub(super) fn read(node: &Node, base: &Utf8Path, faults: &mut Faults) -> Option<Self> {
        match &node.value {
            Yaml::List(_) => Some(Self::Inline(super::items(Some(node), faults, tool_result))),
            Yaml::Map(_) | Yaml::Null => {
                faults.push(node.unexpected("a list of tool results or a file").help("write `[{name: …, arguments: {…}, result: …}]`"));
                None
            }
            _ => node.as_reference(base, faults).map(Self::File),
        }
    }

    /// The results, read from their file where they are in one.
    pub fn load(&self, root: &Root) -> Result<Vec<ToolResult>, Faults> {
        match self {
            Self::Inline(results) => Ok(results.clone()),
            Self::File(file) => load(file, root, |node, faults| super::items(Some(node), faults, tool_result)),
        }
    }
}

/// Reads a list from a YAML, JSON or JSON-lines file.
fn load<T>(file: &Reference, root: &Root, read: fn(&Node, &mut Faults) -> Vec<T>) -> Result<Vec<T>, Faults> {
    let text = file.read_text(root, limit::TRACE_BYTES)?;
    let node = match file.path.extension() {
        Some("jsonl" | "ndjson") => json_lines(&text, &file.path)?,
        Some("json") => json(&text, &file.path, 1)?,
        _ => yaml::parse(&text, &file.path, 1)?,
    };
    let mut faults = Faults::new();
    let list = read(&node, &mut faults);
    faults.into_result(list)
}

fn json_lines(text: &str, path: &Utf8Path) -> Result<Node, Faults> {
    let mut faults = Faults::new();
    let mut items = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
        items.extend(faults.take(json(line, path, number)));
    }
    faults.into_result(Node { place: Place::at(path, 1, 1), value: Yaml::List(items) })
}

fn json(text: &str, path: &Utf8Path, first_line: u32) -> Result<Node, Fault> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let line = u32::try_from(error.line().saturating_sub(1)).unwrap_or(u32::MAX).saturating_add(first_line);
        let told = error.to_string();
        let told = told.split(" at line ").next().unwrap_or(&told);
        Fault::new(format!("not valid JSON: {told}")).at(Place::at(path, line, u32::try_from(error.column()).unwrap_or(u32::MAX)))
    })?;
    Ok(Node::from_json(&value, &Place::at(path, first_line, 1)))
}

fn documents(node: &Node, faults: &mut Faults) -> Vec<Document> {
    let (mut documents, mut once) = (Vec::new(), Once::default());
    for node in node.as_list(faults).unwrap_or_default() {
        let Some(document) = document(node, faults) else { continue };
        if once.is_first(&document.id, &document.place, faults) {
            documents.push(document);
        }
    }
    documents
}

fn document(node: &Node, faults: &mut Faults) -> Option<Document> {
    let map = node.as_map(&["id", "text"], faults)?;
    let id = map.require("id", faults).and_then(|node| node.as_text(faults));
    let text = map.require("text", faults).and_then(|node| plain_text(node, faults));
    Some(Document { id: id?.to_owned(), text: text?.to_owned(), place: node.place.clone() })
}

fn tool_result(node: &Node, faults: &mut Faults) -> Option<ToolResult> {
    let map = node.as_map(&["name", "arguments", "result", "error"], faults)?;
    let name = map.require("name", faults).and_then(|node| node.as_spanned(faults));
    let arguments = map.require("arguments", faults).and_then(|node| node.as_any_map(faults).map(|_| node.to_json()));
    let answer = match (map.get("result"), map.get("error")) {
        (Some(result), None) => Some(Ok(result.to_json())),
        (None, Some(error)) => Some(Err(error.to_json())),
        _ => {
            faults.push(node.fault("a tool call has either a `result` or an `error`").help("keep one of the two"));
            None
        }
    };
    Some(ToolResult { name: name?, arguments: arguments?, answer: answer? })
}

/// A map from variables to texts.
pub(crate) fn variables(node: &Node, faults: &mut Faults) -> Vec<(Spanned<String>, String)> {
    let Some(map) = node.as_any_map(faults) else { return Vec::new() };
    let mut variables = Vec::new();
    for (key, node) in map.entries() {
        let name = Spanned { value: key.name.clone(), place: key.place.clone() };
        faults.take(check_variable(&name));
        variables.extend(plain_text(node, faults).map(|text| (name, text.to_owned())));
    }
    variables
}

/// A text that may be empty.
fn plain_text<'a>(node: &'a Node, faults: &mut Faults) -> Option<&'a str> {
    let text = node.scalar();
    if text.is_none() {
        faults.push(node.unexpected("a text").help("write \"\" for an empty one"));
    }
    text
}

/// Whether a text can name a variable of the environment.
pub(crate) fn check_variable(name: &Spanned<String>) -> Result<(), Fault> {
    let is_valid =
        name.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.value.starts_with(|c: char| c.is_ascii_digit());
    if is_valid && !name.value.is_empty() {
        return Ok(());
    }
    let message = format!("{} cannot be a variable of the environment", quote(&name.value));
    Err(Fault::new(message).at(name.place.clone()).help("use A-Z, 0-9 and _"))
}

const MODEL_KEYS: &[&str] = &["call", "times", "status", "retry_after", "first_token", "chunk_delay", "end", "finish", "tool_arguments"];

fn model_fault(node: &Node, faults: &mut Faults) -> Option<ModelFault> {
    let map = node.as_map(MODEL_KEYS, faults)?;
    let effects = MODEL_KEYS.iter().filter(|name| !["call", "times"].contains(name) && map.get(name).is_some()).count();
    if effects == 0 {
        faults.push(
            node.fault("nothing is done to the call")
                .help("add `status`, `first_token`, `chunk_delay`, `end`, `finish` or `tool_arguments`"),
        );
    }
    status_stands_alone(map, faults);
    let whole = |name: &str, least: u32, most: u32, faults: &mut Faults| map.get(name).and_then(|node| node.as_whole(least, most, faults));
    let seconds = |name: &str, faults: &mut Faults| map.get(name).and_then(|node| node.as_seconds(faults));
    Some(ModelFault {
        call: whole("call", 1, 10_000, faults),
        times: whole("times", 1, 10_000, faults).unwrap_or(1),
        status: whole("status", 400, 599, faults).and_then(|status| u16::try_from(status).ok()),
        retry_after: seconds("retry_after", faults),
        first_token: seconds("first_token", faults),
        chunk_delay: seconds("chunk_delay", faults),
        end: map.get("end").and_then(|node| node.as_choice(&End::ALL, faults)),
        finish: map.text("finish", faults).map(|finish| finish.value),
        tool_arguments: map.get("tool_arguments").and_then(|node| plain_text(node, faults)).map(str::to_owned),
        place: node.place.clone(),
    })
}

/// An error answer has no stream to delay or cut, and says nothing else.
fn status_stands_alone(map: Map<'_>, faults: &mut Faults) {
    let has_status = map.get("status").is_some();
    for name in ["chunk_delay", "end", "finish", "tool_arguments"] {
        if let Some((key, _)) = map.entry(name).filter(|_| has_status) {
            faults.push(key.fault(format!("`{name}` does not go with `status`: an error has no stream")).help("write two items"));
        }
    }
    if let Some((key, _)) = map.entry("retry_after").filter(|_| !has_status) {
        faults.push(key.fault("`retry_after` needs `status`").help("add `status: 429`"));
    }
}

fn upstreams(node: &Node, faults: &mut Faults) -> Vec<Upstream> {
    let Some(map) = node.as_any_map(faults) else { return Vec::new() };
    let mut upstreams = Vec::new();
    for (key, node) in map.entries() {
        let variable = Spanned { value: key.name.clone(), place: key.place.clone() };
        faults.take(check_variable(&variable));
        upstreams.extend(upstream(variable, node, faults));
    }
    upstreams
}

fn upstream(variable: Spanned<String>, node: &Node, faults: &mut Faults) -> Option<Upstream> {
    let map = node.as_map(&["json", "text", "status"], faults)?;
    let status = map.get("status").and_then(|node| node.as_whole(200, 599, faults)).and_then(|status| u16::try_from(status).ok());
    let body = match (map.get("json"), map.get("text")) {
        (Some(_), Some(text)) => {
            faults.push(text.fault("an answer is either `json` or `text`").help("keep one of the two"));
            None
        }
        (Some(json), None) => Some(Body::Json(json.to_json())),
        (None, text) => text.and_then(|node| node.as_text(faults)).map(|text| Body::Text(text.to_owned())),
    };
    Some(Upstream { variable, status: status.unwrap_or(200), body })
}
