//! A signal: a value computed from a trace or the wire, with a unit and a direction.

use crate::redact::Redactor;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::{self, Formatter};

/// A value in an expression or a report; unknown is a value of its own, never 0 and never false.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Datum {
    /// Nothing that we have says what it is.
    #[default]
    Unknown,
    /// Yes or no.
    Flag(bool),
    /// A number, in the signal's unit.
    Number(f64),
    /// A word or a text.
    Text(String),
    /// Several values.
    List(Vec<Self>),
}

impl Datum {
    /// Whether nothing says what it is.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The yes or no, if it is one.
    pub fn flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The JSON form; whole numbers have no fraction, unknown is `null`.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Unknown => serde_json::Value::Null,
            Self::Flag(flag) => (*flag).into(),
            Self::Number(number) if number.fract() == 0.0 && number.abs() < 9.0e15 => (*number as i64).into(),
            Self::Number(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
        }
    }

    /// Takes secrets out of its texts.
    pub fn redact(&mut self, redactor: &Redactor) {
        match self {
            Self::Text(text) => *text = redactor.redact(text).into_owned(),
            Self::List(items) => items.iter_mut().for_each(|item| item.redact(redactor)),
            Self::Unknown | Self::Flag(_) | Self::Number(_) => {}
        }
    }

    /// The datum that a JSON value stands for; an object has none and is unknown.
    pub fn from_json(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Bool(flag) => Self::Flag(*flag),
            serde_json::Value::Number(number) => number.as_f64().map_or(Self::Unknown, Self::Number),
            serde_json::Value::String(text) => Self::Text(text.clone()),
            serde_json::Value::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            serde_json::Value::Null | serde_json::Value::Object(_) => Self::Unknown,
        }
    }
}

impl Serialize for Datum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Datum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_json(&serde_json::Value::deserialize(deserializer)?))
    }
}

impl<T: Into<f64>> From<T> for Datum {
    fn from(number: T) -> Self {
        Self::Number(number.into())
    }
}

/// What values a signal can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number in the signal's unit.
    Number,
    /// Yes or no.
    Flag,
    /// One word of a closed set; any other word in an expression is a mistake.
    OneOf(&'static [&'static str]),
}

/// What a change of a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worse {
    /// More is worse.
    Up,
    /// Less is worse.
    Down,
    /// A change is neither good nor bad by itself.
    Neither,
}

/// The definition of one signal.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// The name in expressions and reports.
    pub name: &'static str,
    /// `s`, `tokens`, `usd`, `ratio`, or empty for counts, flags and words.
    pub unit: &'static str,
    /// What values it can take.
    pub kind: Kind,
    /// What a change means.
    pub worse: Worse,
    /// The telemetry fields that would make it known; named when it is unknown.
    pub needs: &'static [&'static str],
}

/// How one request ended; the words of the signal `outcome`.
pub const OUTCOMES: &[&str] = &["success", "error", "timeout", "cancelled", "blocked", "refused", "truncated", "unknown"];
/// What a human review said; the words of the signal `review.outcome`.
pub const REVIEWS: &[&str] = &["approved", "rejected", "corrected", "escalated"];

const fn number(name: &'static str, unit: &'static str, worse: Worse, needs: &'static [&'static str]) -> Definition {
    Definition { name, unit, kind: Kind::Number, worse, needs }
}

