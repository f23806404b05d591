//! A fault: what is wrong with a file or the world, where, and how to mend it.

use camino::Utf8PathBuf;
use std::fmt;

/// Whose fault it is, which decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// Flags or files are wrong; nothing was sent (exit 2).
    Misconfigured,
    /// The machine, the network or a program that relapse started let us down (exit 3).
    Infrastructure,
    /// A requested report could not be written (exit 74).
    Unreported,
}

/// A place in a file that a person can open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The file, relative to the repository's root where it lies inside.
    pub file: Utf8PathBuf,
    /// Line, from 1; 0 means the whole file.
    pub line: u32,
    /// Column in characters, from 1; 0 means the whole line.
    pub column: u32,
}

impl Place {
    /// A place that is a whole file.
    pub fn file(file: impl Into<Utf8PathBuf>) -> Self {
        Self { file: file.into(), line: 0, column: 0 }
    }

    /// A place in a file.
    pub fn at(file: impl Into<Utf8PathBuf>, line: u32, column: u32) -> Self {
        Self { file: file.into(), line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        Ok(())
    }
}

/// One thing that is wrong: a place, what was found and expected, and the fix.
///
/// Messages are lowercase fragments without a full stop; they quote what was found and say what was expected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where, if it is somewhere.
    pub place: Option<Place>,
    /// What was found and what was expected.
    pub message: String,
    /// The next edit or command.
    pub help: Option<String>,
    /// Whose fault it is.
    pub kind: FaultKind,
}

impl Fault {
    /// A fault in flags or files.
    pub fn new(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into(), help: None, kind: FaultKind::Misconfigured }
    }

    /// A fault of the machine, the network or a program that relapse started.
    pub fn infrastructure(message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Infrastructure, ..Self::new(message) }
    }

    /// A report that could not be written.
    pub fn unreported(message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Unreported, ..Self::new(message) }
    }

    /// The same fault at a place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// The same fault in a file as a whole.
    #[must_use]
    pub fn in_file(self, file: impl Into<Utf8PathBuf>) -> Self {
        self.at(Place::file(file))
    }

    /// The same fault with the next edit or command.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}", self.message)
    }
}

impl std::error::Error for Fault {}

/// All faults found in one go, so that a person mends a file once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// No faults yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one fault.
    pub fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Adds all faults of another list.
    pub fn extend(&mut self, faults: Self) {
        self.0.extend(faults.0);
    }

    /// Keeps the value of a result, or its faults.
    pub fn take<T, E: Into<Self>>(&mut self, result: Result<T, E>) -> Option<T> {
        result.map_err(|faults| self.extend(faults.into())).ok()
    }

    /// Whether nothing was wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value if nothing was wrong, else the faults in order of file, line and column.
    pub fn into_result<T>(mut self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            return Ok(value);
        }
        self.0.sort();
        self.0.dedup();
        Err(self)
    }

    /// The faults, in the order in which they were found (sorted after [`Faults::into_result`]).
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// The gravest kind among the faults.
    pub fn kind(&self) -> FaultKind {
        self.0.iter().map(|fault| fault.kind).min().unwrap_or(FaultKind::Misconfigured)
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

/// The known name nearest to a misspelt one, if one is near enough to be meant.
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance costs time and space by the product of the lengths, and no known name is this long.
    if found.len() > 200 {
        return None;
    }
    let found = found.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&found, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.len().max(found.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// "did you mean `x`?", or the list of what is known when nothing is near.
pub fn suggest<'a>(found: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(name) = nearest(found, known.clone()) {
        return format!("did you mean `{name}`?");
    }
    let known: Vec<_> = known.into_iter().collect();
    format!("known here: {}", known.join(", "))
}
