//! A diagnosis: which causes the evidence supports, in response order, with the numbers; and which it cannot see.

mod swap;

pub use swap::{Effect, Factor, Swap};

use crate::redact::Redactor;
use crate::signal::Datum;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the evidence makes of one hypothesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// A swap of this one factor made the failing test pass.
    Confirmed,
    /// The factor changed and explains what was seen; that is correlation.
    Supported,
    /// The evidence speaks against it.
    Refuted,
    /// The evidence speaks neither for nor against it.
    Unclear,
    /// The telemetry lacks what would tell.
    Blind,
}

impl Standing {
    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Supported => "supported",
            Self::Refuted => "refuted",
            Self::Unclear => "unclear",
            Self::Blind => "blind",
        }
    }

    /// Whether the evidence is for it.
    pub fn is_for(self) -> bool {
        matches!(self, Self::Confirmed | Self::Supported)
    }
}

/// One hypothesis of a class, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The hypothesis, by its id in the runbook.
    pub hypothesis: String,
    /// What the evidence makes of it.
    pub standing: Standing,
    /// Every value that was used, by name; `null` is unknown.
    pub values: BTreeMap<String, Datum>,
    /// The share of the change that it explains, from 0 to 1, where that can be said.
    pub share: Option<f64>,
    /// Why it is unclear or blind.
    pub why: Option<String>,
    /// The telemetry to add for this instrumentation, where it is blind.
    pub add: Vec<Missing>,
    /// What to do, and which swap would confirm it.
    pub next: String,
}

/// A field whose absence makes a hypothesis blind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The field.
    pub field: String,
    /// The attribute or setting to add.
    pub add: String,
}

/// Something that differs between the two requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// What it is: a field, a parameter, a signal.
    pub name: String,
    /// What it was in the baseline.
    pub base: Datum,
    /// What it is now.
    pub now: Datum,
}

/// How far past its thresholds a signal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth a look.
    Warn,
    /// Worth waking someone.
    Page,
}

impl Level {
    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Page => "page",
        }
    }
}

/// A signal past a threshold of the runbook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// How it differs from the baseline.
    #[serde(flatten)]
    pub shift: Shift,
    /// The furthest threshold that it is past.
    pub level: Level,
}

/// One line of a prompt that was removed or added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edit {
    /// It was there in the baseline.
    Removed(String),
    /// It is there now.
    Added(String),
}

impl Edit {
    /// The line.
    pub fn text(&self) -> &str {
        match self {
            Self::Removed(text) | Self::Added(text) => text,
        }
    }

    /// The line behind `-` or `+`.
    pub fn marked(&self) -> String {
        match self {
            Self::Removed(text) => format!("- {text}"),
            Self::Added(text) => format!("+ {text}"),
        }
    }

    fn text_mut(&mut self) -> &mut String {
        match self {
            Self::Removed(text) | Self::Added(text) => text,
        }
    }
}

/// A run of lines of a prompt that changed together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hunk {
    /// The lines, removed ones before added ones.
    pub edits: Vec<Edit>,
}

/// What a comparison of two requests says of the cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The failure class that the evidence enters; none when it enters none.
    pub class: Option<String>,
    /// How sure that is: the standing of the hypothesis to look at first.
    pub standing: Standing,
    /// One line: where to look first, and with what evidence.
    pub look_first: String,
    /// The hypotheses of the class, in response order.
    pub hypotheses: Vec<Judgement>,
    /// The share of the change in time that each stage explains, where it is slower.
    pub shares: BTreeMap<String, f64>,
    /// Signals past a threshold of the runbook.
    pub signals: Vec<Alarm>,
    /// What else differs: models, parameters, tools, versions.
    pub changed: Vec<Shift>,
    /// The prompt's difference.
    pub prompt: Vec<Hunk>,
    /// What was restored, one factor at a time, and what that did; empty unless somebody asked for it.
    #[serde(default)]
    pub swaps: Vec<Swap>,
}

impl Diagnosis {
    /// The hypotheses of one standing, in response order.
    pub fn of(&self, standing: Standing) -> impl Iterator<Item = &Judgement> {
        self.hypotheses.iter().filter(move |judged| judged.standing == standing)
    }

    /// The hypothesis to look at first: the first that is confirmed, else supported, else the first that is not refuted.
    pub fn first(&self) -> Option<&Judgement> {
        let of = |wanted: fn(Standing) -> bool| self.hypotheses.iter().find(move |judged| wanted(judged.standing));
        of(|standing| standing == Standing::Confirmed)
            .or_else(|| of(Standing::is_for))
            .or_else(|| of(|standing| standing != Standing::Refuted))
    }

    /// Takes secrets out of everything that was recorded.
    pub fn redact(&mut self, redactor: &Redactor) {
        let lines = self.prompt.iter_mut().flat_map(|hunk| &mut hunk.edits).map(Edit::text_mut);
        let judged = self.hypotheses.iter_mut().filter_map(|judged| judged.why.as_mut());
        for text in lines.chain(judged).chain([&mut self.look_first]) {
            *text = redactor.redact(text).into_owned();
        }
        self.swaps.iter_mut().for_each(|swap| swap.redact(redactor));
        let alarms = self.signals.iter_mut().map(|alarm| &mut alarm.shift);
        let shifts = alarms.chain(&mut self.changed).flat_map(|shift| [&mut shift.base, &mut shift.now]);
        let values = self.hypotheses.iter_mut().flat_map(|judged| judged.values.values_mut());
        shifts.chain(values).for_each(|datum| datum.redact(redactor));
    }
}
