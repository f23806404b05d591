//! Readers: a node as the text, number, list or map that is expected, else a fault with its place, and on we go.

use super::{Date, Key, Moment, Node, Yaml, scalar, time};
use crate::disk::{self, Reference};
use crate::fault::{Fault, Faults, Place, nearest, suggest};
use camino::Utf8Path;
use std::collections::HashMap;
use std::time::Duration;

/// Characters of a value that a message quotes.
const QUOTED_CHARS: usize = 80;

/// Unknown keys of one map that are compared with the known ones; the rest is only counted.
const UNKNOWN_KEYS: usize = 50;

/// A value with the place where a person wrote it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it is written.
    pub place: Place,
}

/// Texts that may be written once each.
#[derive(Debug, Default)]
pub struct Once(HashMap<String, Place>);

impl Once {
    /// Whether the text is written for the first time; a repetition is a fault that names the first line.
    pub fn is_first(&mut self, text: &str, place: &Place, faults: &mut Faults) -> bool {
        let Some(first) = self.0.get(text) else {
            self.0.insert(text.to_owned(), place.clone());
            return true;
        };
        let message = format!("{} is written twice, first on line {}", quote(text), first.line);
        faults.push(Fault::new(message).at(place.clone()).help("rename or remove one of the two"));
        false
    }
}

/// A text in backticks, on one line and clipped, as messages quote what was found.
pub fn quote(text: &str) -> String {
    let shown: String = text.chars().take(QUOTED_CHARS).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", disk::one_line(&shown))
}

/// A map whose keys were checked.
#[derive(Debug, Clone, Copy)]
pub struct Map<'a> {
    /// Where the map begins.
    pub place: &'a Place,
    entries: &'a [(Key, Node)],
    known: &'a [&'a str],
}

impl<'a> Map<'a> {
    /// The value of a key, also if nothing is written after the colon.
    pub fn get(&self, name: &str) -> Option<&'a Node> {
        self.entry(name).map(|(_, node)| node)
    }

    /// The value of a key, or a fault that it is missing.
    pub fn require(&self, name: &str, faults: &mut Faults) -> Option<&'a Node> {
        let node = self.get(name);
        if node.is_none() && !self.misspells(name) {
            faults.push(Fault::new(format!("key `{name}` is missing")).at(self.place.clone()).help(format!("add `{name}: …`")));
        }
        node
    }

    /// Whether an unknown key, which is a fault of its own, was probably meant to be this one.
    pub fn misspells(&self, name: &str) -> bool {
        self.unknown().take(UNKNOWN_KEYS).any(|key| nearest(&key.name, self.known.iter().copied()) == Some(name))
    }

    fn unknown(&self) -> impl Iterator<Item = &'a Key> {
        let known = self.known;
        self.entries().map(|(key, _)| key).filter(move |key| !known.contains(&key.name.as_str()))
    }

    /// The text of a key, if the key is there.
    pub fn text(&self, name: &str, faults: &mut Faults) -> Option<Spanned<String>> {
        self.get(name).and_then(|node| node.as_spanned(faults))
    }

    /// A key with its place, and its value.
    pub fn entry(&self, name: &str) -> Option<&'a (Key, Node)> {
        self.entries.iter().find(|(key, _)| key.name == name)
    }

    /// Every key and value but those that begin with `x-`, in the order written.
    pub fn entries(&self) -> impl Iterator<Item = &'a (Key, Node)> {
        self.entries.iter().filter(|(key, _)| !is_extension(&key.name))
    }
}

fn is_extension(name: &str) -> bool {
    name.starts_with("x-")
}

impl Key {
    /// A fault at this key.
    pub fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(message).at(self.place.clone())
    }

    /// The fault that this key is not one of the known ones.
    pub fn unknown(&self, known: &[&str]) -> Fault {
        self.fault(format!("unknown key {}", quote(&self.name))).help(suggest(&self.name, known.iter().copied()))
    }
}

