//! Settings beside the targets: providers, the judge, matching, the budget, telemetry and live tools.

use super::{command, service};
use crate::fault::{Fault, Faults, Place, suggest};
use crate::field;
use crate::limit;
use crate::postmortem::{check_variable, field_name};
use crate::price::Price;
use crate::yaml::{Date, Map, Node, Once, Spanned, Yaml, quote};
use regex::{Regex, RegexBuilder};

/// Votes of a judge, unless the project says otherwise.
pub const DEFAULT_VOTES: u32 = 3;

/// A way to talk to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Api {
    /// OpenAI's chat completions, which most servers speak.
    OpenAi,
    /// OpenAI's responses.
    OpenAiResponses,
    /// Anthropic's messages.
    Anthropic,
}

impl Api {
    /// Every API with its name, which is also that of its built-in provider.
    pub const ALL: [(&'static str, Self); 3] =
        [("openai", Self::OpenAi), ("openai-responses", Self::OpenAiResponses), ("anthropic", Self::Anthropic)];
}

/// A model of a provider, written `provider/model`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The provider: an [`Api`]'s name, or one under `providers`.
    pub provider: String,
    /// The model, as the provider calls it.
    pub name: Spanned<String>,
}

impl Model {
    /// Reads `provider/model`; a model may contain `/` itself.
    pub fn parse(text: &str, place: &Place) -> Option<Self> {
        let (provider, name) = text.split_once('/').filter(|(provider, name)| !provider.is_empty() && !name.trim().is_empty())?;
        Some(Self { provider: provider.to_owned(), name: Spanned { value: name.to_owned(), place: place.clone() } })
    }

    /// Whether the provider is built in or one of those written under `providers`.
    pub(super) fn check_provider(&self, written: &[&str]) -> Result<(), Fault> {
        let known: Vec<&str> = Api::ALL.iter().map(|(name, _)| *name).chain(written.iter().copied()).collect();
        if known.contains(&self.provider.as_str()) {
            return Ok(());
        }
        let fault = Fault::new(format!("unknown provider {}", quote(&self.provider))).at(self.name.place.clone());
        Err(fault.help(suggest(&self.provider, known)))
    }
}

/// A provider besides the built-in ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    /// Its name.
    pub name: Spanned<String>,
    /// What it speaks.
    pub api: Api,
    /// Its address, which may hold `${VARIABLE}`.
    pub base_url: Spanned<String>,
    /// The variable of the environment that holds its key; none for a server without one.
    pub key: Option<Spanned<String>>,
    /// What its tokens cost, where the project says so.
    pub price: Option<Price>,
}

/// Who judges answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judge {
    /// The model.
    pub model: Model,
    /// How many votes, an odd number.
    pub votes: u32,
}

/// How requests are compared with recorded ones.
#[derive(Debug, Clone, Default)]
pub struct Matching {
    /// JSON pointers into the body that are left out.
    pub ignore: Vec<Spanned<String>>,
    /// Replacements in every text of the body, in the order written.
    pub replace: Vec<Replacement>,
}

/// A pattern and what takes its place.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// The pattern.
    pub pattern: Regex,
    /// What takes its place; `$1` is the first group.
    pub with: String,
}

/// How much a run may cost; none is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Budget {
    /// US dollars.
    pub usd: Option<f64>,
    /// Live requests.
    pub requests: Option<u32>,
    /// Tokens, input and output.
    pub tokens: Option<u32>,
}

/// What telemetry must say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Telemetry {
    /// The fields that every trace must carry.
    pub require: Require,
    /// Fields that may be missing for now.
    pub waive: Vec<Waiver>,
    /// The project's own keys for a field.
    pub aliases: Vec<(Spanned<String>, Vec<Spanned<String>>)>,
}

/// The fields that every trace must carry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Require {
    /// The minimum profile.
    #[default]
    Minimum,
    /// These.
    Fields(Vec<Spanned<String>>),
}

/// A field that may be missing for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// The field.
    pub field: Spanned<String>,
    /// Why.
    pub why: String,
    /// The last day of the waiver; none lasts until the field appears.
    pub until: Option<Date>,
}

/// A tool that may go live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// The tool's name, as the model calls it.
    pub name: Spanned<String>,
    /// Who answers.
    pub kind: ToolKind,
}

/// Who answers a tool call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolKind {
    /// A program with the arguments as JSON on its standard input.
    Command(Vec<Spanned<String>>),
    /// A server that gets the arguments as JSON.
    Http(Spanned<String>),
    /// The case's first result of that name, whatever the arguments are.
    ByName,
}

