//! A request: what one user's question did, from telemetry and wire together.

mod compare;
mod measure;
mod outcome;
mod pairing;
mod policy;
mod share;
mod stages;
mod sweep;

use crate::field::{On, State, States};
use crate::mapping::Mapping;
use crate::signal::Signals;
use crate::trace::{Document, Trace};
use crate::verdict::{Bar, Contradiction, Waterfall};
use crate::wire::Exchange;
use crate::wire::call::Attempt;
use crate::wire::summary::Summary;
use serde_json::Value;
use std::borrow::Cow;

pub(crate) use outcome::finish_of;
pub use share::share;
pub use stages::{Stage, exclusive};

/// A field of which the telemetry says nothing though the wire knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Hidden {
    /// The field.
    pub field: String,
    /// What the wire knows.
    pub wire: Value,
}

/// A tool that the model asked for, from the wire where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolUse {
    /// The call's id.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as they were sent.
    pub arguments: String,
    /// Whether the wire said so; telemetry may have mended them.
    pub from_wire: bool,
}

/// What the times of a wire were taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clock {
    /// The time that passed.
    #[default]
    Real,
    /// An earlier session or a condition: answers were played, and not waited for. What a real clock says is then no
    /// contradiction.
    Virtual,
}

/// What one user's question did.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The telemetry; none where relapse itself ran the conversation.
    pub trace: Option<Trace>,
    /// What the wire knows; none without one.
    pub wire: Option<Summary>,
    /// The exchanges of this request.
    pub exchanges: Vec<Exchange>,
    /// What the times of the wire were taken from.
    pub clock: Clock,
    /// The signals.
    pub signals: Signals,
    /// The state of every field.
    pub fields: States,
    /// What the telemetry does not tell.
    pub hidden: Vec<Hidden>,
    /// What the telemetry tells wrongly.
    pub contradictions: Vec<Contradiction>,
    /// What the user got.
    pub answer: Option<String>,
    /// The tools that were asked for; none when nothing says.
    pub tool_uses: Option<Vec<ToolUse>>,
    /// The passages that were found; none when nothing says.
    pub documents: Option<Vec<Document>>,
}

impl Request {
    /// Joins one trace with its exchanges.
    pub fn new(trace: Option<Trace>, exchanges: Vec<Exchange>, mapping: &Mapping) -> Self {
        Self::timed(Clock::Real, trace, exchanges, mapping)
    }

    /// Joins one trace with its exchanges, whose times are those of a clock.
    pub fn timed(clock: Clock, trace: Option<Trace>, mut exchanges: Vec<Exchange>, mapping: &Mapping) -> Self {
        if clock == Clock::Virtual {
            // When they were asked says nothing about how long they took.
            exchanges.iter_mut().for_each(|exchange| exchange.at = None);
        }
        let summary = Summary::of(&exchanges);
        Self { trace, exchanges, clock, ..Self::default() }.with_wire(summary, mapping)
    }

    /// A conversation without telemetry, whose answers were read while it was held.
    pub fn of_conversation(exchanges: Vec<Exchange>, attempts: Vec<Attempt>, mapping: &Mapping) -> Self {
        let summary = Summary::of_attempts(exchanges.iter().zip(attempts));
        Self { exchanges, ..Self::default() }.with_wire(summary, mapping)
    }

    /// Reads what telemetry and wire say together.
    fn with_wire(mut self, summary: Summary, mapping: &Mapping) -> Self {
        self.wire = (!summary.calls.is_empty()).then_some(summary);
        let mut request = self;
        request.read_content();
        request.read_fields(mapping);
        let pairs = request.trace.as_ref().zip(request.wire.as_ref()).map(|(trace, wire)| pairing::pairs(trace, wire));
        let pairs = pairs.unwrap_or_default();
        measure::measure(&mut request, &pairs);
        compare::compare(&mut request, &pairs);
        let contradictions = request.wire.is_some().then_some(request.contradictions.len() as f64);
        request.signals.set_number("contradictions", contradictions);
        request
    }

