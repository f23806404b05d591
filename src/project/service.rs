//! The user's application: how relapse starts it, speaks to it, and reads its answer.

use super::command;
use crate::fault::{Faults, suggest};
use crate::limit;
use crate::postmortem::{check_variable, variables};
use crate::yaml::{Map, Node, Spanned, Yaml, quote};
use serde_json::Value;
use std::time::Duration;

/// A command that relapse starts once per case.
#[derive(Debug, Clone)]
pub struct Application {
    /// The program and its arguments; templates, never split.
    pub command: Vec<Spanned<String>>,
    /// A template for its standard input.
    pub stdin: Option<Spanned<String>>,
    /// Where its answer is.
    pub output: Output,
    /// How long it may take for one case.
    pub timeout: Duration,
    /// Variables of its environment.
    pub env: Vec<(Spanned<String>, String)>,
    /// Variables that a case may set.
    pub case_env: Vec<Spanned<String>>,
    /// Servers that it talks to.
    pub upstreams: Vec<UpstreamAddress>,
}

/// A server that relapse starts once and asks once per case.
#[derive(Debug, Clone)]
pub struct Service {
    /// The program and its arguments; templates, never split.
    pub start: Vec<Spanned<String>>,
    /// The path that answers once it is ready.
    pub ready: Option<Spanned<String>>,
    /// The request and where its answer is.
    pub http: Http,
    /// How many of it run at once.
    pub instances: u32,
    /// How long it may take to be ready, and for one case.
    pub timeout: Duration,
    /// Variables of its environment.
    pub env: Vec<(Spanned<String>, String)>,
    /// Variables that a case may set.
    pub case_env: Vec<Spanned<String>>,
    /// Servers that it talks to.
    pub upstreams: Vec<UpstreamAddress>,
}

/// A request to a service.
#[derive(Debug, Clone)]
pub struct Http {
    /// The method; `POST` unless something else is written.
    pub method: String,
    /// The path, a template that begins with `/`.
    pub path: Spanned<String>,
    /// Headers; templates.
    pub headers: Vec<(Spanned<String>, String)>,
    /// The JSON body; its texts are templates.
    pub body: Option<Value>,
    /// Where the answer is.
    pub output: Output,
}

/// Where an answer is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// The text of the answer.
    pub answer: Source,
    /// The outcome that the application states, if it states one.
    pub outcome: Option<Source>,
}

/// Where one value of an answer is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Source {
    /// All of the output.
    #[default]
    Text,
    /// A key of the JSON on the last line of the output, or of the response; `a.b` is `b` in `a`.
    Json(String),
}

/// A variable that holds the address of a server, and the real address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamAddress {
    /// The variable.
    pub variable: Spanned<String>,
    /// The address, `http://…` or `https://…`.
    pub url: Spanned<String>,
}

pub(super) fn application(map: Map<'_>, faults: &mut Faults) -> Option<Application> {
    let command = map.require("command", faults).and_then(|node| command(node, faults));
    let (env, case_env, upstreams) = surroundings(map, faults);
    let output = map.get("output").and_then(|node| output(node, false, faults)).unwrap_or_default();
    Some(Application {
        command: command?,
        stdin: map.text("stdin", faults),
        output,
        timeout: timeout(map, faults),
        env,
        case_env,
        upstreams,
    })
}

pub(super) fn service(map: Map<'_>, faults: &mut Faults) -> Option<Service> {
    let start = map.require("start", faults).and_then(|node| command(node, faults));
    let ready = map.get("ready").and_then(|node| path(node, faults));
    let http = map.require("http", faults).and_then(|node| http(node, faults));
    let instances = map.get("instances").and_then(|node| node.as_whole(1, 64, faults)).unwrap_or(1);
    let (env, case_env, upstreams) = surroundings(map, faults);
    Some(Service { start: start?, ready, http: http?, instances, timeout: timeout(map, faults), env, case_env, upstreams })
}

fn timeout(map: Map<'_>, faults: &mut Faults) -> Duration {
    map.get("timeout").and_then(|node| node.as_seconds(faults)).unwrap_or(limit::APPLICATION)
}

type Surroundings = (Vec<(Spanned<String>, String)>, Vec<Spanned<String>>, Vec<UpstreamAddress>);

