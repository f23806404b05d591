//! The text of a compiled case: YAML whose values are JSON, one line each, so that it reads in microseconds and diffs by line.

use crate::fault::{Fault, Place};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::ser::Formatter;
use std::io;

/// JSON on one line with a space after each colon and comma, and no character that YAML or a reviewer's eye would trip over.
struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(index) = rest.find(is_hidden) {
            writer.write_all(&rest.as_bytes()[..index])?;
            let hidden = rest[index..].chars().next().unwrap_or_default();
            let mut units = [0; 2];
            for unit in hidden.encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[index + hidden.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Characters that YAML refuses raw, or that a reviewer cannot see.
fn is_hidden(character: char) -> bool {
    matches!(character, '\u{7f}'..='\u{9f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A value as one line of JSON.
pub(crate) fn one_line<T: Serialize + ?Sized>(value: &T) -> String {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, OneLine);
    value.serialize(&mut serializer).expect("values of a case have string keys");
    String::from_utf8(bytes).expect("serde_json writes UTF-8")
}

/// Writes keys in the order in which they are given.
pub(super) struct Writer {
    text: String,
}

impl Writer {
    pub(super) fn new(comment: &str) -> Self {
        Self { text: format!("# {comment}\n") }
    }

    /// `key: value` on one line.
    pub(super) fn value<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        self.text.push_str(&format!("{key}: {}\n", one_line(value)));
    }

    /// `key:` and one line for each item; nothing at all for an empty list.
    pub(super) fn list<T: Serialize>(&mut self, key: &str, items: &[T]) {
        if items.is_empty() {
            return;
        }
        self.text.push_str(&format!("{key}:\n"));
        for item in items {
            self.text.push_str(&format!("- {}\n", one_line(item)));
        }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// The keys of a case with the lines of their values.
pub(super) struct Reader<'a> {
    file: &'a str,
    keys: Vec<(&'a str, Vec<(u32, &'a str)>)>,
}

impl<'a> Reader<'a> {
    /// Splits the text into keys and lines.
    ///
    /// # Errors
    /// A line that relapse does not write: the file was edited by hand or merged badly.
    pub(super) fn new(file: &'a str, text: &'a str) -> Result<Self, Fault> {
        let mut keys: Vec<(&str, Vec<(u32, &str)>)> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_end_matches('\r');
            if line.starts_with('#') || line.is_empty() {
                continue;
            }
            if let Some(item) = line.strip_prefix("- ") {
                match keys.last_mut() {
                    Some((_, items)) => items.push((number, item)),
                    None => return Err(edited(file, number)),
                }
                continue;
            }
            let (key, value) = line.split_once(':').ok_or_else(|| edited(file, number))?;
            if key.starts_with(['<', '=', '>', ' ']) {
                return Err(edited(file, number));
            }
            let value = value.trim_start();
            keys.push((key, if value.is_empty() { Vec::new() } else { vec![(number, value)] }));
        }
        Ok(Self { file, keys })
    }

    fn lines(&self, key: &str) -> &[(u32, &'a str)] {
        self.keys.iter().find(|(name, _)| *name == key).map_or(&[], |(_, lines)| lines.as_slice())
    }

    /// The value of a key, if it is there.
    pub(super) fn optional<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Fault> {
        self.lines(key).first().map(|(number, json)| self.parse(*number, json)).transpose()
    }

    /// The value of a key that must be there.
    pub(super) fn value<T: DeserializeOwned>(&self, key: &str) -> Result<T, Fault> {
        self.optional(key)?
            .ok_or_else(|| Fault::new(format!("the compiled case has no key `{key}`")).in_file(self.file).help("run `relapse compile`"))
    }

    /// The items of a key; none when it is not there.
    pub(super) fn list<T: DeserializeOwned>(&self, key: &str) -> Result<Vec<T>, Fault> {
        self.lines(key).iter().map(|(number, json)| self.parse(*number, json)).collect()
    }

    fn parse<T: DeserializeOwned>(&self, number: u32, json: &str) -> Result<T, Fault> {
        serde_json::from_str(json).map_err(|error| {
            Fault::new(format!("not what relapse wrote: {error}"))
                .at(Place::at(self.file, number, 0))
                .help("run `relapse compile`; never edit a compiled case by hand")
        })
    }
}

fn edited(file: &str, line: u32) -> Fault {
    Fault::new("not a line that relapse wrote")
        .at(Place::at(file, line, 0))
        .help("run `relapse compile`; never edit a compiled case by hand")
}
