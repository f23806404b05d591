//! The one door to YAML: what a person wrote, as a tree in which every key and value knows its place.
//!
//! A small YAML on purpose: aliases are expanded within a budget, merge keys (`<<`), tags, directives, several documents
//! and keys that are not texts are refused by name. The parser behind it is used in this file only.

mod reader;
mod scalar;
mod time;

pub use reader::{Map, Once, Spanned, quote};
pub use time::{Date, Moment};

use crate::fault::{Fault, Faults, Place};
use crate::limit;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::Utf8Path;
use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span, StructureStyle};
use std::collections::{HashMap, HashSet};

/// One value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the value begins.
    pub place: Place,
    /// The value.
    pub value: Yaml,
}

/// A YAML value; scalars keep the text as it was written, so that `1.10`, `no` and `010` stay what they are.
#[derive(Debug, Clone, PartialEq)]
pub enum Yaml {
    /// Nothing after the colon, `~` or `null`.
    Null,
    /// A plain (unquoted) scalar as written; [`Node`]'s readers say whether it is a number, a flag or a text.
    Plain(String),
    /// A quoted or block scalar: always a text.
    Quoted(String),
    /// Bytes that a program recorded as `!!binary`; a person's file never holds any.
    Binary(Vec<u8>),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order written; no key twice.
    Map(Vec<(Key, Node)>),
}

/// A map's key with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Where the key begins.
    pub place: Place,
    /// The key.
    pub name: String,
}

/// Reads a file of our own that is embedded in the binary into a type.
///
/// # Errors
/// The library's message, with line and column.
pub fn typed<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

/// Reads one document whose first line is line `first_line` of the file.
///
/// A byte-order mark and `\r\n` make no difference. Duplicate and merge keys and tags are all reported in one go; the
/// first syntax error ends the reading. Text beyond [`limit::YAML_BYTES`], nesting beyond [`limit::YAML_DEPTH`] and
/// aliases that expand beyond [`limit::YAML_ALIAS_NODES`] values or [`limit::YAML_BYTES`] of text are refused.
pub fn parse(text: &str, file: impl AsRef<Utf8Path>, first_line: u32) -> Result<Node, Faults> {
    let file = file.as_ref();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let place = |line: usize, column: usize| place(file, first_line, line, column);
    check_size(text, limit::YAML_BYTES, place(1, 1))?;
    if let Some((line, marker)) = conflict(text) {
        let fault = Fault::new(format!("merge-conflict marker `{marker}`")).at(place(line, 1));
        return Err(fault.help("resolve the conflict: keep one side and remove the marker lines").into());
    }
    let mut builder = Builder::new(file, text, first_line);
    let end = builder.run();
    builder.finish(end)
}

/// Reads one document that a program recorded: it may be as large as [`limit::CASSETTE_BYTES`], and values may be tagged;
/// of `!!binary` ones the bytes are kept, other tags make no difference.
///
/// # Errors
/// As [`parse`].
pub fn parse_recorded(text: &str, file: impl AsRef<Utf8Path>) -> Result<Node, Faults> {
    let file = file.as_ref();
    check_size(text, limit::CASSETTE_BYTES, place(file, 1, 1, 1))?;
    let mut builder = Builder { origin: Origin::Program, ..Builder::new(file, text, 1) };
    let end = builder.run();
    builder.finish(end)
}

fn check_size(text: &str, cap: u64, place: Place) -> Result<(), Fault> {
    if text.len() as u64 <= cap {
        return Ok(());
    }
    Err(Fault::new(format!("{} bytes of YAML; at most {cap} are read", text.len())).at(place))
}

/// Who wrote a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Person,
    Program,
}

fn place(file: &Utf8Path, first_line: u32, line: usize, column: usize) -> Place {
    let line = u32::try_from(line).unwrap_or(u32::MAX).saturating_add(first_line.saturating_sub(1));
    Place::at(file, line, u32::try_from(column).unwrap_or(u32::MAX))
}

