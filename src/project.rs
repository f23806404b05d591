//! relapse.yaml: targets, providers, budgets, and what telemetry must say.

mod service;
mod settings;
mod target;

#[cfg(test)]
mod tests;

pub use service::{Application, Http, Output, Service, Source, UpstreamAddress};
pub use settings::{Api, Budget, DEFAULT_VOTES, Judge, Matching, Model, Provider, Replacement, Require, Telemetry, Tool, ToolKind, Waiver};
pub use target::{Prompt, PromptMessage, PromptTarget, SnapshotKind, Target, TargetKind, Traces};

use crate::disk::{PROJECT_FILE, Root};
use crate::fault::{Fault, Faults};
use crate::limit;
use crate::postmortem::check_name;
use crate::yaml::{self, Map, Node, Spanned};
use camino::Utf8Path;

const KEYS: &[&str] =
    &["version", "targets", "providers", "judge", "embeddings", "match", "budget", "concurrency", "telemetry", "checks", "tools"];

/// A program that serves as a check.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its name in `expect: {command: NAME}`.
    pub name: Spanned<String>,
    /// The program and its arguments, never split.
    pub command: Vec<Spanned<String>>,
}

/// What relapse.yaml says.
#[derive(Debug, Clone)]
pub struct Project {
    /// What is on trial, in the order written.
    pub targets: Vec<Target>,
    /// Model providers besides the built-in ones.
    pub providers: Vec<Provider>,
    /// Who judges, if anyone does.
    pub judge: Option<Judge>,
    /// Whose embeddings say how near an answer is to a text, if anyone's.
    pub embeddings: Option<Model>,
    /// How requests are compared with recorded ones.
    pub matching: Matching,
    /// How much a run may cost.
    pub budget: Budget,
    /// How many conversations run at once.
    pub concurrency: u32,
    /// What telemetry must say.
    pub telemetry: Telemetry,
    /// Programs that serve as checks.
    pub checks: Vec<Program>,
    /// Tools that may go live.
    pub tools: Vec<Tool>,
}

impl Default for Project {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            providers: Vec::new(),
            judge: None,
            embeddings: None,
            matching: Matching::default(),
            budget: Budget::default(),
            concurrency: limit::CONCURRENCY,
            telemetry: Telemetry::default(),
            checks: Vec::new(),
            tools: Vec::new(),
        }
    }
}

impl Project {
    /// Reads `relapse.yaml` at the root.
    pub fn load(root: &Root) -> Result<Self, Faults> {
        let path = Utf8Path::new(PROJECT_FILE);
        if !root.exists(path) {
            return Err(Fault::new(format!("no {PROJECT_FILE} in {}", root.path())).help("run `relapse init`").into());
        }
        let text =
            root.read_text(path, limit::YAML_BYTES).map_err(|fault| if fault.place.is_some() { fault } else { fault.in_file(path) })?;
        Self::parse(path, &text)
    }

    /// Reads a project from the text of its file. Nothing that it names is opened.
    pub fn parse(file: &Utf8Path, text: &str) -> Result<Self, Faults> {
        let node = yaml::parse(text, file, 1)?;
        let mut faults = Faults::new();
        let project = node.as_map(KEYS, &mut faults).map(|map| Self::read(map, &mut faults)).unwrap_or_default();
        faults.into_result(project)
    }

    /// The target of this name.
    pub fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.name == name)
    }

    fn read(map: Map<'_>, faults: &mut Faults) -> Self {
        version(map, faults);
        let providers = named(map.get("providers"), faults, settings::provider);
        let default = Self::default();
        let judge = map.get("judge").and_then(|node| settings::judge(node, faults));
        let project = Self {
            targets: named(map.get("targets"), faults, target::read),
            matching: map.get("match").map(|node| settings::matching(node, faults)).unwrap_or_default(),
            budget: map.get("budget").map(|node| settings::budget(node, faults)).unwrap_or_default(),
            concurrency: map.get("concurrency").and_then(|node| node.as_whole(1, 1024, faults)).unwrap_or(default.concurrency),
            telemetry: map.get("telemetry").map(|node| settings::telemetry(node, faults)).unwrap_or_default(),
            checks: named(map.get("checks"), faults, program),
            tools: named(map.get("tools"), faults, settings::tool),
            judge,
            embeddings: map.get("embeddings").and_then(|node| settings::model(node, faults)),
            providers,
        };
        // Also those that could not be read, which are faults of their own.
        let entries = map.get("providers").and_then(|node| node.as_any_map(&mut Faults::new()));
        let written = entries.iter().flat_map(Map::entries).map(|(key, _)| key.name.as_str()).collect();
        project.check_providers(written, faults);
        project
    }

    /// Every model names a provider that exists.
    fn check_providers(&self, written: Vec<&str>, faults: &mut Faults) {
        let models = self.targets.iter().filter_map(|target| match &target.kind {
            TargetKind::Prompt(prompt) => Some(&prompt.model),
            _ => None,
        });
        for model in models.chain(self.judge.iter().map(|judge| &judge.model)).chain(&self.embeddings) {
            faults.take(model.check_provider(&written));
        }
    }
}

fn version(map: Map<'_>, faults: &mut Faults) {
    let Some(node) = map.get("version") else {
        faults.push(Fault::new("key `version` is missing").at(map.place.clone()).help("add `version: 1`"));
        return;
    };
    if node.scalar() != Some("1") {
        faults.push(node.fault(format!("expected version 1, found {}", node.found())).help("write `version: 1`, or update relapse"));
    }
}

/// The entries of a map whose keys are names, each read by itself.
fn named<T>(node: Option<&Node>, faults: &mut Faults, read: fn(Spanned<String>, &Node, &mut Faults) -> Option<T>) -> Vec<T> {
    let Some(map) = node.and_then(|node| node.as_any_map(faults)) else { return Vec::new() };
    let mut items = Vec::new();
    for (key, node) in map.entries() {
        let name = Spanned { value: key.name.clone(), place: key.place.clone() };
        items.extend(read(name, node, faults));
    }
    items
}

/// Checks a name that becomes part of a file's name.
fn check_file_name(name: &Spanned<String>, faults: &mut Faults) {
    faults.take(check_name(&name.value).map_err(|fault| fault.at(name.place.clone())));
}

fn program(name: Spanned<String>, node: &Node, faults: &mut Faults) -> Option<Program> {
    let map = node.as_map(&["command"], faults)?;
    let command = map.require("command", faults).and_then(|node| command(node, faults))?;
    Some(Program { name, command })
}

/// A program and its arguments as a list; a text is refused, because nothing here splits it.
fn command(node: &Node, faults: &mut Faults) -> Option<Vec<Spanned<String>>> {
    if let Some(text) = node.scalar() {
        let words: Vec<&str> = text.split_whitespace().collect();
        faults.push(
            node.unexpected("a list").help(format!("write `[{}]`: a command is never split, and no shell runs it", words.join(", "))),
        );
        return None;
    }
    let nodes = node.as_list(faults)?;
    if nodes.is_empty() {
        faults.push(node.fault("expected a program and its arguments, found an empty list"));
    }
    let mut command = Vec::new();
    for node in nodes {
        let text = node.scalar().map(|text| Spanned { value: text.to_owned(), place: node.place.clone() });
        if text.is_none() {
            faults.push(node.unexpected("a text").help("quote it, as in \"{{ input }}\""));
        }
        command.extend(text);
    }
    Some(command)
}
