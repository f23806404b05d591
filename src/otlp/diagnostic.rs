//! A diagnostic: what was odd about a file and where, though the rest of it was read.

use crate::limit;
use std::fmt;

/// How much an oddity costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It was understood, or it cost one attribute, one span or a torn end.
    Warning,
    /// A line, a message or the whole file could not be read.
    Error,
}

/// What was odd about a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it costs.
    pub severity: Severity,
    /// The line, or the number of the length-prefixed message, from 1; 0 means the whole file.
    pub line: usize,
    /// The span's id, or its name where the id is what is wrong.
    pub span: Option<String>,
    /// The field inside the span or record, as in `events.attributes.exception.message`.
    pub field: Option<String>,
    /// What was found and what was expected, as a lowercase fragment.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if let Some(span) = &self.span {
            write!(f, "span {span}: ")?;
        }
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// A way of writing that is read but not valid, reported once a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Habit {
    SnakeCase,
    EnumNames,
    Base64Ids,
    OldScopes,
    WrappedValues,
    BareValues,
}

/// The diagnostics of one file: the first of them kept, the rest counted.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    kept: Vec<Diagnostic>,
    total: usize,
    habits: u8,
}

/// A point in the ledger to return to, or from which on to say where diagnostics arose.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    kept: usize,
    total: usize,
    habits: u8,
}

impl Mark {
    /// Whether two marks are the same point.
    pub(super) fn is(self, other: Self) -> bool {
        self.total == other.total
    }
}

impl Ledger {
    pub(super) fn mark(&self) -> Mark {
        Mark { kept: self.kept.len(), total: self.total, habits: self.habits }
    }

    pub(super) fn rollback(&mut self, mark: Mark) {
        self.kept.truncate(mark.kept);
        self.total = mark.total;
        self.habits = mark.habits;
    }

    pub(super) fn add(&mut self, severity: Severity, line: usize, message: fmt::Arguments<'_>) {
        self.total += 1;
        if self.kept.len() < limit::DIAGNOSTICS {
            self.kept.push(Diagnostic { severity, line, span: None, field: None, message: message.to_string() });
        }
    }

    /// Adds a diagnostic that a reader must see even when there are too many.
    pub(super) fn add_first(&mut self, severity: Severity, message: String) {
        self.total += 1;
        self.kept.insert(0, Diagnostic { severity, line: 0, span: None, field: None, message });
        self.kept.truncate(limit::DIAGNOSTICS);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Whether this is the first time in the file.
    pub(super) fn is_new(&mut self, habit: Habit) -> bool {
        let bit = 1 << habit as u8;
        let new = self.habits & bit == 0;
        self.habits |= bit;
        new
    }

    /// Puts a name before the fields of all diagnostics since the mark.
    pub(super) fn locate(&mut self, mark: Mark, name: &str) {
        for diagnostic in self.kept.iter_mut().skip(mark.kept) {
            diagnostic.field = Some(match diagnostic.field.take() {
                Some(field) => format!("{name}.{field}"),
                None => name.to_owned(),
            });
        }
    }

    /// Says in which span all diagnostics since the mark arose.
    pub(super) fn locate_span(&mut self, mark: Mark, span: &str) {
        for diagnostic in self.kept.iter_mut().skip(mark.kept) {
            diagnostic.span = Some(span.to_owned());
        }
    }

    /// The diagnostics that were kept, and how many more there were.
    pub(super) fn into_parts(self) -> (Vec<Diagnostic>, usize) {
        let more = self.total - self.kept.len();
        (self.kept, more)
    }
}

/// A piece of input as it may be quoted in a message: clipped, and without control characters.
pub(super) fn quote(text: &str) -> String {
    const SHOWN: usize = 48;
    if text.chars().nth(SHOWN).is_none() {
        return format!("{text:?}");
    }
    format!("{:?}…", text.chars().take(SHOWN).collect::<String>())
}