fn conflict(text: &str) -> Option<(usize, &'static str)> {
    let marker = |line: &str| ["<<<<<<<", ">>>>>>>", "|||||||"].into_iter().find(|marker| line.starts_with(marker));
    text.lines().enumerate().find_map(|(index, line)| Some((index + 1, marker(line)?)))
}

/// The anchors that some alias names: only these need to be kept.
fn aliased(text: &str) -> HashSet<usize> {
    if !text.contains('*') {
        return HashSet::new();
    }
    let events = events(text).map_while(Result::ok);
    events.filter_map(|(event, _)| event.alias_id()).collect()
}

fn events(text: &str) -> impl Iterator<Item = Result<(Event<'_>, Span), ScanError>> {
    // One level more than we allow, so that our own count is the one that a person meets.
    let levels = limit::YAML_DEPTH + 1;
    let options = granit_parser::options! { disallow_directives: true, flow_nesting_limit: levels, block_nesting_limit: levels };
    Parser::new_from_str_with_options(text, options)
}

/// A list or map that is not closed yet.
struct Open {
    place: Place,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, lines: HashMap<String, u32>, key: Option<Slot> },
}

/// A key that waits for its value.
enum Slot {
    Keep(Key),
    /// The key was refused, so its value is dropped.
    Drop,
}

/// What a tree weighs when an alias repeats it.
#[derive(Default, Clone, Copy)]
struct Weight {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

struct Builder<'a> {
    file: &'a Utf8Path,
    text: &'a str,
    first_line: u32,
    stack: Vec<Open>,
    root: Option<Node>,
    aliased: HashSet<usize>,
    anchors: HashMap<usize, Node>,
    kept: usize,
    expanded: Weight,
    faults: Faults,
    origin: Origin,
}

impl<'a> Builder<'a> {
    fn new(file: &'a Utf8Path, text: &'a str, first_line: u32) -> Self {
        let (stack, anchors, expanded, faults) = (Vec::new(), HashMap::new(), Weight::default(), Faults::new());
        Self {
            file,
            text,
            first_line,
            stack,
            root: None,
            aliased: aliased(text),
            anchors,
            kept: 0,
            expanded,
            faults,
            origin: Origin::Person,
        }
    }

    fn run(&mut self) -> Result<(), Fault> {
        for event in events(self.text) {
            let (event, span) = event.map_err(|error| self.syntax(&error))?;
            self.take(event, span)?;
        }
        Ok(())
    }

