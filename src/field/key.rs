//! A key: the name of an attribute or event under which a field is told.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A name of the embedded table, or one of a project's own.
///
/// Every field of every request holds one. A copy of ours counts nothing, so threads do not wait for each other's counts.
#[derive(Debug, Clone)]
pub enum Key {
    /// One that is in the binary.
    Known(&'static str),
    /// One that a project's settings name.
    Own(Arc<str>),
}

impl Deref for Key {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Known(name) => name,
            Self::Own(name) => name,
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl From<&'static str> for Key {
    fn from(name: &'static str) -> Self {
        Self::Known(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_whoever_names_it() {
        assert_eq!(Key::from("session.id"), Key::Own("session.id".into()));
        assert_ne!(Key::from("session.id"), Key::Own("user.id".into()));
    }
}
