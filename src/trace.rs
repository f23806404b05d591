//! A trace: what one request did as its telemetry tells it, in one normalised model.

mod history;
mod silence;

pub use history::History;
use silence::Silence;

use crate::field::{self, Key, On, State, States, When};
use crate::mapping::{Findings, Kind, Mapping};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// One span, classified, with what it carries.
#[derive(Debug, Clone)]
pub struct Node {
    /// The trace's id, 32 hexadecimal digits.
    pub trace_id: String,
    /// The span's id, 16 hexadecimal digits.
    pub span_id: String,
    /// The parent among the trace's spans, if it was exported.
    pub parent: Option<usize>,
    /// Whether the parent is named but was not exported.
    pub orphan: bool,
    /// The span's name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The instrumentation that wrote it.
    pub convention: Option<&'static str>,
    /// Start, in nanoseconds since the epoch; 0 when absent.
    pub start_ns: u64,
    /// End, in nanoseconds since the epoch; 0 when absent.
    pub end_ns: u64,
    /// The error's type or message, if the span failed.
    pub error: Option<String>,
    /// Whether the instrumentation set the status to OK itself; most leave it unset.
    pub said_ok: bool,
    /// Fields and facts by name.
    pub findings: Findings,
    /// Attributes were dropped, so that what is absent may have been there.
    pub attributes_dropped: bool,
    /// Events were dropped, so that the first one kept is not the first one sent.
    pub events_dropped: bool,
}

impl Node {
    /// Seconds from start to end; none when either is absent or they are reversed.
    pub fn duration(&self) -> Option<f64> {
        (self.start_ns > 0 && self.end_ns >= self.start_ns).then(|| (self.end_ns - self.start_ns) as f64 / 1e9)
    }

    /// A fact or field as text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.findings.get(name).and_then(|found| found.value.as_str())
    }

    /// A fact or field as a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.findings.get(name).and_then(|found| found.value.as_f64())
    }

    /// A fact or field as yes or no.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.findings.get(name).and_then(|found| found.value.as_bool())
    }
}

/// A tool that a model asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolRequest {
    /// The call's id; empty when none was given.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as they were sent, JSON or not.
    pub arguments: String,
}

/// One message of a conversation, in neutral form.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// Its text, all parts joined.
    pub text: String,
    /// A refusal, where the convention keeps one apart.
    pub refusal: Option<String>,
    /// The tools that it asks for.
    pub tool_requests: Vec<ToolRequest>,
    /// The tool call that it answers.
    pub answers: Option<String>,
}

/// One logical call of a model, as telemetry tells it.
#[derive(Debug, Clone)]
pub struct ModelCall {
    /// Its span.
    pub node: usize,
    /// What went in; empty when content was not captured.
    pub input: History,
    /// What came out; none when content was not captured.
    pub output: Option<Message>,
}

/// One tool that ran.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// Its span.
    pub node: usize,
    /// The call's id, if the span says it.
    pub id: Option<String>,
    /// The tool's name.
    pub name: String,
    /// The arguments as the span has them.
    pub arguments: Option<String>,
    /// What it returned.
    pub result: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
}

/// One retrieved passage.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its id; empty when none was recorded.
    pub id: String,
    /// Its score, if one was recorded.
    pub score: Option<f64>,
    /// Its text, if it was recorded.
    pub text: Option<String>,
}

/// One search for passages.
#[derive(Debug, Clone, PartialEq)]
pub struct Retrieval {
    /// Its span.
    pub node: usize,
    /// The question, if it was recorded.
    pub query: Option<String>,
    /// What was found; none when the telemetry does not say.
    pub documents: Option<Vec<Document>>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Fields of which the last span's counts, not the first's.
const LAST_WINS: [&str; 3] = ["finish_reason", "output", "model.responded"];

/// What an application states to whoever asked it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What the user got, which may be nothing.
    pub answer: String,
    /// How it went, in the application's own word.
    pub outcome: Option<String>,
}

/// What one request did.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// The trace's id; of several joined ones the earliest.
    pub id: String,
    /// The instrumentations seen, sorted.
    pub conventions: Vec<&'static str>,
    /// Every span, by start, parents before children.
    pub nodes: Vec<Node>,
    /// The request's root span, if it was exported.
    pub root: Option<usize>,
    /// Logical model calls, by start; wrappers and duplicates left out.
    pub model_calls: Vec<ModelCall>,
    /// Attempts that are spans of their own and were tried again, by start; empty when no attempt is a span of its own.
    pub retried: Vec<usize>,
    /// Whether the instrumentation exports no span for a model call that fails, and the request failed.
    pub may_lack_calls: bool,
    /// Tools that ran, by start.
    pub tool_calls: Vec<ToolCall>,
    /// Searches, by start.
    pub retrievals: Vec<Retrieval>,
    /// Fields that log records or resources carry: value and key.
    pub beside: BTreeMap<&'static str, (Value, &'static str)>,
    /// Scores by name.
    pub scores: BTreeMap<String, f64>,
    /// Whether a user complained; none when there was no feedback.
    pub complaint: Option<bool>,
    /// What a human review said.
    pub review: Option<String>,
    /// The tools that the model was told of, in the instrumentation's form.
    pub tools: Vec<Value>,
    /// What the application states beside its telemetry; none where nobody listened.
    pub stated: Option<Statement>,
    /// The attribute `relapse.case`, if the run set it.
    pub case: Option<String>,
    /// What was odd, with span and field.
    pub diagnostics: Vec<String>,
}