    fn finish(mut self, end: Result<(), Fault>) -> Result<Node, Faults> {
        if let Err(fault) = end {
            self.faults.push(fault);
        } else if self.root.is_none() {
            self.faults.push(Fault::new("nothing is written here, or only comments").at(place(self.file, self.first_line, 1, 1)));
        }
        let nothing = Node { place: Place::file(self.file), value: Yaml::Null };
        self.faults.into_result(self.root.unwrap_or(nothing))
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                let fault = Fault::new("a second document begins here; a file holds one").at(self.place(span.start));
                Err(fault.help("remove the line `---`, or split the file"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                if self.origin == Origin::Program && tag.as_ref().is_some_and(|tag| tag.suffix() == "binary") && !self.wants_key() {
                    return self.binary(&text, anchor, span);
                }
                self.refuse_tag(tag.is_some(), span);
                self.scalar(text.into_owned(), style, anchor, span)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let place = if style == StructureStyle::Block { self.dash(span.start) } else { self.place(span.start) };
                self.open(Open { place, anchor, content: Content::List(Vec::new()) })
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let content = Content::Map { entries: Vec::new(), lines: HashMap::new(), key: None };
                self.open(Open { place: self.place(span.start), anchor, content })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => self.alias(id, span),
            _ => Ok(()),
        }
    }

    fn place(&self, marker: Marker) -> Place {
        place(self.file, self.first_line, marker.line(), marker.col() + 1)
    }

    /// The place of a list's first dash: the parser gives the first item's when the list is not indented.
    fn dash(&self, marker: Marker) -> Place {
        let before = marker.byte_offset().and_then(|offset| self.text.get(..offset)).unwrap_or_default();
        let blanks = before.len() - before.trim_end_matches(' ').len();
        let is_after_dash = before.trim_end_matches(' ').ends_with('-') && blanks > 0;
        let column = if is_after_dash { marker.col().saturating_sub(blanks) } else { marker.col() + 1 };
        place(self.file, self.first_line, marker.line(), column)
    }

    fn refuse_tag(&mut self, is_tagged: bool, span: Span) {
        if is_tagged && self.origin == Origin::Person {
            let place = self.place(span.tag_start().unwrap_or(span.start));
            let fault = Fault::new("a YAML tag (`!…`) is not supported").at(place);
            self.faults.push(fault.help("remove the tag; quote the value to make it a text"));
        }
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, anchor: usize, span: Span) -> Result<(), Fault> {
        let place = self.place(span.start);
        if self.wants_key() {
            return self.key(text, style, place);
        }
        let value = match style {
            ScalarStyle::Plain if scalar::is_null(&text) => Yaml::Null,
            ScalarStyle::Plain => Yaml::Plain(text),
            _ => Yaml::Quoted(text),
        };
        let place = if span.is_empty() { self.key_place().unwrap_or(place) } else { place };
        self.value(Node { place, value }, anchor)
    }

    fn binary(&mut self, encoded: &str, anchor: usize, span: Span) -> Result<(), Fault> {
        let place = self.place(span.start);
        let joined: String = encoded.split_whitespace().collect();
        match STANDARD.decode(joined) {
            Ok(bytes) => self.value(Node { place, value: Yaml::Binary(bytes) }, anchor),
            Err(error) => Err(Fault::new(format!("expected base64 behind `!!binary`: {error}")).at(place)),
        }
    }

    fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Open { content: Content::Map { key: None, .. }, .. }))
    }

    fn key_place(&self) -> Option<Place> {
        match self.stack.last() {
            Some(Open { content: Content::Map { key: Some(Slot::Keep(key)), .. }, .. }) => Some(key.place.clone()),
            _ => None,
        }
    }

    fn key(&mut self, name: String, style: ScalarStyle, place: Place) -> Result<(), Fault> {
        let Some(Open { content: Content::Map { lines, key, .. }, .. }) = self.stack.last_mut() else { return Ok(()) };
        *key = Some(Slot::Drop);
        if style == ScalarStyle::Plain && name == "<<" {
            let fault = Fault::new("a merge key (`<<`) is not supported").at(place);
            self.faults.push(fault.help("write the keys out"));
        } else if let Some(first) = lines.get(&name) {
            let message = format!("key {} is written twice, first on line {first}", quote(&name));
            self.faults.push(Fault::new(message).at(place).help("keep one of the two"));
        } else {
            lines.insert(name.clone(), place.line);
            *key = Some(Slot::Keep(Key { place, name }));
        }
        Ok(())
    }

    fn open(&mut self, open: Open) -> Result<(), Fault> {
        if self.wants_key() {
            let fault = Fault::new("a list or map cannot be a key; expected a text").at(open.place);
            return Err(fault.help("quote the text, as in \"{{ input }}\""));
        }
        self.check_depth(1, &open.place)?;
        self.stack.push(open);
        Ok(())
    }

    fn check_depth(&self, more: usize, place: &Place) -> Result<(), Fault> {
        if self.stack.len() + more <= limit::YAML_DEPTH {
            return Ok(());
        }
        Err(too_deep().at(place.clone()))
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let value = match open.content {
            Content::List(items) => Yaml::List(items),
            Content::Map { entries, .. } => Yaml::Map(entries),
        };
        self.value(Node { place: open.place, value }, open.anchor)
    }

    fn value(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 && self.aliased.contains(&anchor) {
            self.keep(anchor, &node)?;
        }
        match self.stack.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, key, .. }) => {
                if let Some(Slot::Keep(key)) = key.take() {
                    entries.push((key, node));
                }
            }
        }
        Ok(())
    }

    /// Keeps a copy for aliases. Each kept one is expanded at least once, so what is beyond the budget now is beyond it later.
    fn keep(&mut self, anchor: usize, node: &Node) -> Result<(), Fault> {
        let weight = weigh(node);
        self.kept += weight.nodes;
        if self.kept > limit::YAML_ALIAS_NODES || weight.bytes as u64 > limit::YAML_BYTES {
            return Err(too_much().at(node.place.clone()));
        }
        self.anchors.insert(anchor, node.clone());
        Ok(())
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Fault> {
        let place = self.place(span.start);
        if self.wants_key() {
            return Err(Fault::new("an alias cannot be a key; expected a text").at(place).help("write the key out, or quote it"));
        }
        let Some(node) = self.anchors.get(&id) else {
            return Err(Fault::new("an alias to a list or map that contains it").at(place).help("write the values out"));
        };
        let weight = weigh(node);
        self.expanded.nodes += weight.nodes;
        self.expanded.bytes += weight.bytes;
        if self.expanded.nodes > limit::YAML_ALIAS_NODES || self.expanded.bytes as u64 > limit::YAML_BYTES {
            return Err(too_much().at(place));
        }
        self.check_depth(weight.depth, &place)?;
        let value = node.value.clone();
        self.value(Node { place, value }, 0)
    }

    fn syntax(&self, error: &ScanError) -> Fault {
        let (message, help) = explain(error.kind());
        let is_tab = message.starts_with("a tab");
        let place = is_tab.then(|| self.next_tab(error.marker())).flatten().unwrap_or_else(|| self.place(*error.marker()));
        let fault = Fault::new(message).at(place);
        if help.is_empty() { fault } else { fault.help(help) }
    }

    /// The tab itself: the parser may stop behind it, or at the end of the line before it.
    fn next_tab(&self, marker: &Marker) -> Option<Place> {
        let offset = self.text.get(..marker.byte_offset()?)?.rfind('\n').map_or(0, |newline| newline + 1);
        let tab = offset + self.text.get(offset..)?.find('\t')?;
        let before = self.text.get(..tab)?;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        Some(place(self.file, self.first_line, line, before.get(start..)?.chars().count() + 1))
    }
}

