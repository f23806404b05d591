//! A tree: JSON that is looked into once and thrown away, with its texts left where they were read.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::fmt;

/// A JSON document. The events of a stream are many and small, and messages are most of a trace's bytes: a [`Value`] of each
/// would be mostly copies and hash tables.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree<'a> {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text, borrowed where it has no escapes.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Self>),
    /// In the order in which they are written; of equal keys the last one counts.
    Object(Vec<(Cow<'a, str>, Self)>),
}

impl<'a> Tree<'a> {
    /// Reads a text; none when it is no JSON.
    pub fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Reads a text; a text inside it that is JSON itself is read once more, as some exporters encode twice.
    pub fn parse_twice(text: &'a str) -> Option<Self> {
        let tree = Self::parse(text)?;
        match &tree {
            Self::Text(inner) if inner.trim_start().starts_with(['{', '[']) => {
                serde_json::from_str::<Value>(inner).ok().map(Self::from).or(Some(tree))
            }
            _ => Some(tree),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.members().iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// What stands at the end of a path of keys.
    pub fn at(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |tree, key| tree.get(key))
    }

    /// The text of a key.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// The count of a key.
    pub fn count(&self, key: &str) -> Option<u64> {
        self.get(key)?.as_u64()
    }

    /// The items of a key's list; none when there is no such list.
    pub fn list(&self, key: &str) -> &[Self] {
        self.get(key).and_then(Self::as_array).unwrap_or_default()
    }

    /// The members of an object; none of anything else.
    pub fn members(&self) -> &[(Cow<'a, str>, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    /// The items, if it is a list.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is a count.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    /// Whether it is nothing.
    pub fn is_null(&self) -> bool {
        *self == Self::Null
    }
}

/// Compact JSON, each key once.
impl fmt::Display for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Value::from(self), f)
    }
}

/// As it was read: equal keys are all written.
impl Serialize for Tree<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(is) => serializer.serialize_bool(*is),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(members) => serializer.collect_map(members.iter().map(|(key, value)| (key, value))),
        }
    }
}

impl From<&Tree<'_>> for Value {
    fn from(tree: &Tree<'_>) -> Self {
        match tree {
            Tree::Null => Self::Null,
            Tree::Bool(is) => Self::Bool(*is),
            Tree::Number(number) => Self::Number(number.clone()),
            Tree::Text(text) => Self::String(text.to_string()),
            Tree::List(items) => items.iter().map(Self::from).collect(),
            Tree::Object(members) => {
                Self::Object(members.iter().map(|(key, value)| (key.to_string(), Self::from(value))).collect::<Map<_, _>>())
            }
        }
    }
}

impl<'a> From<&'a Value> for Tree<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(is) => Self::Bool(*is),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(map) => Self::Object(map.iter().map(|(key, value)| (Cow::Borrowed(key.as_str()), Self::from(value))).collect()),
        }
    }
}

impl From<Value> for Tree<'_> {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(is) => Self::Bool(is),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::Text(text.into()),
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(map) => Self::Object(map.into_iter().map(|(key, value)| (key.into(), Self::from(value))).collect()),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Tree<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

/// A member's name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tree<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Tree<'de>, E> {
        Ok(Tree::Text(Cow::Borrowed(text)))
    }

    /// A text with escapes.
    fn visit_str<E: Error>(self, text: &str) -> Result<Tree<'de>, E> {
        Ok(Tree::Text(Cow::Owned(text.to_string())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((Key(key), value)) = entries.next_entry()? {
            members.push((key, value));
        }
        Ok(Tree::Object(members))
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<Tree<'de>, E> {
        Ok(Tree::Bool(is))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Tree<'de>, E> {
        Ok(Tree::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Tree<'de>, E> {
        Ok(Tree::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Tree<'de>, E> {
        Ok(Number::from_f64(number).map_or(Tree::Null, Tree::Number))
    }

    fn visit_unit<E: Error>(self) -> Result<Tree<'de>, E> {
        Ok(Tree::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"a":[1,-2,0.5,1e3,null,true,{"k\n":"v\u00e9"}],"b":"first","":{},"b":"last"}"#;

    #[test]
    fn a_tree_says_what_a_value_says() {
        let (tree, value) = (Tree::parse(TEXT).unwrap(), serde_json::from_str::<Value>(TEXT).unwrap());
        assert_eq!(Value::from(&tree), value);
        assert_eq!(tree.to_string(), value.to_string());
        assert_eq!(Value::from(&Tree::from(&value)), value);
        assert_eq!((tree.text("b"), tree.count("b"), tree.list("a").len(), tree.list("b").len()), (Some("last"), None, 7, 0));
        assert_eq!((tree.at(&["a", "b"]), tree.list("a")[0].as_u64(), tree.list("a")[4].is_null()), (None, Some(1), true));
    }

    #[test]
    fn texts_and_keys_without_escapes_are_not_copied() {
        let tree = Tree::parse(r#"{"key": "text"}"#).unwrap();
        assert!(matches!(tree.members(), [(Cow::Borrowed("key"), Tree::Text(Cow::Borrowed("text")))]), "{tree:?}");
    }

    #[test]
    fn what_is_no_json_is_no_tree() {
        assert!(["[DONE]", "", "{\"a\":1", "{} {}"].into_iter().all(|text| Tree::parse(text).is_none()));
        assert!(Tree::parse(&"[".repeat(100_000)).is_none());
    }

    #[test]
    fn a_tree_is_written_as_it_was_read() {
        let text = r#"[{"role":"user","parts":[{"n":1.5,"ok":true,"none":null,"text":"a\n\"b\""}]},"x",-3]"#;
        let tree = Tree::parse(text).unwrap();
        assert_eq!(tree.to_string(), text);
        assert_eq!(tree, Tree::from(&serde_json::from_str::<Value>(text).unwrap()));
        let twice = r#"{"a":1,"a":2}"#;
        assert_eq!(serde_json::to_string(&Tree::parse(twice).unwrap()).unwrap(), twice);
    }

    #[test]
    fn a_text_that_is_json_itself_is_read_once_more() {
        let tree = Tree::parse_twice(r#""{\"role\":\"user\"}""#).unwrap();
        assert_eq!(tree.get("role").and_then(Tree::as_str), Some("user"));
        assert_eq!(Tree::parse_twice(r#""[not json""#).unwrap().as_str(), Some("[not json"));
        assert_eq!(Tree::parse_twice("plain"), None);
    }
}