fn surroundings(map: Map<'_>, faults: &mut Faults) -> Surroundings {
    let env = map.get("env").map(|node| variables(node, faults)).unwrap_or_default();
    let case_env = map.get("case_env").map(|node| node.as_texts(faults)).unwrap_or_default();
    for name in &case_env {
        faults.take(check_variable(name));
    }
    (env, case_env, map.get("upstreams").map(|node| upstreams(node, faults)).unwrap_or_default())
}

fn upstreams(node: &Node, faults: &mut Faults) -> Vec<UpstreamAddress> {
    let Some(map) = node.as_any_map(faults) else { return Vec::new() };
    let mut upstreams = Vec::new();
    for (key, node) in map.entries() {
        let variable = Spanned { value: key.name.clone(), place: key.place.clone() };
        faults.take(check_variable(&variable));
        upstreams.extend(url(node, faults).map(|url| UpstreamAddress { variable, url }));
    }
    upstreams
}

/// An address with its scheme and a host.
pub(super) fn url(node: &Node, faults: &mut Faults) -> Option<Spanned<String>> {
    let url = node.as_spanned(faults)?;
    let host = url.value.strip_prefix("https://").or_else(|| url.value.strip_prefix("http://"));
    if host.is_some_and(|host| !host.is_empty() && !host.starts_with(['/', ':', '?', '#']) && !host.contains(char::is_whitespace)) {
        return Some(url);
    }
    faults.push(node.unexpected("an address").help("write it as in `https://api.openai.com/v1`"));
    None
}

fn path(node: &Node, faults: &mut Faults) -> Option<Spanned<String>> {
    let path = node.as_spanned(faults)?;
    if path.value.starts_with('/') {
        return Some(path);
    }
    faults.push(node.unexpected("a path").help(format!("write `/{}`", path.value.trim_start_matches("./"))));
    None
}

const METHODS: [(&str, &str); 5] = [("GET", "GET"), ("POST", "POST"), ("PUT", "PUT"), ("PATCH", "PATCH"), ("DELETE", "DELETE")];

fn http(node: &Node, faults: &mut Faults) -> Option<Http> {
    let map = node.as_map(&["method", "path", "headers", "body", "output"], faults)?;
    let method = map.get("method").and_then(|node| node.as_choice(&METHODS, faults)).unwrap_or("POST").to_owned();
    let path = map.require("path", faults).and_then(|node| path(node, faults));
    let headers = map.get("headers").map(|node| headers(node, faults)).unwrap_or_default();
    let output = map.get("output").and_then(|node| output(node, true, faults)).unwrap_or_default();
    Some(Http { method, path: path?, headers, body: map.get("body").map(Node::to_json), output })
}

fn headers(node: &Node, faults: &mut Faults) -> Vec<(Spanned<String>, String)> {
    let Some(map) = node.as_any_map(faults) else { return Vec::new() };
    let mut headers = Vec::new();
    for (key, node) in map.entries() {
        let is_token = !key.name.is_empty() && key.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.!#$%&'*+^`|~".contains(c));
        if !is_token {
            faults.push(key.fault(format!("{} cannot be a header's name", quote(&key.name))));
        }
        let name = Spanned { value: key.name.clone(), place: key.place.clone() };
        headers.extend(node.as_text(faults).map(|text| (name, text.to_owned())));
    }
    headers
}

/// `text`, `json:key`, or `{answer: …, outcome: …}` of these; in an HTTP response a bare word is a key.
fn output(node: &Node, is_response: bool, faults: &mut Faults) -> Option<Output> {
    if !matches!(node.value, Yaml::Map(_)) {
        return source(node, is_response, faults).map(|answer| Output { answer, outcome: None });
    }
    let map = node.as_map(&["answer", "outcome"], faults)?;
    let answer = map.require("answer", faults).and_then(|node| source(node, is_response, faults));
    let outcome = map.get("outcome").and_then(|node| source(node, is_response, faults));
    Some(Output { answer: answer?, outcome })
}

fn source(node: &Node, is_response: bool, faults: &mut Faults) -> Option<Source> {
    let text = node.as_text(faults)?;
    match text.strip_prefix("json:") {
        Some(key) if !key.is_empty() => Some(Source::Json(key.to_owned())),
        None if text == "text" => Some(Source::Text),
        None if is_response => Some(Source::Json(text.to_owned())),
        _ => {
            let fault = node.fault(format!("expected `text` or `json:KEY`, found {}", quote(text)));
            faults.push(fault.help(if text == "json:" {
                "write `json:answer`".to_owned()
            } else {
                suggest(text, ["text", "json:answer"])
            }));
            None
        }
    }
}