fn weigh(node: &Node) -> Weight {
    let children: Vec<Weight> = match &node.value {
        Yaml::List(items) => items.iter().map(weigh).collect(),
        Yaml::Map(entries) => entries.iter().map(|(key, node)| with_key(key, weigh(node))).collect(),
        Yaml::Plain(text) | Yaml::Quoted(text) => return Weight { nodes: 1, bytes: text.len(), depth: 0 },
        Yaml::Binary(bytes) => return Weight { nodes: 1, bytes: bytes.len(), depth: 0 },
        Yaml::Null => return Weight { nodes: 1, bytes: 0, depth: 0 },
    };
    let own = Weight { nodes: 1, bytes: 0, depth: 1 };
    children.iter().fold(own, |sum, child| Weight {
        nodes: sum.nodes + child.nodes,
        bytes: sum.bytes + child.bytes,
        depth: sum.depth.max(child.depth + 1),
    })
}

fn with_key(key: &Key, weight: Weight) -> Weight {
    Weight { bytes: weight.bytes + key.name.len(), ..weight }
}

fn too_deep() -> Fault {
    Fault::new(format!("nested deeper than {} levels", limit::YAML_DEPTH)).help("flatten the structure")
}

fn too_much() -> Fault {
    let message = format!("aliases expand to more than {} values or {} bytes", limit::YAML_ALIAS_NODES, limit::YAML_BYTES);
    Fault::new(message).help("write the values out, or put them into a file of their own")
}