/// Reads `provider/model`.
pub(super) fn model(node: &Node, faults: &mut Faults) -> Option<Model> {
    let text = node.as_text(faults)?;
    match Model::parse(text, &node.place) {
        Some(model) => Some(model),
        None => {
            let fault = node.fault(format!("expected `provider/model`, found {}", quote(text)));
            faults.push(fault.help(format!("write `openai/{}`", text.trim_matches('/'))));
            None
        }
    }
}

pub(super) fn provider(name: Spanned<String>, node: &Node, faults: &mut Faults) -> Option<Provider> {
    if Api::ALL.iter().any(|(builtin, _)| *builtin == name.value) || name.value.contains('/') {
        let message = format!("provider {} is built in or contains `/`", quote(&name.value));
        faults.push(Fault::new(message).at(name.place.clone()).help("choose another name"));
    }
    let map = node.as_map(&["api", "base_url", "key", "price"], faults)?;
    let api = map.require("api", faults).and_then(|node| node.as_choice(&Api::ALL, faults));
    let base_url = map.require("base_url", faults).and_then(|node| base_url(node, faults));
    let key = map.get("key").and_then(|node| key(node, faults));
    let price = map.get("price").and_then(|node| price(node, faults));
    Some(Provider { name, api: api?, base_url: base_url?, key, price })
}

/// US dollars for a million tokens; what was cached costs what is not, unless something else is written.
fn price(node: &Node, faults: &mut Faults) -> Option<Price> {
    let map = node.as_map(&["input", "cached", "output"], faults)?;
    let dollars = |node: &Node, faults: &mut Faults| {
        let dollars = node.as_number(faults)?;
        if dollars < 0.0 {
            faults.push(node.fault(format!("expected a price from 0, found {dollars}")));
        }
        Some(dollars)
    };
    let input = map.require("input", faults).and_then(|node| dollars(node, faults));
    let output = map.require("output", faults).and_then(|node| dollars(node, faults));
    let cached = map.get("cached").and_then(|node| dollars(node, faults)).or(input);
    Some(Price { input: input?, cached: cached?, output: output? })
}

fn base_url(node: &Node, faults: &mut Faults) -> Option<Spanned<String>> {
    if node.scalar().is_some_and(|text| text.starts_with("${") && text.contains('}')) {
        return node.as_spanned(faults);
    }
    service::url(node, faults)
}

/// The name of a variable. What is no name may be the key itself, so it is not quoted.
fn key(node: &Node, faults: &mut Faults) -> Option<Spanned<String>> {
    let key = node.as_spanned(faults)?;
    let is_name = check_variable(&key).is_ok() && !key.value.contains(|c: char| c.is_ascii_lowercase());
    if !is_name {
        let fault = node.fault("`key` names a variable of the environment, and this is no such name");
        faults.push(fault.help("write `key: LOCAL_LLM_KEY`; if this was a key, revoke it"));
    }
    is_name.then_some(key)
}

pub(super) fn judge(node: &Node, faults: &mut Faults) -> Option<Judge> {
    let map = node.as_map(&["model", "votes"], faults)?;
    let model = map.require("model", faults).and_then(|node| model(node, faults));
    let votes = map.get("votes").and_then(|node| node.as_whole(1, 99, faults)).unwrap_or(DEFAULT_VOTES);
    if let Some(node) = map.get("votes").filter(|_| votes % 2 == 0) {
        faults.push(node.fault(format!("{votes} votes can tie")).help(format!("write `votes: {}`", votes + 1)));
    }
    Some(Judge { model: model?, votes })
}

pub(super) fn matching(node: &Node, faults: &mut Faults) -> Matching {
    let Some(map) = node.as_map(&["ignore", "replace"], faults) else { return Matching::default() };
    let ignore = map.get("ignore").map(|node| node.as_texts(faults)).unwrap_or_default();
    for pointer in ignore.iter().filter(|pointer| !pointer.value.starts_with('/')) {
        let fault = Fault::new(format!("expected a JSON pointer, found {}", quote(&pointer.value))).at(pointer.place.clone());
        faults.push(fault.help(format!("write `/{}`", pointer.value.trim_start_matches(['$', '.']).replace('.', "/"))));
    }
    let mut replace = Vec::new();
    for node in map.get("replace").and_then(|node| node.as_list(faults)).unwrap_or_default() {
        replace.extend(replacement(node, faults));
    }
    Matching { ignore, replace }
}

fn replacement(node: &Node, faults: &mut Faults) -> Option<Replacement> {
    let map = node.as_map(&["pattern", "with"], faults)?;
    let pattern = map.require("pattern", faults).and_then(|node| pattern(node, faults));
    let with = map.require("with", faults);
    if let Some(node) = with.filter(|node| node.scalar().is_none()) {
        faults.push(node.unexpected("a text").help("write \"\" to remove what matches"));
    }
    Some(Replacement { pattern: pattern?, with: with?.scalar()?.to_owned() })
}