impl ModelCall {
    /// The last text of the user that went into the call.
    fn question(&self) -> Option<&str> {
        let of_user = |message: &&Message| message.role == "user" && message.answers.is_none() && !message.text.is_empty();
        self.input.iter().rev().find(of_user).map(|message| message.text.as_str())
    }
}

/// Whether a text is not a structure that an instrumentation wrote as JSON.
fn is_prose(text: &str) -> bool {
    !text.trim_start().starts_with(['{', '['])
}

impl Trace {
    /// What was odd, with span and field: when it was normalised, and in what went into its model calls, which is read now.
    pub fn oddities(&self) -> impl Iterator<Item = String> {
        self.diagnostics.iter().cloned().chain(self.unreadable())
    }

    /// The model calls whose messages cannot be read, in words; reads them all.
    pub fn unreadable(&self) -> impl Iterator<Item = String> {
        let broken = self.model_calls.iter().filter(|call| call.input.is_broken()).map(|call| &self.model_node(call).span_id);
        broken.map(|span| {
            format!("span {span}: the messages that went into the model are no JSON list to its end; what was asked is unknown")
        })
    }

    /// The root span.
    pub fn root_node(&self) -> Option<&Node> {
        self.root.and_then(|index| self.nodes.get(index))
    }

    /// Whether the id of any trace in it begins so.
    pub fn has_id(&self, start: &str) -> bool {
        self.nodes.iter().any(|node| node.trace_id.starts_with(start))
    }

    /// The user's question: the root's own input where it is a text, else what the first model call was asked, else what was
    /// searched for. Histories are long and this is seldom asked for, so nothing is read before.
    pub fn input(&self) -> Option<&str> {
        let of_root = self.root_node().and_then(|root| root.text("request.input")).filter(|text| is_prose(text));
        let of_model = || self.model_calls.first().and_then(ModelCall::question);
        let of_retrieval = || self.retrievals.first().and_then(|retrieval| retrieval.query.as_deref());
        of_root.or_else(of_model).or_else(of_retrieval)
    }

    /// The root's own output where it is a text, else the last model call's: what reached the user, as far as telemetry tells;
    /// none when it was not captured.
    pub fn answer(&self) -> Option<&str> {
        let of_root = self.root_node().and_then(|root| root.text("request.output")).filter(|text| is_prose(text));
        let of_agent = || self.nodes.iter().filter(|node| node.kind == Kind::Agent).find_map(|node| node.text("output.text"));
        let of_model = || self.model_calls.last().and_then(|call| call.output.as_ref()).map(|output| output.text.as_str());
        of_root.or_else(of_agent).or_else(of_model)
    }

    /// The node of a model call.
    pub fn model_node(&self, call: &ModelCall) -> &Node {
        &self.nodes[call.node]
    }

    /// Whether spans were lost: one besides the root names a parent that was never exported, or a failed call has none.
    pub fn is_incomplete(&self) -> bool {
        self.may_lack_calls || self.nodes.iter().enumerate().any(|(index, node)| node.orphan && Some(index) != self.root)
    }

    /// Every span after its parent, whatever their times say.
    pub fn parents_first(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut listed = vec![false; self.nodes.len()];
        let mut path = Vec::new();
        for start in 0..self.nodes.len() {
            let mut next = Some(start);
            while let Some(index) = next.filter(|index| !listed[*index]) {
                listed[index] = true;
                path.push(index);
                next = self.nodes[index].parent;
            }
            order.extend(path.drain(..).rev());
        }
        order
    }

    /// For every span its nearest ancestor that has something in common.
    pub fn nearest_above(&self, is_one: impl Fn(&Node) -> bool) -> Vec<Option<usize>> {
        let mut nearest = vec![None; self.nodes.len()];
        if !self.nodes.iter().any(&is_one) {
            return nearest;
        }
        for index in self.parents_first() {
            nearest[index] =
                self.nodes[index].parent.and_then(|parent| if is_one(&self.nodes[parent]) { Some(parent) } else { nearest[parent] });
        }
        nearest
    }