/// What a syntax error means to the person who made it, and the next edit.
fn explain(kind: &ErrorKind) -> (String, &'static str) {
    let (message, help) = match kind {
        ErrorKind::RecursionLimitExceeded => (format!("nested deeper than {} levels", limit::YAML_DEPTH), "flatten the structure"),
        ErrorKind::UnexpectedCharacter { character } => return unexpected(*character),
        ErrorKind::UnclosedFlowCollection { open } => (format!("`{open}` is not closed"), "close the bracket"),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            (format!("`{open}` is closed by `{close}`"), "close it with its own kind")
        }
        other => match phrase(other) {
            Some((message, help)) => (message.to_owned(), help),
            None => (format!("not valid YAML: {other}"), ""),
        },
    };
    (message, help)
}

fn unexpected(character: char) -> (String, &'static str) {
    if character.is_control() {
        let code = u32::from(character);
        return (format!("control character U+{code:04X}, which YAML does not allow"), "remove it, or write it escaped in double quotes");
    }
    (format!("`{character}` cannot begin a value"), "quote the text")
}

fn phrase(kind: &ErrorKind) -> Option<(&'static str, &'static str)> {
    const ALIGN: &str = "indent the line like its neighbours";
    const QUOTE: &str = "quote the text if it contains `: `, or check the indentation";
    Some(match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::InvalidBlockEntryWhitespace
        | ErrorKind::InvalidMappingValueWhitespace => ("a tab where YAML needs spaces", "indent with spaces"),
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => {
            ("a quote that is never closed", "close it; inside single quotes write '' for one quote")
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            ("text after a closing quote", "quote the whole value")
        }
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape
        | ErrorKind::InvalidLowSurrogate
        | ErrorKind::InvalidLowSurrogateHexEscape
        | ErrorKind::MissingLowSurrogate
        | ErrorKind::UnpairedLowSurrogate => ("an unknown escape in double quotes", r"use single quotes around backslashes, as in '\d+'"),
        ErrorKind::MappingValueNotAllowed => ("a `:` that begins no value here", QUOTE),
        ErrorKind::MappingKeyNotAllowed => ("a key is not allowed here", QUOTE),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => ("a key without `:`", "write `key: value`"),
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::ExpectedDocumentStart
        | ErrorKind::InvalidIndentation
        | ErrorKind::InvalidBlockScalarIndent
        | ErrorKind::InvalidQuotedScalarIndent
        | ErrorKind::InvalidFlowScalarIndent => ("the indentation does not fit the lines above", ALIGN),
        ErrorKind::BlockSequenceEntryNotAllowed | ErrorKind::BlockEntryInFlowCollection => {
            ("a list item (`- `) cannot begin here", "begin the list on the next line, or write [a, b]")
        }
        ErrorKind::InvalidColonPlacement
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping => {
            ("a `[` or `{` before this is not closed, or a `,` is missing", "close the bracket")
        }
        ErrorKind::MisplacedFlowCollectionEnd => ("a closing bracket without an opening one", "remove it, or quote the text"),
        ErrorKind::UnknownAnchor => ("an alias to nothing: no `&` anchor of this name comes before it", "quote the text if `*` is meant"),
        ErrorKind::DirectiveDisallowed => ("a YAML directive (`%…`) is not supported", "remove the line, or quote the text"),
        ErrorKind::BomInsideDocument => ("a byte-order mark inside the file", "remove the invisible character U+FEFF"),
        ErrorKind::UndeclaredTagHandle | ErrorKind::InvalidTagTerminator => {
            ("a YAML tag (`!…`) is not supported", "quote the text if `!` is meant")
        }
        ErrorKind::CommentNotSeparated => ("a `#` that touches what is before it", "put a space before the comment"),
        ErrorKind::CommentInterceptedScalar => ("a comment inside a text of several lines", "quote the text, or move the comment"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
