//! Server-sent events, split as the standard says, and an event that no blank line closed kept as well.

use super::Event;

/// The events of a stream that was kept as one text; times are unknown and 0.
pub fn split(text: &str) -> Vec<Event> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut events = Vec::new();
    let mut open = Open::default();
    for line in lines(text) {
        if line.is_empty() {
            open.close(&mut events);
        } else {
            open.take(line);
        }
    }
    open.close(&mut events);
    events
}

/// Lines end with CR LF, LF or CR.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        let Some(end) = current.find(['\r', '\n']) else {
            rest = None;
            return Some(current);
        };
        let width = if current[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&current[end + width..]);
        Some(&current[..end])
    })
}

#[derive(Default)]
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

    fn close(&mut self, events: &mut Vec<Event>) {
        let event = self.event.take();
        if let Some(data) = self.data.take() {
            events.push(Event { t_ms: 0.0, event, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_end_and_the_last_event_count() {
        for text in [
            "event: a\ndata: 1\ndata: 2\n\ndata: 3",
            "\u{feff}event: a\r\ndata: 1\r\ndata:2\r\n\r\n: note\r\ndata: 3\r\n\r\n",
            "event: a\rdata: 1\rdata: 2\r\rdata: 3\r\r",
        ] {
            let events = split(text);
            assert_eq!(events.len(), 2, "{text:?}");
            assert_eq!((events[0].event.as_deref(), events[0].data.as_str()), (Some("a"), "1\n2"));
            assert_eq!(events[1].data, "3");
        }
    }
}
