//! An expression over signals and fields, with three truth values: what is computed from an unknown is unknown.
//!
//! The grammar is minijinja's, less filters, loops and all calls but `field`, `present`, `changed`, `same`, `min`, `max`
//! and `abs`. One evaluator serves `expect`, `rule`, `supports` and `refutes`.

mod evaluate;
mod parse;

use crate::signal::Datum;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Whose signals a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Frame {
    /// The candidate; a name without a prefix.
    Now,
    /// The healthy requests.
    Healthy,
    /// The incident.
    Incident,
    /// The last accepted run.
    Accepted,
    /// The baseline of a comparison.
    Base,
    /// The change between baseline and now.
    Change,
}

impl Frame {
    /// Every frame with its prefix.
    pub const ALL: [(&'static str, Self); 6] = [
        ("now", Self::Now),
        ("healthy", Self::Healthy),
        ("incident", Self::Incident),
        ("accepted", Self::Accepted),
        ("base", Self::Base),
        ("change", Self::Change),
    ];
}

/// Which prefixes an expression may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vocabulary {
    /// A test or a signal's rule: `healthy.`, `incident.`, `accepted.`, or no prefix for the candidate.
    Test,
    /// A hypothesis of the runbook: `base.`, `now.` and `change.`.
    Runbook,
}

impl Vocabulary {
    fn frames(self) -> &'static [Frame] {
        match self {
            Self::Test => &[Frame::Healthy, Frame::Incident, Frame::Accepted],
            Self::Runbook => &[Frame::Now, Frame::Base, Frame::Change],
        }
    }

    fn prefixes(self) -> impl Iterator<Item = &'static str> + Clone {
        Frame::ALL.iter().filter(move |(_, frame)| self.frames().contains(frame)).map(|(prefix, _)| *prefix)
    }
}

/// A field as an expression sees it.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue {
    /// It is there.
    Present(Value),
    /// It is not.
    Absent,
    /// Nothing says.
    Unknown,
}

/// What an expression is evaluated in.
pub trait Environment {
    /// The value of a signal; unknown if nothing says.
    fn signal(&self, frame: Frame, name: &str) -> Datum;
    /// A field of the candidate.
    fn field(&self, name: &str) -> FieldValue;
    /// The same field of what the candidate is compared with: the healthy requests, or the baseline.
    fn compared_field(&self, name: &str) -> FieldValue;
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// Whether it holds; none when that is unknown.
    pub truth: Option<bool>,
    /// Every value that was used, by name as written.
    pub values: BTreeMap<String, Datum>,
    /// The names that were unknown.
    pub unknown: BTreeSet<String>,
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionError {
    /// Characters from the beginning of the text to the mistake.
    pub offset: usize,
    /// What was found.
    pub message: String,
    /// The fix.
    pub help: Option<String>,
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ExpressionError {}

/// A checked expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    source: String,
    root: Tree,
}

#[derive(Debug, Clone, PartialEq)]
enum Tree {
    Constant(Datum),
    Signal(Frame, String, String),
    Field(FieldCall, String),
    Not(Box<Self>),
    Negative(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Arithmetic(Arithmetic, Box<Self>, Box<Self>),
    Comparison(Comparison, Box<Self>, Box<Self>),
    Call(Function, Vec<Self>),
    List(Vec<Self>),
    Choice(Box<Self>, Box<Self>, Box<Self>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FieldCall {
    Field,
    Present,
    Changed,
    Same,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Min,
    Max,
    Abs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Power,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

impl Expression {
    /// Parses and checks a text.
    ///
    /// # Errors
    /// The first mistake: syntax, a construct that is not allowed, an unknown name, a word outside a closed set, or
    /// something that is neither true nor false.
    pub fn parse(source: &str, vocabulary: Vocabulary) -> Result<Self, ExpressionError> {
        Ok(Self { source: source.to_string(), root: parse::parse(source, vocabulary)? })
    }

    /// The text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Evaluates it.
    pub fn evaluate(&self, environment: &dyn Environment) -> Evaluation {
        let mut evaluation = Evaluation::default();
        let datum = evaluate::datum(&self.root, environment, &mut evaluation);
        evaluation.truth = datum.flag();
        evaluation
    }

    /// The candidate's signals that it uses.
    pub fn signals(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.root.walk(&mut |tree| {
            if let Tree::Signal(Frame::Now, name, _) = tree {
                names.insert(name.as_str());
            }
        });
        names
    }

    /// The candidate's fields that it uses.
    pub fn fields(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.root.walk(&mut |tree| {
            if let Tree::Field(_, name) = tree {
                names.insert(name.as_str());
            }
        });
        names
    }
}

impl Tree {
    fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        visit(self);
        match self {
            Self::Constant(_) | Self::Signal(..) | Self::Field(..) => {}
            Self::Not(inner) | Self::Negative(inner) => inner.walk(visit),
            Self::And(left, right) | Self::Or(left, right) | Self::Arithmetic(_, left, right) | Self::Comparison(_, left, right) => {
                left.walk(visit);
                right.walk(visit);
            }
            Self::Call(_, items) | Self::List(items) => items.iter().for_each(|item| item.walk(visit)),
            Self::Choice(test, yes, no) => [test, yes, no].into_iter().for_each(|part| part.walk(visit)),
        }
    }
}