/// A pattern of the linear-time engine, of limited size, that does not match everywhere.
fn pattern(node: &Node, faults: &mut Faults) -> Option<Regex> {
    let text = node.as_text(faults)?;
    let compiled = RegexBuilder::new(text).size_limit(limit::REGEX_BYTES).build();
    let compiled = compiled.map_err(|error| node.fault(format!("not a pattern: {}", pattern_error(&error))));
    let regex = faults.take(compiled)?;
    if regex.is_match("") {
        faults.push(node.fault(format!("pattern {} matches the empty text", quote(text))).help("use `+` instead of `*`"));
        return None;
    }
    Some(regex)
}

/// The last line of the engine's message, which the others only illustrate.
fn pattern_error(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => format!("it compiles to more than {limit} bytes"),
        other => {
            let told = other.to_string();
            let last = told.lines().last().unwrap_or_default();
            last.strip_prefix("error: ").unwrap_or(last).to_owned()
        }
    }
}

pub(super) fn budget(node: &Node, faults: &mut Faults) -> Budget {
    let Some(map) = node.as_map(&["usd", "requests", "tokens"], faults) else { return Budget::default() };
    let usd = map.get("usd").and_then(|node| {
        let usd = node.as_number(faults)?;
        if usd < 0.0 {
            faults.push(node.fault(format!("expected a sum from 0, found {usd}")));
        }
        Some(usd)
    });
    let mut whole = |name: &str| map.get(name).and_then(|node| node.as_whole(0, u32::MAX, faults));
    Budget { usd, requests: whole("requests"), tokens: whole("tokens") }
}

pub(super) fn telemetry(node: &Node, faults: &mut Faults) -> Telemetry {
    let Some(map) = node.as_map(&["require", "waive", "aliases"], faults) else { return Telemetry::default() };
    let require = map.get("require").map(|node| require(node, faults)).unwrap_or_default();
    let (mut waive, mut once) = (Vec::new(), Once::default());
    for node in map.get("waive").and_then(|node| node.as_list(faults)).unwrap_or_default() {
        let Some(waiver) = waiver(node, faults) else { continue };
        if once.is_first(&waiver.field.value, &waiver.field.place, faults) {
            waive.push(waiver);
        }
    }
    Telemetry { require, waive, aliases: aliases(map, faults) }
}

fn require(node: &Node, faults: &mut Faults) -> Require {
    if !matches!(node.value, Yaml::List(_)) {
        node.as_choice(&[("minimum", ())], faults);
        return Require::Minimum;
    }
    let nodes = node.as_list(faults).unwrap_or_default();
    Require::Fields(nodes.iter().filter_map(|node| field_name(node, faults)).collect())
}

fn waiver(node: &Node, faults: &mut Faults) -> Option<Waiver> {
    let map = node.as_map(&["field", "why", "until"], faults)?;
    let field = map.require("field", faults).and_then(|node| field_name(node, faults));
    let why = map.require("why", faults).and_then(|node| node.as_text(faults).map(str::to_owned));
    let until = map.get("until").and_then(|node| node.as_date(faults));
    Some(Waiver { field: field?, why: why?, until })
}

fn aliases(map: Map<'_>, faults: &mut Faults) -> Vec<(Spanned<String>, Vec<Spanned<String>>)> {
    let Some(map) = map.get("aliases").and_then(|node| node.as_any_map(faults)) else { return Vec::new() };
    let mut aliases = Vec::new();
    for (key, node) in map.entries() {
        if field::definition(&key.name).is_none() {
            let known = field::ALL.iter().map(|definition| definition.name);
            faults.push(key.fault(format!("unknown field {}", quote(&key.name))).help(suggest(&key.name, known)));
        }
        let name = Spanned { value: key.name.clone(), place: key.place.clone() };
        aliases.push((name, node.as_texts(faults)));
    }
    aliases
}

pub(super) fn tool(name: Spanned<String>, node: &Node, faults: &mut Faults) -> Option<Tool> {
    let map = node.as_map(&["command", "http", "match"], faults)?;
    let kind = match (map.get("command"), map.get("http"), map.get("match")) {
        (Some(node), None, None) => command(node, faults).map(ToolKind::Command),
        (None, Some(node), None) => service::url(node, faults).map(ToolKind::Http),
        (None, None, Some(node)) => node.as_choice(&[("by-name", ())], faults).map(|()| ToolKind::ByName),
        _ => {
            faults.push(node.fault("a tool has either a `command`, or an `http` address, or `match: by-name`"));
            None
        }
    };
    Some(Tool { name, kind: kind? })
}
