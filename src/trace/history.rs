//! The history that went into a model call: most of a trace's bytes, and nearly always asked for by nobody.

use super::Message;
use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;

/// Messages that are read out of their text when somebody asks.
#[derive(Clone, Default)]
pub struct History {
    unread: Option<Unread>,
    read: OnceLock<Vec<Message>>,
}

#[derive(Clone)]
struct Unread {
    /// The instructions, where they are told apart.
    before: Vec<Message>,
    text: String,
    reader: fn(&str) -> Option<Vec<Message>>,
}

impl History {
    /// Messages in a text, after those that are told apart from it.
    ///
    /// What a reader makes of a text that does not look like a list is known at once.
    pub fn unread(before: &[Message], text: String, reader: fn(&str) -> Option<Vec<Message>>) -> Option<Self> {
        let unread = Unread { before: before.to_vec(), text, reader };
        if looks_like_messages(&unread.text) {
            return Some(Self { unread: Some(unread), read: OnceLock::new() });
        }
        unread.read().map(Self::from)
    }

    /// Whether nothing was captured; asked without reading.
    pub fn is_empty(&self) -> bool {
        match self.read.get() {
            Some(messages) => messages.is_empty(),
            None => self.unread.is_none(),
        }
    }

    /// One more message.
    pub fn push(&mut self, message: Message) {
        let mut messages = std::mem::take(self).into_messages();
        messages.push(message);
        *self = messages.into();
    }

    fn into_messages(mut self) -> Vec<Message> {
        let _ = self.messages();
        self.read.take().unwrap_or_default()
    }

    fn messages(&self) -> &Vec<Message> {
        self.read.get_or_init(|| self.unread.as_ref().and_then(Unread::read).unwrap_or_default())
    }
}

/// A list of objects to its end: a text that was cut off is none.
fn looks_like_messages(text: &str) -> bool {
    text.starts_with("[{") && text.ends_with("}]")
}

impl Unread {
    fn read(&self) -> Option<Vec<Message>> {
        let mut messages = self.before.clone();
        messages.extend((self.reader)(&self.text)?);
        Some(messages)
    }
}

impl From<Vec<Message>> for History {
    fn from(messages: Vec<Message>) -> Self {
        Self { unread: None, read: messages.into() }
    }
}

impl Deref for History {
    type Target = Vec<Message>;

    fn deref(&self) -> &Vec<Message> {
        self.messages()
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.messages().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Option<Vec<Message>> {
        (text != "no list").then(|| vec![Message { role: "user".into(), text: text.into(), ..Message::default() }])
    }

    #[test]
    fn a_history_is_read_when_somebody_asks() {
        let system = Message { role: "system".into(), ..Message::default() };
        let mut history = History::unread(&[system], "[{}]".into(), one).unwrap();
        assert!(!history.is_empty() && history.read.get().is_none());
        assert_eq!(history.iter().map(|message| message.role.as_str()).collect::<Vec<_>>(), ["system", "user"]);
        history.push(Message::default());
        assert_eq!(history.len(), 3);
    }

    #[test]
    fn a_text_that_holds_no_list_is_no_history() {
        assert!(History::unread(&[], "no list".into(), one).is_none());
        assert_eq!(History::unread(&[], "\"twice\"".into(), one).unwrap().len(), 1);
        assert!(History::default().is_empty() && History::from(Vec::new()).is_empty());
    }
}
