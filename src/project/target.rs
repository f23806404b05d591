//! A target: what is on trial, of one of four kinds.

use super::service::{Application, Service};
use super::settings::{Model, model};
use super::{check_file_name, service};
use crate::disk::{self, Reference};
use crate::fault::{Fault, Faults, Place, nearest};
use crate::limit;
use crate::postmortem::field_name;
use crate::yaml::{Map, Node, Spanned, Yaml, quote};
use camino::Utf8Path;
use serde_json::Value;

/// What is on trial.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub place: Place,
    /// What it is.
    pub kind: TargetKind,
    /// Whether it is a configuration of the incidents, which every case must regress on.
    pub expect_regressed: bool,
    /// What a snapshot of it holds, if the author says so.
    pub snapshot: Option<SnapshotKind>,
}

/// The four kinds of target.
#[derive(Debug, Clone)]
pub enum TargetKind {
    /// A prompt and a model, called by relapse.
    Prompt(PromptTarget),
    /// A command, started once per case.
    Application(Application),
    /// A server, started once.
    Service(Service),
    /// Traces that another run produced.
    Traces(Traces),
}

/// What a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SnapshotKind {
    /// Outline and answer.
    Answer,
    /// The outline alone.
    Outline,
    /// Nothing.
    Off,
}

/// A prompt and a model.
#[derive(Debug, Clone)]
pub struct PromptTarget {
    /// The model.
    pub model: Model,
    /// The prompt.
    pub prompt: Prompt,
    /// Parameters of the request, as the provider names them.
    pub params: serde_json::Map<String, Value>,
    /// A JSON file of tools; none means those of the recorded request.
    pub tools: Option<Reference>,
    /// Fields that the target's telemetry would carry, as in `prompt.version`.
    pub identity: Vec<(Spanned<String>, String)>,
    /// Model calls of one conversation.
    pub max_turns: u32,
}

/// A prompt: a file with the system prompt, or messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// A template file.
    File(Reference),
    /// Templates with their roles.
    Messages(Vec<PromptMessage>),
}

/// One message of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// The template.
    pub text: Spanned<String>,
}

/// What another run produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traces {
    /// A glob of trace files, relative to the root.
    pub traces: Spanned<String>,
    /// A glob of wire files, relative to the root.
    pub wire: Option<Spanned<String>>,
}

/// A kind of target with the keys that tell it and all that belong to it.
struct Shape {
    name: &'static str,
    telling: &'static [&'static str],
    keys: &'static [&'static str],
}

const SHAPES: [Shape; 4] = [
    Shape {
        name: "a prompt target",
        telling: &["model", "prompt"],
        keys: &["model", "prompt", "params", "tools", "identity", "max_turns", "snapshot", "expect"],
    },
    Shape {
        name: "an application target",
        telling: &["command"],
        keys: &["command", "stdin", "output", "timeout", "env", "case_env", "upstreams", "snapshot", "expect"],
    },
    Shape {
        name: "a service target",
        telling: &["start", "http"],
        keys: &["start", "ready", "http", "instances", "timeout", "env", "case_env", "upstreams", "snapshot", "expect"],
    },
    Shape { name: "a traces target", telling: &["traces"], keys: &["traces", "wire", "snapshot", "expect"] },
];

/// Reads one target.
pub(super) fn read(name: Spanned<String>, node: &Node, faults: &mut Faults) -> Option<Target> {
    check_file_name(&name, faults);
    let map = node.as_any_map(faults)?;
    let shape = shape(&name, map, faults)?;
    check_keys(map, &SHAPES[shape], faults);
    let kind = match shape {
        0 => TargetKind::Prompt(prompt_target(map, faults)?),
        1 => TargetKind::Application(service::application(map, faults)?),
        2 => TargetKind::Service(service::service(map, faults)?),
        _ => TargetKind::Traces(traces(map, faults)?),
    };
    let snapshot = [("answer", SnapshotKind::Answer), ("outline", SnapshotKind::Outline), ("off", SnapshotKind::Off)];
    let expect = map.get("expect").and_then(|node| node.as_choice(&[("regressed", true)], faults));
    Some(Target {
        name: name.value,
        place: name.place,
        kind,
        expect_regressed: expect.unwrap_or_default(),
        snapshot: map.get("snapshot").and_then(|node| node.as_choice(&snapshot, faults)),
    })
}

/// The index of the one shape that the keys tell.
fn shape(name: &Spanned<String>, map: Map<'_>, faults: &mut Faults) -> Option<usize> {
    let told = |shape: &Shape| shape.telling.iter().copied().find(|key| map.get(key).is_some());
    let found: Vec<(usize, &str)> = SHAPES.iter().enumerate().filter_map(|(index, shape)| Some((index, told(shape)?))).collect();
    match found.as_slice() {
        [(index, _)] => Some(*index),
        [] => {
            let message = format!("target {} does not say what it is", quote(&name.value));
            let fault = Fault::new(message).at(name.place.clone());
            faults.push(match misspelt(map) {
                Some((found, meant)) => fault.help(format!("did you mean `{meant}` by `{found}`?")),
                None => fault.help("add `model` and `prompt`, or `command`, or `start` and `http`, or `traces`"),
            });
            None
        }
        [(first, key), (second, other), ..] => {
            let message = format!("`{key}` and `{other}` do not belong together: target {} is of two kinds", quote(&name.value));
            let (one, two) = (&SHAPES[*first], &SHAPES[*second]);
            let help = format!("{} has {}; {} has {}", one.name, one.keys.join(", "), two.name, two.keys.join(", "));
            faults.push(Fault::new(message).at(name.place.clone()).help(help));
            None
        }
    }
}

