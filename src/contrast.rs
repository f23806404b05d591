//! A contrast: what differs between a baseline and a request, measured by the formulas of the comparison checks.

mod answer;
mod asked;
mod context;
mod form;
mod model;
mod opening;
pub mod prompt;
mod retrieval;
mod time;
mod tokens;
mod tools;

pub use opening::{Opening, passages};

use crate::change;
use crate::diagnosis::{Hunk, Shift};
use crate::expression::{Environment, FieldValue, Frame};
use crate::field::State;
use crate::request::{Clock, Request};
use crate::signal::{Datum, Signals};
use asked::Call;

/// Two requests compared.
#[derive(Debug)]
pub struct Contrast<'a> {
    /// The baseline: of several healthy requests one that asks the same.
    pub base: &'a Request,
    /// What is compared with it.
    pub now: &'a Request,
    /// The baseline's signals: of several healthy requests the medians.
    pub base_signals: Signals,
    /// The request's signals.
    ///
    /// Times of a replay are those of this machine; here, and in the baseline that it is held against, they are whole
    /// seconds, so that the same replay has the same causes everywhere.
    pub now_signals: Signals,
    /// The measures of [`change::ALL`] that are known.
    pub measures: Signals,
    /// How the prompt's template differs.
    pub prompt: Vec<Hunk>,
    /// What else differs: models, parameters, tools, versions.
    pub changed: Vec<Shift>,
}

/// One side of a contrast, read once for all measures.
struct Side<'a> {
    request: &'a Request,
    signals: &'a Signals,
    /// The model calls; none when nothing says what was asked.
    calls: Option<Vec<Call>>,
    /// The passages that were found, from telemetry, else from the prompt; none when nothing says.
    documents: Option<Vec<crate::trace::Document>>,
}

impl<'a> Side<'a> {
    fn new(request: &'a Request, signals: &'a Signals) -> Self {
        let calls = asked::calls(request);
        let documents = retrieval::documents(request, calls.as_deref());
        Self { request, signals, calls, documents }
    }

    /// The templates of the prompts; `known` are the passages that may be in them.
    fn templates(&self, known: &[crate::trace::Document]) -> Option<Vec<String>> {
        Some(prompt::templates(self.calls.as_ref()?, known, self.request.input().as_deref()))
    }

    fn number(&self, signal: &str) -> Option<f64> {
        self.signals.read(signal).number()
    }

    fn flag(&self, signal: &str) -> Option<bool> {
        self.signals.read(signal).flag()
    }
}

/// Collects measures and what differs.
#[derive(Default)]
struct Ledger {
    measures: Signals,
    changed: Vec<Shift>,
}

impl Ledger {
    fn number(&mut self, name: &'static str, number: Option<f64>) {
        debug_assert!(change::definition(name).is_some(), "{name}");
        self.measures.set_number(name, number.filter(|number| number.is_finite()).map(crate::request::micro));
    }

    fn count(&mut self, name: &'static str, count: Option<usize>) {
        self.number(name, count.map(|count| count as f64));
    }

    fn flag(&mut self, name: &'static str, flag: Option<bool>) {
        debug_assert!(change::definition(name).is_some(), "{name}");
        self.measures.set_flag(name, flag);
    }

    fn shift(&mut self, name: impl Into<String>, base: Datum, now: Datum) {
        self.changed.push(Shift { name: name.into(), base, now });
    }
}

impl<'a> Contrast<'a> {
    /// Compares a request with its baseline; of several healthy ones the first that asks the same and is as far into
    /// its conversation, else the first that asks the same, else the first.
    ///
    /// None without a baseline.
    pub fn new(base: &'a [Request], now: &'a Request) -> Option<Self> {
        let turns = |request: &Request| asked::calls(request).and_then(|calls| calls.first().map(|call| call.turns.len()));
        let is_alike = |request: &&Request| (request.input() != now.input(), base.len() > 1 && turns(request) != turns(now));
        let chosen = base.iter().min_by_key(is_alike)?;
        let mut base_signals = Signals::median(&base.iter().map(|request| request.signals.clone()).collect::<Vec<_>>());
        let mut now_signals = now.signals.clone();
        if now.clock == Clock::Virtual {
            [&mut base_signals, &mut now_signals].into_iter().for_each(time::coarsen);
        }
        let mut ledger = Ledger::default();
        let hunks = {
            let (before, after) = (Side::new(chosen, &base_signals), Side::new(now, &now_signals));
            measure(&before, &after, &mut ledger)
        };
        Some(Self { base: chosen, now, base_signals, now_signals, measures: ledger.measures, prompt: hunks, changed: ledger.changed })
    }
}

