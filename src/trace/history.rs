//! The history that went into a model call: most of a trace's bytes, and nearly always asked for by nobody.

use super::Message;
use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;

/// Messages that are read out of their text when somebody asks.
///
/// One that cannot be read whole has the messages that are told apart from its text, and says that others are not known.
#[derive(Clone, Default)]
pub struct History {
    unread: Option<Unread>,
    read: OnceLock<Read>,
}

#[derive(Clone)]
struct Unread {
    /// The instructions, where they are told apart.
    before: Vec<Message>,
    text: String,
    reader: fn(&str) -> Option<Vec<Message>>,
}

#[derive(Clone, Default)]
struct Read {
    messages: Vec<Message>,
    /// Whether there is a text besides that nobody could read.
    is_broken: bool,
}

impl History {
    /// Messages in a text, after those that are told apart from it; none when the text is no list of messages at all.
    pub fn unread(before: &[Message], text: String, reader: fn(&str) -> Option<Vec<Message>>) -> Option<Self> {
        let unread = Unread { before: before.to_vec(), text, reader };
        if looks_like_messages(&unread.text) {
            return Some(Self { unread: Some(unread), read: OnceLock::new() });
        }
        let read = unread.read();
        // A list that was cut off is no plain text that would be told elsewhere.
        (!read.is_broken || unread.text.starts_with("[{")).then(|| Self { unread: None, read: read.into() })
    }

    /// Whether nothing was captured; asked without reading.
    pub fn is_empty(&self) -> bool {
        match self.read.get() {
            Some(read) => read.messages.is_empty() && !read.is_broken,
            None => self.unread.is_none(),
        }
    }

    /// Whether some of it cannot be read, so that how many messages there are is unknown.
    pub fn is_broken(&self) -> bool {
        self.read().is_broken
    }

    /// One more message.
    pub fn push(&mut self, message: Message) {
        let _ = self.read();
        self.unread = None;
        let mut read = self.read.take().unwrap_or_default();
        read.messages.push(message);
        self.read = read.into();
    }

    fn read(&self) -> &Read {
        self.read.get_or_init(|| self.unread.as_ref().map(Unread::read).unwrap_or_default())
    }
}

/// A list of objects to its end: a text that was cut off is none.
fn looks_like_messages(text: &str) -> bool {
    text.starts_with("[{") && text.ends_with("}]")
}

impl Unread {
    fn read(&self) -> Read {
        let found = (self.reader)(&self.text);
        let is_broken = found.is_none();
        let mut messages = self.before.clone();
        messages.extend(found.into_iter().flatten());
        Read { messages, is_broken }
    }
}

impl From<Vec<Message>> for History {
    fn from(messages: Vec<Message>) -> Self {
        Self { unread: None, read: Read { messages, is_broken: false }.into() }
    }
}

impl Deref for History {
    type Target = Vec<Message>;

    fn deref(&self) -> &Vec<Message> {
        &self.read().messages
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().messages.fmt(f)
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
    fn what_cannot_be_read_is_broken_and_keeps_the_instructions() {
        let system = Message { role: "system".into(), ..Message::default() };
        for text in ["[{\"role\": }]", "[{\"role\": \"us"] {
            let history = History::unread(std::slice::from_ref(&system), text.into(), |_| None).unwrap();
            assert!(history.is_broken() && !history.is_empty(), "{text}");
            assert_eq!(history.iter().map(|message| message.role.as_str()).collect::<Vec<_>>(), ["system"], "{text}");
        }
        assert!(!History::unread(&[], "[{}]".into(), one).unwrap().is_broken());
    }

    #[test]
    fn a_text_that_holds_no_list_is_no_history() {
        assert!(History::unread(&[], "no list".into(), one).is_none());
        assert_eq!(History::unread(&[], "\"twice\"".into(), one).unwrap().len(), 1);
        assert!(History::default().is_empty() && History::from(Vec::new()).is_empty());
    }
}