impl Node {
    /// A fault at this value.
    pub fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(message).at(self.place.clone())
    }

    /// The fault that something else was expected here.
    pub fn unexpected(&self, expected: &str) -> Fault {
        self.fault(format!("expected {expected}, found {}", self.found()))
    }

    /// What is written here, as messages say it.
    pub fn found(&self) -> String {
        match &self.value {
            Yaml::Null => "nothing".to_owned(),
            Yaml::Plain(text) if scalar::flag(text).is_some() => format!("the flag {}", quote(text)),
            Yaml::Plain(text) if scalar::number(text).is_some() => format!("the number {}", quote(text)),
            Yaml::Plain(text) | Yaml::Quoted(text) => format!("the text {}", quote(text)),
            Yaml::Binary(_) => "bytes".to_owned(),
            Yaml::List(_) => "a list".to_owned(),
            Yaml::Map(_) => "a map".to_owned(),
        }
    }

    /// Whether nothing is written here.
    pub fn is_null(&self) -> bool {
        self.value == Yaml::Null
    }

    /// The scalar as it was written, if it is one.
    pub fn scalar(&self) -> Option<&str> {
        match &self.value {
            Yaml::Plain(text) | Yaml::Quoted(text) => Some(text),
            _ => None,
        }
    }

    fn plain(&self) -> Option<&str> {
        match &self.value {
            Yaml::Plain(text) => Some(text),
            _ => None,
        }
    }

    fn push<T>(&self, value: Option<T>, expected: &str, faults: &mut Faults) -> Option<T> {
        if value.is_none() {
            let fault = self.unexpected(expected);
            faults.push(if self.is_null() { fault.help("write a value, or remove the key") } else { fault });
        }
        value
    }

    /// A text as it was written: `1.10`, `no` and `010` are texts too.
    pub fn as_text(&self, faults: &mut Faults) -> Option<&str> {
        let text = self.push(self.scalar(), "a text", faults)?;
        if text.trim().is_empty() {
            faults.push(self.fault("expected a text, found an empty one").help("write a value, or remove the key"));
            return None;
        }
        Some(text)
    }

    /// A text with its place.
    pub fn as_spanned(&self, faults: &mut Faults) -> Option<Spanned<String>> {
        self.as_text(faults).map(|text| Spanned { value: text.to_owned(), place: self.place.clone() })
    }

    /// A finite number; a quoted one is a text.
    pub fn as_number(&self, faults: &mut Faults) -> Option<f64> {
        let number = self.plain().and_then(scalar::number).and_then(|number| number.as_f64());
        if number.is_none() && matches!(&self.value, Yaml::Quoted(text) if scalar::number(text).is_some()) {
            faults.push(self.unexpected("a number").help("remove the quotes"));
            return None;
        }
        self.push(number, "a number", faults)
    }

    /// A whole number within bounds, both included.
    pub fn as_whole(&self, least: u32, most: u32, faults: &mut Faults) -> Option<u32> {
        let number = self.plain().and_then(scalar::number).and_then(|number| number.as_u64());
        let number = number.and_then(|number| u32::try_from(number).ok()).filter(|number| (least..=most).contains(number));
        let expected =
            if most == u32::MAX { format!("a whole number from {least}") } else { format!("a whole number from {least} to {most}") };
        self.push(number, &expected, faults)
    }

    /// `true` or `false`.
    pub fn as_flag(&self, faults: &mut Faults) -> Option<bool> {
        let flag = self.plain().and_then(scalar::flag);
        if flag.is_none() && self.plain().is_some_and(|text| ["yes", "no", "on", "off"].contains(&text.to_lowercase().as_str())) {
            faults.push(self.unexpected("`true` or `false`").help("write `true` or `false`"));
            return None;
        }
        self.push(flag, "`true` or `false`", faults)
    }

    /// A duration with a unit: `200ms`, `30s`, `15m`, `2h`, `1d`.
    pub fn as_duration(&self, faults: &mut Faults) -> Option<Duration> {
        self.push(self.scalar().and_then(time::duration), "a duration with a unit, as in `30s`, `15m`, `2h` or `1d`", faults)
    }

    /// A number of seconds, or a duration with a unit.
    pub fn as_seconds(&self, faults: &mut Faults) -> Option<Duration> {
        let number = self.plain().and_then(scalar::number).and_then(|number| number.as_f64());
        let duration = number.and_then(time::seconds_duration).or_else(|| self.scalar().and_then(time::duration));
        self.push(duration, "seconds, or a duration with a unit as in `200ms`", faults)
    }

    /// A file that is named here, confined by its name to `base` (see [`disk::confine`]).
    pub fn as_reference(&self, base: &Utf8Path, faults: &mut Faults) -> Option<Reference> {
        let written = self.push(self.scalar(), "a path", faults)?;
        let path = disk::confine(base, written).map_err(|fault| fault.at(self.place.clone()));
        faults.take(path).map(|path| Reference { path, place: self.place.clone() })
    }

    /// A date, as in `2026-12-31`.
    pub fn as_date(&self, faults: &mut Faults) -> Option<Date> {
        self.push(self.scalar().and_then(Date::parse), "a date as in `2026-12-31`", faults)
    }

    /// A moment with an offset, or relative to onset.
    pub fn as_moment(&self, faults: &mut Faults) -> Option<Moment> {
        let moment = self.scalar().and_then(Moment::parse);
        if moment.is_none() && self.scalar().is_some() {
            let fault = self.unexpected("a time with an offset");
            faults.push(fault.help("write it as in `2026-03-14T07:55Z`, `2026-03-14T08:55+01:00` or `+30m` after onset"));
            return None;
        }
        self.push(moment, "a time with an offset", faults)
    }

    /// One of the known words, as the value that belongs to it.
    pub fn as_choice<T: Copy>(&self, known: &[(&str, T)], faults: &mut Faults) -> Option<T> {
        let text = self.as_text(faults)?;
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let fault = self.fault(format!("expected one of {}; found {}", names.join(", "), quote(text)));
        faults.push(match nearest(text, names) {
            Some(name) => fault.help(format!("did you mean `{name}`?")),
            None => fault,
        });
        None
    }

    /// A list.
    pub fn as_list(&self, faults: &mut Faults) -> Option<&[Self]> {
        match &self.value {
            Yaml::List(items) => Some(items),
            _ => self.push(None, "a list", faults),
        }
    }

    /// The items of a list, or the one value that stands for a list of one.
    pub fn one_or_more(&self) -> &[Self] {
        match &self.value {
            Yaml::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// The texts of a list, or the one text that stands for a list of one; each once.
    pub fn as_texts(&self, faults: &mut Faults) -> Vec<Spanned<String>> {
        let (mut texts, mut once) = (Vec::new(), Once::default());
        for node in self.one_or_more() {
            let Some(text) = node.as_spanned(faults) else { continue };
            if once.is_first(&text.value, &text.place, faults) {
                texts.push(text);
            }
        }
        texts
    }

    /// A map with known keys; any other is a fault, unless it begins with `x-`.
    pub fn as_map<'a>(&'a self, known: &'a [&'a str], faults: &mut Faults) -> Option<Map<'a>> {
        let map = Map { known, ..self.as_any_map(faults)? };
        for key in map.unknown().take(UNKNOWN_KEYS) {
            faults.push(key.unknown(known));
        }
        if let Some(key) = map.unknown().nth(UNKNOWN_KEYS) {
            let more = map.unknown().count() - UNKNOWN_KEYS;
            faults.push(key.fault(format!("{more} more unknown keys from here on")));
        }
        Some(map)
    }

    /// A map with keys that a person chose.
    pub fn as_any_map<'a>(&'a self, faults: &mut Faults) -> Option<Map<'a>> {
        match &self.value {
            Yaml::Map(entries) => Some(Map { place: &self.place, entries, known: &[] }),
            _ => self.push(None, "a map", faults),
        }
    }
}
