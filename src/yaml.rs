//! The one door to YAML: what a person wrote, as a tree in which every key and value knows its place.

use crate::fault::Place;

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
