//! Server-sent events, split as the standard says, and an event that no blank line closed kept as well.

use super::Event;
use std::borrow::Cow;

/// The events of a stream that was kept as one text; times are unknown and 0.
pub fn split(text: &str) -> Vec<Event> {
    let mut splitter = Splitter::default();
    let mut events = splitter.push(text.as_bytes(), 0.0);
    events.extend(splitter.close(0.0));
    events
}

/// An event as a stream carries it.
pub fn frame(event: &Event) -> String {
    let mut text = String::with_capacity(event.data.len() + 16);
    if let Some(name) = &event.event {
        text.push_str("event: ");
        text.push_str(name);
        text.push('\n');
    }
    for line in event.data.split('\n') {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text
}

/// Splits a stream whose bytes arrive in pieces of any size; lines end with CR LF, LF or CR.
#[derive(Debug, Default)]
pub struct Splitter {
    /// The line that has not ended yet.
    line: Vec<u8>,
    open: Open,
    /// The last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
    /// The first line, which may begin with a byte-order mark, is over.
    begun: bool,
}

impl Splitter {
    /// Takes the next bytes, which arrived at this time, and gives the events that they close.
    pub fn push(&mut self, bytes: &[u8], t_ms: f64) -> Vec<Event> {
        let mut events = Vec::new();
        let mut rest = bytes;
        if std::mem::take(&mut self.after_cr) && rest.first() == Some(&b'\n') {
            rest = &rest[1..];
        }
        while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
            events.extend(self.end_line(&rest[..end], t_ms));
            let is_pair = rest[end] == b'\r' && rest.get(end + 1) == Some(&b'\n');
            self.after_cr = rest[end] == b'\r' && end + 1 == rest.len();
            rest = &rest[end + if is_pair { 2 } else { 1 }..];
        }
        self.line.extend_from_slice(rest);
        events
    }

    /// The event that the end of the stream closes.
    pub fn close(&mut self, t_ms: f64) -> Option<Event> {
        if !self.line.is_empty() {
            self.end_line(b"", t_ms);
        }
        self.open.close(t_ms)
    }

    /// Bytes of the event that is not closed yet.
    pub fn pending(&self) -> usize {
        self.line.len() + self.open.data.as_ref().map_or(0, String::len)
    }

    /// Takes the last bytes of a line; most lines come whole, and are not copied first.
    fn end_line(&mut self, bytes: &[u8], t_ms: f64) -> Option<Event> {
        let mut begun = std::mem::take(&mut self.line);
        let line = if begun.is_empty() {
            bytes
        } else {
            begun.extend_from_slice(bytes);
            &begun
        };
        let text = std::str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed);
        let text = if std::mem::replace(&mut self.begun, true) { &*text } else { text.strip_prefix('\u{feff}').unwrap_or(&text) };
        if text.is_empty() {
            return self.open.close(t_ms);
        }
        self.open.take(text);
        None
    }
}

/// The event whose lines are arriving.
#[derive(Debug, Default)]
struct Open {
    event: Option<String>,
    data: Option<String>,
}

impl Open {
    fn take(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event = Some(value.to_string()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_string()),
            },
            _ => {}
        }
    }

    fn close(&mut self, t_ms: f64) -> Option<Event> {
        let event = self.event.take();
        self.data.take().map(|data| Event { t_ms, event, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAMS: [&str; 4] = [
        "event: a\ndata: 1\ndata: 2\n\ndata: é",
        "\u{feff}event: a\r\ndata: 1\r\ndata:2\r\n\r\n: note\r\ndata: é\r\n\r\n",
        "event: a\rdata: 1\rdata: 2\r\rdata: é\r\r",
        "event: a\ndata: 1\ndata: 2\n\n\n\nid: 7\ndata: é\n",
    ];

    #[test]
    fn every_line_end_and_the_last_event_count() {
        for text in STREAMS {
            let events = split(text);
            assert_eq!(events.len(), 2, "{text:?}");
            assert_eq!((events[0].event.as_deref(), events[0].data.as_str()), (Some("a"), "1\n2"));
            assert_eq!(events[1].data, "é");
        }
    }

    #[test]
    fn pieces_of_any_size_give_the_same_events() {
        for text in STREAMS {
            for size in 1..text.len() {
                let mut splitter = Splitter::default();
                let mut events: Vec<Event> = text.as_bytes().chunks(size).flat_map(|piece| splitter.push(piece, 0.0)).collect();
                events.extend(splitter.close(0.0));
                assert_eq!(events, split(text), "{text:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn an_event_has_the_time_at_which_it_was_closed() {
        let mut splitter = Splitter::default();
        assert!(splitter.push(b"data: 1\n", 5.0).is_empty());
        assert_eq!(splitter.pending(), 1);
        assert_eq!(splitter.push(b"\ndata: 2", 9.0)[0].t_ms, 9.0);
        assert_eq!(splitter.close(12.0).map(|event| event.t_ms), Some(12.0));
    }
}