const fn flag(name: &'static str, worse: Worse, needs: &'static [&'static str]) -> Definition {
    Definition { name, unit: "", kind: Kind::Flag, worse, needs }
}

const fn word(name: &'static str, words: &'static [&'static str], needs: &'static [&'static str]) -> Definition {
    Definition { name, unit: "", kind: Kind::OneOf(words), worse: Worse::Neither, needs }
}

/// Every signal with a fixed name, in the order in which reports show them; `score.<name>` come besides.
pub const ALL: &[Definition] = &[
    number("latency.total", "s", Worse::Up, &["latency.total"]),
    number("latency.first_token", "s", Worse::Up, &["latency.first_token"]),
    number("latency.model", "s", Worse::Up, &["latency.total"]),
    number("latency.retrieval", "s", Worse::Up, &["latency.total"]),
    number("latency.tools", "s", Worse::Up, &["latency.total"]),
    number("latency.retries", "s", Worse::Up, &["retries.count"]),
    number("latency.gap", "s", Worse::Up, &["latency.total"]),
    number("calls.model", "", Worse::Up, &[]),
    number("calls.tool", "", Worse::Up, &["tool.executed"]),
    number("calls.tool_errors", "", Worse::Up, &["tool.executed"]),
    number("calls.repeated", "", Worse::Up, &["tool.requested"]),
    number("calls.unrecorded", "", Worse::Up, &[]),
    number("retries.count", "", Worse::Up, &["retries.count"]),
    number("retries.amplification", "ratio", Worse::Up, &["retries.count"]),
    number("retries.wasted", "s", Worse::Up, &["retries.count"]),
    number("tokens.input", "tokens", Worse::Up, &["usage.input_tokens"]),
    number("tokens.output", "tokens", Worse::Up, &["usage.output_tokens"]),
    number("tokens.total", "tokens", Worse::Up, &["usage.input_tokens", "usage.output_tokens"]),
    number("tokens.cached", "tokens", Worse::Down, &["usage.cached_tokens"]),
    number("tokens.reasoning", "tokens", Worse::Up, &["usage.reasoning_tokens"]),
    number("cost.usd", "usd", Worse::Up, &["cost"]),
    number("retrieval.documents", "", Worse::Down, &["retrieval.documents"]),
    flag("retrieval.empty", Worse::Up, &["retrieval.documents"]),
    flag("retrieval.error", Worse::Up, &["retrieval.documents"]),
    number("retrieval.top_score", "", Worse::Down, &["retrieval.documents"]),
    number("output.words", "", Worse::Neither, &["output"]),
    flag("output.empty", Worse::Up, &["output"]),
    flag("output.refused", Worse::Up, &["refusal", "finish_reason"]),
    flag("output.truncated", Worse::Up, &["finish_reason"]),
    flag("output.json", Worse::Neither, &["output"]),
    flag("policy.blocked", Worse::Up, &["policy.verdict", "finish_reason"]),
    flag("policy.unattributed", Worse::Up, &["policy.verdict"]),
    word("outcome", OUTCOMES, &["outcome"]),
    flag("feedback.complaint", Worse::Up, &["feedback"]),
    word("review.outcome", REVIEWS, &["review"]),
    number("contradictions", "", Worse::Up, &[]),
];

/// The definition of a signal with a fixed name.
pub fn definition(name: &str) -> Option<&'static Definition> {
    ALL.iter().find(|definition| definition.name == name)
}

/// Whether a name is a signal: a fixed one, or `score.` and a name.
pub fn is_signal(name: &str) -> bool {
    definition(name).is_some() || name.strip_prefix("score.").is_some_and(|score| !score.is_empty())
}

/// The name of a signal: one of [`ALL`], which costs nothing to hold, or a score's.
type Name = Cow<'static, str>;

/// The signals of one request, sorted by name; one that is not here is unknown.
///
/// A run holds several sets for each case, so that they are kept small.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Signals(Vec<(Name, Datum)>);

/// The name as the definition of the signal holds it.
fn interned(name: &str) -> Option<Name> {
    definition(name).map(|definition| Cow::Borrowed(definition.name))
}

impl Signals {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a signal, unknown if nothing says.
    pub fn read(&self, name: &str) -> &Datum {
        self.place(name).map_or(&Datum::Unknown, |place| &self.0[place].1)
    }

    /// Sets a signal; an unknown value takes it out.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, datum: Datum) {
        let name = name.into();
        match (self.place(&name), datum) {
            (Ok(place), Datum::Unknown) => drop(self.0.remove(place)),
            (Err(_), Datum::Unknown) => {}
            (Ok(place), datum) => self.0[place].1 = datum,
            (Err(place), datum) => self.0.insert(place, (name, datum)),
        }
    }

    /// Where a signal is, else where it would be.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_ref().cmp(name))
    }

    /// Sets a number; none takes it out.
    pub fn set_number(&mut self, name: impl Into<Cow<'static, str>>, number: Option<f64>) {
        self.set(name, number.map_or(Datum::Unknown, Datum::Number));
    }

    /// Sets a yes or no; none takes it out.
    pub fn set_flag(&mut self, name: impl Into<Cow<'static, str>>, flag: Option<bool>) {
        self.set(name, flag.map_or(Datum::Unknown, Datum::Flag));
    }

    /// The signals that are known, by name.
    pub fn known(&self) -> impl Iterator<Item = (&str, &Datum)> {
        self.0.iter().map(|(name, datum)| (name.as_ref(), datum))
    }

    /// The known signals in the order in which reports show them: those of [`ALL`], then the scores.
    fn in_order(&self) -> impl Iterator<Item = (&str, &Datum)> {
        let fixed = ALL.iter().map(|definition| (definition.name, self.read(definition.name)));
        let scores = self.known().filter(|(name, _)| definition(name).is_none());
        fixed.filter(|(_, datum)| !datum.is_unknown()).chain(scores)
    }

    /// All signals with a fixed name in their order, then the scores; unknown ones are `null`.
    pub fn to_json(&self) -> serde_json::Value {
        let fixed = ALL.iter().map(|definition| (definition.name.to_string(), self.read(definition.name).to_json()));
        let scores = self.known().filter(|(name, _)| definition(name).is_none());
        serde_json::Value::Object(fixed.chain(scores.map(|(name, datum)| (name.to_string(), datum.to_json()))).collect())
    }

    /// Only the known signals, in the order of [`Signals::to_json`].
    pub fn known_to_json(&self) -> serde_json::Value {
        self.in_order().map(|(name, datum)| (name.to_string(), datum.to_json())).collect()
    }

    /// Reads what [`Signals::known_to_json`] wrote.
    pub fn from_json(value: &serde_json::Value) -> Self {
        let mut signals = Self::new();
        for (name, value) in value.as_object().into_iter().flatten() {
            signals.set(interned(name).unwrap_or_else(|| Cow::Owned(name.clone())), Datum::from_json(value));
        }
        signals
    }

    /// The median of each signal over several requests: numbers by value, flags by majority, words only where all agree.
    ///
    /// Only known values count; with an even number of them the mean of the middle two.
    pub fn median(all: &[Self]) -> Self {
        let mut median = Self::new();
        let names: BTreeSet<&Name> = all.iter().flat_map(|signals| signals.0.iter().map(|(name, _)| name)).collect();
        for name in names {
            let values: Vec<&Datum> = all.iter().map(|signals| signals.read(name)).filter(|datum| !datum.is_unknown()).collect();
            median.set(name.clone(), median_of(&values));
        }
        median
    }
}