    /// Start of the whole request, in nanoseconds since the epoch.
    pub fn start_ns(&self) -> u64 {
        self.root_node()
            .map(|root| root.start_ns)
            .or_else(|| self.nodes.iter().map(|node| node.start_ns).filter(|start| *start > 0).min())
            .unwrap_or(0)
    }

    /// Whether any model call streamed its answer; none when nothing says.
    pub fn streamed(&self) -> Option<bool> {
        let told: Vec<bool> = self.model_calls.iter().filter_map(|call| self.streamed_call(call)).collect();
        (!told.is_empty()).then(|| told.contains(&true))
    }

    fn streamed_call(&self, call: &ModelCall) -> Option<bool> {
        let node = self.model_node(call);
        node.flag("streamed").or_else(|| node.findings.contains_key("latency.first_token").then_some(true))
    }

    /// Whether a model asked for a tool; none when nothing says.
    pub fn tool_requested(&self) -> Option<bool> {
        if self.model_calls.iter().any(|call| self.model_node(call).findings.contains_key("tool.requested")) || !self.tool_calls.is_empty()
        {
            return Some(true);
        }
        // A call that broke off may have been about to ask for one.
        let says = |call: &ModelCall| {
            let node = self.model_node(call);
            node.text("finish_reason").is_some() || (call.output.is_some() && node.error.is_none())
        };
        let silent = !self.model_calls.iter().all(says);
        (!self.model_calls.is_empty() && !silent).then_some(false)
    }

    /// Whether this request carries a field where it must be.
    pub fn state(&self, field: &str, on: On, mapping: &Mapping) -> State {
        let silence = Silence::of(self, mapping);
        let Some(place) = field::place(field) else { return silence.unknown(field) };
        let nodes: Vec<usize> = match on {
            On::Any => return self.state_told(place, self.told()[place], &silence),
            On::Root => self.root.into_iter().collect(),
            On::EveryModelCall => self.model_calls.iter().map(|call| call.node).collect(),
            On::EveryToolCall => self.tool_calls.iter().map(|call| call.node).collect(),
            On::EveryRetrieval => self.retrievals.iter().map(|retrieval| retrieval.node).collect(),
        };
        self.state_on(place, &nodes, &silence)
    }

    fn condition_met(&self, definition: &field::Definition) -> bool {
        match definition.when {
            When::Always | When::Asked => true,
            When::Streamed => self.streamed() != Some(false),
            When::ToolRequested => self.tool_requested() == Some(true),
            When::Retrieved => !self.retrievals.is_empty(),
        }
    }

    /// The state of every field in the minimum profile, by name: a field whose condition is not met is not required.
    pub fn states(&self, mapping: &Mapping) -> States {
        let silence = Silence::of(self, mapping);
        let told = self.told();
        let state = |place: usize| match self.condition_met(&field::ALL[place]) {
            true => self.state_told(place, told[place], &silence),
            false => State::ConditionNotMet,
        };
        States::new((0..field::ALL.len()).map(state).collect())
    }

    /// The span that tells each field, in the order of all fields: the root, else the first (or the last, where that counts).
    fn told(&self) -> Vec<Option<usize>> {
        static LAST: LazyLock<Vec<bool>> =
            LazyLock::new(|| field::ALL.iter().map(|definition| LAST_WINS.contains(&definition.name)).collect());
        let mut told = vec![None; field::ALL.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for place in node.findings.iter().filter_map(|(name, _)| field::place(name)) {
                let known = &mut told[place];
                if known.is_none() || Some(index) == self.root || (LAST[place] && *known != self.root) {
                    *known = Some(index);
                }
            }
        }
        told
    }

    /// The state of a field that this span tells first, or none does.
    fn state_told(&self, place: usize, node: Option<usize>, silence: &Silence<'_>) -> State {
        let field = field::ALL[place].name;
        if let Some(state) = node.and_then(|index| self.present_on(field, index)) {
            return state;
        }
        if let Some((value, key)) = self.beside.get(field) {
            return State::Present { value: value.clone(), span: None, key: Key::Known(key) };
        }
        silence.about(place, None)
    }

    fn state_on(&self, place: usize, nodes: &[usize], silence: &Silence<'_>) -> State {
        let field = field::ALL[place].name;
        let Some(first) = nodes.first() else { return State::ConditionNotMet };
        match nodes.iter().find(|index| self.present_on(field, **index).is_none()) {
            Some(silent) => silence.about(place, Some(*silent)),
            None => self.present_on(field, *first).unwrap_or(State::ConditionNotMet),
        }
    }

    fn present_on(&self, field: &str, index: usize) -> Option<State> {
        let node = self.nodes.get(index)?;
        let found = node.findings.get(field)?;
        Some(State::Present { value: found.value.clone(), span: Some(node.span_id.clone()), key: found.key.clone() })
    }

    fn content_is_off(&self) -> bool {
        !self.model_calls.is_empty() && self.model_calls.iter().all(|call| call.output.is_none() && call.input.is_empty())
    }
}