impl Contrast<'_> {
    /// Whether the baseline failed and the request did not, so that it is no baseline of a failure.
    pub fn did_better(&self) -> bool {
        // A refusal may be what is right.
        let failed = |word: &str| matches!(word, "error" | "timeout" | "truncated" | "cancelled");
        let outcome = |request: &Request| request.signals.read("outcome").text().map(str::to_string);
        outcome(self.base).is_some_and(|word| failed(&word)) && outcome(self.now).as_deref() == Some("success")
    }
}

fn measure(base: &Side<'_>, now: &Side<'_>, ledger: &mut Ledger) -> Vec<Hunk> {
    let same_question = base.request.input().zip(now.request.input()).map(|(base, now)| base.trim() == now.trim());
    ledger.flag("question", same_question.map(|same| !same));
    let hunks = measure_prompt(base, now, ledger);
    model::measure(base, now, ledger);
    time::measure(base, now, ledger);
    tokens::measure(base, now, ledger);
    context::measure(base, now, same_question, ledger);
    retrieval::measure(base, now, same_question, ledger);
    tools::measure(base, now, ledger);
    answer::measure(base, now, ledger);
    hunks
}

fn measure_prompt(base: &Side<'_>, now: &Side<'_>, ledger: &mut Ledger) -> Vec<Hunk> {
    // The two sides may mark the same passages differently.
    let known: Vec<_> = base.documents.iter().chain(&now.documents).flatten().cloned().collect();
    let Some((before, after)) = base.templates(&known).zip(now.templates(&known)) else { return Vec::new() };
    // Telemetry that captures messages may leave the system prompt out on one side: that is no change of it.
    if before.is_empty() != after.is_empty() && (base.request.wire.is_none() || now.request.wire.is_none()) {
        return Vec::new();
    }
    let hunks = prompt::hunks(&before, &after);
    let lines = |removed: bool| {
        let edits = hunks.iter().flat_map(|hunk| &hunk.edits).filter(|edit| !edit.text().trim().is_empty());
        edits.filter(|edit| matches!(edit, crate::diagnosis::Edit::Removed(_)) == removed).count()
    };
    ledger.flag("prompt", Some(!hunks.is_empty()));
    ledger.count("prompt.removed", Some(lines(true)));
    ledger.count("prompt.added", Some(lines(false)));
    let unfilled = |templates: &[String]| templates.iter().map(|template| prompt::unfilled(template)).sum::<usize>();
    ledger.count("prompt.unfilled", Some(unfilled(&after).saturating_sub(unfilled(&before))));
    hunks
}

impl Environment for Contrast<'_> {
    fn signal(&self, frame: Frame, name: &str) -> Datum {
        match frame {
            Frame::Base => self.base_signals.read(name).clone(),
            Frame::Change if change::definition(name).is_some() => self.measures.read(name).clone(),
            Frame::Change => {
                let numbers = self.now_signals.read(name).number().zip(self.base_signals.read(name).number());
                numbers.map_or(Datum::Unknown, |(now, base)| Datum::Number(crate::request::micro(now - base)))
            }
            Frame::Now => self.now_signals.read(name).clone(),
            Frame::Healthy | Frame::Incident | Frame::Accepted => Datum::Unknown,
        }
    }

    fn field(&self, name: &str) -> FieldValue {
        field(self.now, name)
    }

    fn compared_field(&self, name: &str) -> FieldValue {
        field(self.base, name)
    }
}

fn field(request: &Request, name: &str) -> FieldValue {
    match request.fields.get(name) {
        Some(State::Present { value, .. }) => FieldValue::Present(value.clone()),
        Some(State::Absent { .. }) => FieldValue::Absent,
        Some(State::Indeterminate { .. } | State::ConditionNotMet) | None => FieldValue::Unknown,
    }
}