    /// What the user asked.
    pub fn input(&self) -> Option<Cow<'_, str>> {
        let of_trace = self.trace.as_ref().and_then(Trace::input).map(Cow::Borrowed);
        of_trace.or_else(|| self.exchanges.iter().find_map(question).map(Cow::Owned))
    }

    /// The state of a field where a requirement says it must be.
    pub fn state(&self, field: &str, on: On, mapping: &Mapping) -> State {
        match &self.trace {
            Some(trace) => trace.state(field, on, mapping),
            None => State::ConditionNotMet,
        }
    }

    /// The stages of the waterfall, by start.
    ///
    /// Where there is no telemetry, the attempts of the wire follow one another.
    pub fn stages(&self) -> Vec<Stage> {
        match (&self.trace, &self.wire) {
            (Some(trace), _) => stages::of(trace),
            (None, Some(wire)) => stages::of_wire(wire),
            (None, None) => Vec::new(),
        }
    }

    /// The stages as a report draws them.
    pub fn waterfall(&self) -> Waterfall {
        let bar = |stage: Stage| Bar {
            kind: stage.kind.to_string(),
            name: stage.name,
            start: stage.start,
            duration: stage.duration,
            failed: stage.error.is_some(),
        };
        Waterfall { bars: self.stages().into_iter().map(bar).collect() }
    }

    fn read_content(&mut self) {
        let of_trace = self.trace.as_ref();
        let last = self.wire.as_ref().and_then(Summary::last);
        let of_wire = last.filter(|attempt| attempt.tool_calls.is_empty()).and_then(|attempt| {
            attempt.text.clone().filter(|text| !text.is_empty() || attempt.refusal.is_none()).or_else(|| attempt.refusal.clone())
        });
        // What the application told its user comes before what the model told the application.
        let stated = of_trace.and_then(|trace| trace.stated.as_ref()).map(|stated| stated.answer.clone());
        let told = of_trace.and_then(Trace::answer).map(str::to_string);
        // Telemetry tells an empty answer also where it did not see the real one.
        let (seen, empty) = if told.as_deref() == Some("") { (None, told) } else { (told, None) };
        self.answer = stated.or(seen).or(of_wire).or(empty);
        self.tool_uses = self.wire.as_ref().map(wire_tools).or_else(|| of_trace.and_then(told_tools));
        self.documents = of_trace.and_then(found_documents);
    }

    fn read_fields(&mut self, mapping: &Mapping) {
        let Some(trace) = &self.trace else { return };
        self.fields = trace.states(mapping);
    }
}

/// The last message of the user in a request's body.
fn question(exchange: &Exchange) -> Option<String> {
    let body = &exchange.request.body;
    let items = body.get("messages").or_else(|| body.get("input"))?;
    if let Some(text) = items.as_str() {
        return Some(text.to_string());
    }
    let of_user = items.as_array()?.iter().rev().filter(|item| item.get("role").and_then(Value::as_str) == Some("user"));
    of_user.filter_map(|item| content_text(item.get("content")?)).find(|text| !text.is_empty())
}

fn content_text(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => Some(parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()),
        _ => None,
    }
}

fn wire_tools(wire: &Summary) -> Vec<ToolUse> {
    let calls = wire.calls.iter().flat_map(|call| &call.last().tool_calls);
    calls.map(|call| ToolUse { id: call.id.clone(), name: call.name.clone(), arguments: call.arguments.clone(), from_wire: true }).collect()
}

fn told_tools(trace: &Trace) -> Option<Vec<ToolUse>> {
    let mut uses = Vec::new();
    let captured = !trace.model_calls.is_empty()
        && trace.model_calls.iter().all(|call| call.output.is_some() || trace.model_node(call).error.is_some());
    for call in &trace.model_calls {
        for request in call.output.iter().flat_map(|output| &output.tool_requests) {
            uses.push(ToolUse {
                id: request.id.clone(),
                name: request.name.clone(),
                arguments: request.arguments.clone(),
                from_wire: false,
            });
        }
    }
    if captured {
        return Some(uses);
    }
    // Without content the tools that ran still say what was asked for.
    let ran = trace.tool_calls.iter().map(|call| ToolUse {
        id: call.id.clone().unwrap_or_default(),
        name: call.name.clone(),
        arguments: call.arguments.clone().unwrap_or_default(),
        from_wire: false,
    });
    (!trace.tool_calls.is_empty()).then(|| ran.collect())
}

fn found_documents(trace: &Trace) -> Option<Vec<Document>> {
    let known: Option<Vec<&Vec<Document>>> = trace.retrievals.iter().map(|retrieval| retrieval.documents.as_ref()).collect();
    known.filter(|lists| !lists.is_empty()).map(|lists| lists.into_iter().flatten().cloned().collect())
}

/// Arguments that mean the same are the same; what is no JSON is itself.
pub fn canonical_arguments(raw: &str) -> String {
    serde_json::from_str::<Value>(raw).map_or_else(|_| raw.to_string(), |value| crate::canonical::json(&value))
}

/// Seconds and ratios to a millionth.
pub(crate) fn micro(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}
