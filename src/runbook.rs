//! A runbook: stages, signals with thresholds, failure classes, and for each class its hypotheses in response order.

mod confirm;
mod judge;
mod read;
mod stage;
mod threshold;

pub use stage::Stage;
pub use threshold::{Threshold, Watch};

use crate::contrast::Contrast;
use crate::diagnosis::{Diagnosis, Factor};
use crate::disk::Root;
use crate::expression::Expression;
use crate::fault::{Fault, Faults, suggest};
use crate::limit;
use crate::request::Request;
use crate::yaml::{self, Spanned};
use camino::Utf8Path;
use std::ops::Deref;
use std::sync::LazyLock;

/// The file in a repository that replaces the built-in runbook.
pub const FILE: &str = "runbook.yaml";

/// The runbook of a repository that has none of its own; a file that users copy.
pub const BUILT_IN: &str = include_str!("runbook/runbook.yaml");

/// How an application fails, and where to look first when it does.
#[derive(Debug)]
pub struct Runbook {
    /// How a span becomes a stage; the first rule that fits names it.
    pub stages: Vec<Stage>,
    /// Signals with the values that are worth a look.
    pub signals: Vec<Watch>,
    /// The failure classes, in the order in which evidence is held against them.
    pub classes: Vec<Class>,
    /// How judgements are combined.
    pub doctrine: Doctrine,
}

/// One failure class.
#[derive(Debug)]
pub struct Class {
    /// Its name, as postmortems write it.
    pub name: Spanned<String>,
    /// When the evidence enters it.
    pub enters: Expression,
    /// Its hypotheses, in response order.
    pub hypotheses: Vec<Hypothesis>,
}

/// One cause that a class may have.
#[derive(Debug)]
pub struct Hypothesis {
    /// Its name within the class.
    pub id: Spanned<String>,
    /// Fields without which it is never refuted.
    pub needs: Vec<String>,
    /// What speaks for it.
    pub supports: Expression,
    /// What speaks against it.
    pub refutes: Expression,
    /// The measure that is its share of the change, if one is.
    pub share: Option<String>,
    /// What to do, and which swap would confirm it.
    pub next: String,
    /// The factor whose restoration would confirm it.
    pub swap: Option<Factor>,
    /// Whether it blames the model, which comes last.
    pub blames_model: bool,
}

/// When the model may be blamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Blame {
    /// When everything before it is refuted: a blind hypothesis blocks the verdict.
    #[default]
    AllPriorRefuted,
    /// When nothing before it is supported.
    NonePriorSupported,
}

/// How judgements are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Doctrine {
    /// When the model may be blamed.
    pub blame_model: Blame,
}

/// The runbook of a repository.
#[derive(Debug)]
pub enum Loaded {
    /// Its own.
    Own(Box<Runbook>),
    /// The built-in one, which is read when something failed and asks.
    BuiltIn,
}

impl Deref for Loaded {
    type Target = Runbook;

    fn deref(&self) -> &Runbook {
        match self {
            Self::Own(runbook) => runbook,
            Self::BuiltIn => &PARSED,
        }
    }
}

static PARSED: LazyLock<Runbook> = LazyLock::new(|| {
    let file = Utf8Path::new("src/runbook/runbook.yaml");
    Runbook::parse(file, BUILT_IN).expect("the built-in runbook is read by a test")
});

impl Runbook {
    /// The repository's own runbook, else the built-in one.
    ///
    /// # Errors
    /// Everything that is wrong with the repository's, with file, line and column.
    pub fn load(root: &Root) -> Result<Loaded, Faults> {
        let file = Utf8Path::new(FILE);
        if !root.exists(file) {
            return Ok(Loaded::BuiltIn);
        }
        Ok(Loaded::Own(Box::new(Self::parse(file, &root.read_text(file, limit::YAML_BYTES)?)?)))
    }

    /// Reads a runbook; all mistakes in one go.
    ///
    /// # Errors
    /// Unknown keys, fields, signals and measures, expressions that are none, and names written twice.
    pub fn parse(file: &Utf8Path, text: &str) -> Result<Self, Faults> {
        read::runbook(&yaml::parse(text, file, 1)?)
    }

    /// Diagnoses the first of several requests in which the evidence supports a cause, else the first that can be compared.
    ///
    /// None without a request or a baseline.
    pub fn diagnose_first(&self, base: &[Request], now: &[Request]) -> Option<Diagnosis> {
        let mut diagnoses = now.iter().filter_map(|request| Some(self.diagnose(&Contrast::new(base, request)?, None)));
        let first = diagnoses.next()?;
        if first.standing.is_for() {
            return Some(first);
        }
        Some(diagnoses.find(|diagnosis| diagnosis.standing.is_for()).unwrap_or(first))
    }

    /// The class with a name.
    pub fn class(&self, name: &str) -> Option<&Class> {
        self.classes.iter().find(|class| class.name.value == name)
    }

    /// The names of all classes.
    pub fn class_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.classes.iter().map(|class| class.name.value.as_str())
    }

    /// Whether the runbook knows a class that a person wrote.
    ///
    /// # Errors
    /// The class that may be meant.
    pub fn check_class(&self, class: &Spanned<String>) -> Result<&Class, Fault> {
        self.class(&class.value).ok_or_else(|| {
            let fault = Fault::new(format!("unknown failure class {}", yaml::quote(&class.value))).at(class.place.clone());
            fault.help(format!("{} Classes stand in {FILE}, else in the built-in runbook", suggest(&class.value, self.class_names())))
        })
    }
}

impl Class {
    /// The hypothesis with an id.
    pub fn hypothesis(&self, id: &str) -> Option<&Hypothesis> {
        self.hypotheses.iter().find(|hypothesis| hypothesis.id.value == id)
    }
}

#[cfg(test)]
mod tests;