/// A key that is nearly one of those that tell a kind.
fn misspelt(map: Map<'_>) -> Option<(String, &'static str)> {
    let telling = || SHAPES.iter().flat_map(|shape| shape.telling.iter().copied());
    map.entries().find_map(|(key, _)| nearest(&key.name, telling()).map(|meant| (key.name.clone(), meant)))
}

fn check_keys(map: Map<'_>, shape: &Shape, faults: &mut Faults) {
    for (key, _) in map.entries().filter(|(key, _)| !shape.keys.contains(&key.name.as_str())) {
        let is_known = SHAPES.iter().any(|shape| shape.keys.contains(&key.name.as_str()));
        faults.push(if is_known {
            let message = format!("`{}` does not belong to {}", key.name, shape.name);
            key.fault(message).help(format!("{} has {}", shape.name, shape.keys.join(", ")))
        } else {
            key.unknown(shape.keys)
        });
    }
}

fn prompt_target(map: Map<'_>, faults: &mut Faults) -> Option<PromptTarget> {
    let model = map.require("model", faults).and_then(|node| model(node, faults));
    let prompt = map.require("prompt", faults).and_then(|node| prompt(node, faults));
    let params = map.get("params").and_then(|node| node.as_any_map(faults).map(|_| node.to_json()));
    let tools = map.get("tools").and_then(|node| node.as_reference(Utf8Path::new(""), faults));
    let identity = map.get("identity").map(|node| identity(node, faults)).unwrap_or_default();
    let max_turns = map.get("max_turns").and_then(|node| node.as_whole(1, 1000, faults)).unwrap_or(limit::MAX_TURNS);
    let params = params.and_then(|params| params.as_object().cloned()).unwrap_or_default();
    Some(PromptTarget { model: model?, prompt: prompt?, params, tools, identity, max_turns })
}

fn prompt(node: &Node, faults: &mut Faults) -> Option<Prompt> {
    let is_template = node.scalar().is_some_and(|text| text.contains('\n') || text.contains("{{") || text.contains("{%"));
    if is_template || matches!(node.value, Yaml::Map(_)) {
        let fault = node.fault("a prompt is a file or a list of messages");
        faults.push(fault.help("write `prompt: prompts/support.md` or `prompt: [{system: \"…\"}]`"));
        return None;
    }
    if !matches!(node.value, Yaml::List(_)) {
        return node.as_reference(Utf8Path::new(""), faults).map(Prompt::File);
    }
    let nodes = node.as_list(faults)?;
    if nodes.is_empty() {
        faults.push(node.fault("expected messages, found an empty list"));
    }
    let mut messages = Vec::new();
    for node in nodes {
        messages.extend(prompt_message(node, faults));
    }
    Some(Prompt::Messages(messages))
}

fn prompt_message(node: &Node, faults: &mut Faults) -> Option<PromptMessage> {
    let map = node.as_map(&["system", "user", "assistant"], faults)?;
    let mut entries = map.entries();
    let (Some((key, node)), None) = (entries.next(), entries.next()) else {
        faults.push(node.fault("a message has one role").help("write `- system: …`, `- user: …` or `- assistant: …`"));
        return None;
    };
    Some(PromptMessage { role: key.name.clone(), text: node.as_spanned(faults)? })
}

fn identity(node: &Node, faults: &mut Faults) -> Vec<(Spanned<String>, String)> {
    let Some(map) = node.as_any_map(faults) else { return Vec::new() };
    let mut identity = Vec::new();
    for (key, node) in map.entries() {
        let field = Node { place: key.place.clone(), value: Yaml::Plain(key.name.clone()) };
        let (field, text) = (field_name(&field, faults), node.as_text(faults).map(str::to_owned));
        identity.extend(field.zip(text));
    }
    identity
}

fn traces(map: Map<'_>, faults: &mut Faults) -> Option<Traces> {
    let traces = map.require("traces", faults).and_then(|node| glob(node, faults));
    let wire = map.get("wire").and_then(|node| glob(node, faults));
    Some(Traces { traces: traces?, wire })
}

/// A pattern of paths below the root.
fn glob(node: &Node, faults: &mut Faults) -> Option<Spanned<String>> {
    let pattern = node.as_spanned(faults)?;
    let confined = disk::confine(Utf8Path::new(""), &pattern.value).map_err(|fault| fault.at(node.place.clone()));
    let compiled = globset::Glob::new(&pattern.value);
    let compiled = compiled.map_err(|error| node.fault(format!("not a glob: {}", error.kind())).help("as in `traces/**/*.jsonl`"));
    faults.take(confined)?;
    faults.take(compiled).map(|_| pattern)
}
