//! A swap: one factor of a failing case restored from what worked, and what that did to the tests that failed.

use super::Hunk;
use crate::redact::Redactor;
use serde::{Deserialize, Serialize};

/// A factor that a replay can restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Factor {
    /// The previous prompt.
    Prompt,
    /// The recorded documents: the baseline's passages.
    Documents,
    /// The baseline's verdicts of guardrails and filters.
    Policy,
    /// The previous model.
    Model,
    /// The previous parameters of the request.
    Params,
    /// The previous tools that the model is told of.
    Tools,
    /// No faults: every attempt is answered, and tools answer as in health.
    Faults,
}

impl Factor {
    /// Every factor with its word, in the order in which they are restored.
    pub const ALL: [(&'static str, Self); 7] = [
        ("prompt", Self::Prompt),
        ("documents", Self::Documents),
        ("policy", Self::Policy),
        ("model", Self::Model),
        ("params", Self::Params),
        ("tools", Self::Tools),
        ("faults", Self::Faults),
    ];

    /// The word in a runbook.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, factor)| *factor == self).map_or("prompt", |(word, _)| word)
    }

    /// What a replay with the factor restored has, in words.
    pub fn restored(self) -> &'static str {
        match self {
            Self::Prompt => "the previous prompt",
            Self::Documents => "the healthy documents",
            Self::Policy => "pinned policy verdicts",
            Self::Model => "the previous model",
            Self::Params => "the previous parameters",
            Self::Tools => "the previous tools",
            Self::Faults => "no faults",
        }
    }
}

/// What a swap did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Tests that failed hold with it.
    Flipped,
    /// The same tests fail with it: this factor alone is not the cause.
    NotFlipped,
    /// Nothing can be said: it was not or could not be tried.
    Untried,
}

impl Effect {
    /// The words in reports.
    pub fn words(self) -> &'static str {
        match self {
            Self::Flipped => "flipped",
            Self::NotFlipped => "no flip",
            Self::Untried => "untried",
        }
    }
}

/// One factor restored alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// What was restored.
    pub factor: Factor,
    /// What it did.
    pub effect: Effect,
    /// The tests and fields that failed and hold with it.
    pub flipped: Vec<String>,
    /// The smallest set of the prompt's hunks that does so alone, as the change made them.
    pub hunks: Vec<Hunk>,
    /// Of so many hunks; 0 for all but a prompt.
    pub of_hunks: usize,
    /// Why it was not tried, or what else a reader should know.
    pub why: Option<String>,
}

impl Swap {
    /// A swap that was not tried, or could not be decided.
    pub fn untried(factor: Factor, why: String) -> Self {
        Self { factor, effect: Effect::Untried, flipped: Vec::new(), hunks: Vec::new(), of_hunks: 0, why: Some(why) }
    }

    /// What came of it, in one sentence, and why.
    pub fn sentence(&self) -> String {
        let result = self.result();
        self.why.as_ref().map_or(result.clone(), |why| format!("{result}: {why}"))
    }

    /// What came of it, in one sentence.
    pub fn result(&self) -> String {
        let restored = match (self.effect, self.of_hunks) {
            (Effect::Flipped, 2..) => format!("{} of {} hunks of the prompt as before", self.hunks.len(), self.of_hunks),
            _ => self.factor.restored().to_string(),
        };
        let holds = if self.flipped.len() == 1 { "holds" } else { "hold" };
        match self.effect {
            Effect::Flipped => format!("with {restored}, {} {holds}", self.flipped.join(", ")),
            Effect::NotFlipped => format!("with {restored} alone, the same tests fail"),
            Effect::Untried => restored,
        }
    }

    pub(super) fn redact(&mut self, redactor: &Redactor) {
        let lines = self.hunks.iter_mut().flat_map(|hunk| &mut hunk.edits).map(super::Edit::text_mut);
        for text in lines.chain(&mut self.why).chain(&mut self.flipped) {
            *text = redactor.redact(text).into_owned();
        }
    }
}