/// The known signals as a map.
impl Serialize for Signals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.in_order())
    }
}

impl<'de> Deserialize<'de> for Signals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

/// Reads a map of signals without building another map first.
struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Signals;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map of signals")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Signals, A::Error> {
        let mut signals = Signals(Vec::with_capacity(ALL.len()));
        while let Some((Key(name), datum)) = map.next_entry()? {
            signals.set(name, datum);
        }
        signals.0.shrink_to_fit();
        Ok(signals)
    }
}

/// The name of a signal, as a key of a map.
struct Key(Name);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyReader)
    }
}

struct KeyReader;

impl Visitor<'_> for KeyReader {
    type Value = Key;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a signal")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Key, E> {
        Ok(Key(interned(name).unwrap_or_else(|| Cow::Owned(name.to_string()))))
    }
}

fn median_of(values: &[&Datum]) -> Datum {
    let mut numbers: Vec<f64> = values.iter().filter_map(|datum| datum.number()).collect();
    if !numbers.is_empty() && numbers.len() == values.len() {
        numbers.sort_by(f64::total_cmp);
        let middle = numbers.len() / 2;
        let upper = numbers[middle];
        return Datum::Number(if numbers.len() % 2 == 1 { upper } else { (numbers[middle - 1] + upper) / 2.0 });
    }
    let yes = values.iter().filter(|datum| datum.flag() == Some(true)).count();
    let no = values.iter().filter(|datum| datum.flag() == Some(false)).count();
    if yes + no == values.len() && yes != no {
        return Datum::Flag(yes > no);
    }
    match values.split_first() {
        Some((first, rest)) if rest.iter().all(|datum| datum == first) => (*first).clone(),
        _ => Datum::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signals(pairs: &[(&'static str, Datum)]) -> Signals {
        let mut signals = Signals::new();
        for (name, datum) in pairs {
            signals.set(*name, datum.clone());
        }
        signals
    }

    #[test]
    fn medians_are_over_known_values() {
        let all = [
            signals(&[("tokens.input", 10.into()), ("retrieval.empty", Datum::Flag(true)), ("outcome", Datum::Text("success".into()))]),
            signals(&[("tokens.input", 30.into()), ("retrieval.empty", Datum::Flag(true)), ("outcome", Datum::Text("error".into()))]),
            signals(&[("retrieval.empty", Datum::Flag(false))]),
        ];
        let median = Signals::median(&all);
        assert_eq!(median.read("tokens.input"), &Datum::Number(20.0));
        assert_eq!(median.read("retrieval.empty"), &Datum::Flag(true));
        assert_eq!(median.read("outcome"), &Datum::Unknown);
        assert_eq!(median.read("cost.usd"), &Datum::Unknown);
    }

    #[test]
    fn unknown_is_null_and_whole_numbers_have_no_fraction() {
        let json = signals(&[("calls.model", 2.into()), ("score.tone", Datum::Number(0.5))]).to_json();
        assert_eq!(json["calls.model"].to_string(), "2");
        assert!(json["tokens.input"].is_null());
        assert_eq!(json["score.tone"], 0.5);
    }
}
