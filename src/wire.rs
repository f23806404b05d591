//! The wire: HTTP exchanges with model, retrieval and tool servers, as they were.

mod anthropic;
pub mod call;
mod filter;
mod har;
mod kept;
mod line;
mod openai_chat;
mod openai_responses;
pub mod sse;
pub mod summary;
mod vcr;

pub use line::{json, mended, read_line, to_line};

use crate::fault::{Fault, Faults, Place};
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads a wire file: our own lines, a HAR archive, or a VCR cassette in YAML or JSON; told by what it holds.
///
/// # Errors
/// What is no exchange, with its place.
pub fn read(text: &str, file: &str) -> Result<Vec<Exchange>, Faults> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if har::is(text) {
        return har::read(text).map_err(|error| {
            let place = Place::at(file, error.line() as u32, error.column() as u32);
            Fault::new(format!("not a HAR archive: {error}")).at(place).into()
        });
    }
    if vcr::is(text) {
        return vcr::read(text, file);
    }
    line::read(text, file)
}

/// One HTTP exchange.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// Its place in the file, from 1.
    pub seq: u64,
    /// Milliseconds from the request's arrival to the answer's end.
    pub ms: Option<f64>,
    /// When the request arrived, RFC 3339.
    pub at: Option<String>,
    /// The variable that named the upstream, where relapse recorded it.
    pub upstream: Option<String>,
    /// The trial that it belongs to, in a recording of several.
    pub trial: Option<u32>,
    /// What was asked.
    pub request: Request,
    /// What was answered; none when nothing was.
    pub response: Option<Response>,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body: JSON, a string for any other text, `null` for none.
    pub body: Value,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Headers by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub payload: Payload,
    /// Where a piece of a stream ended within an event, in bytes of the stream as [`sse::frame`] writes it: it may have
    /// been within a character.
    pub cuts: Vec<usize>,
    /// How it ended.
    pub end: End,
}

impl Response {
    /// Whether a stream's own last event came: a client that goes away after it has missed nothing.
    pub fn has_last_event(&self) -> bool {
        const NAMES: [&str; 4] = ["message_stop", "response.completed", "response.incomplete", "response.failed"];
        let Payload::Events(events) = &self.payload else { return false };
        let last = events.iter().rev().find(|event| !event.data.trim().is_empty());
        last.is_some_and(|event| event.data.trim() == "[DONE]" || event.event.as_deref().is_some_and(|name| NAMES.contains(&name)))
    }
}

/// A response's body.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// None.
    Empty,
    /// JSON.
    Json(Value),
    /// Any other text.
    Text(String),
    /// Bytes that are no text.
    Bytes(Vec<u8>),
    /// An event stream.
    Events(Vec<Event>),
}

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Event {
    /// Milliseconds since the request arrived.
    pub t_ms: f64,
    /// The event's name, if it has one.
    pub event: Option<String>,
    /// Its data, as sent.
    pub data: String,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As HTTP says it should.
    Complete,
    /// The server closed the stream before its last event.
    Close,
    /// The connection was reset.
    Reset,
    /// The provider sent an error event in mid-stream.
    ErrorEvent,
    /// The client went away.
    ClientGone,
}

impl End {
    /// The words in the file.
    pub const ALL: [(&'static str, Self); 5] = [
        ("complete", Self::Complete),
        ("close", Self::Close),
        ("reset", Self::Reset),
        ("error_event", Self::ErrorEvent),
        ("client_gone", Self::ClientGone),
    ];

    /// The word in the file.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, end)| *end == self).map_or("complete", |(word, _)| word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(events: &[(Option<&str>, &str)]) -> Response {
        let event = |(name, data): &(Option<&str>, &str)| Event { t_ms: 0.0, event: name.map(str::to_owned), data: (*data).to_owned() };
        let line = r#"{"request": {}, "response": {"status": 200, "sse": []}}"#;
        let mut response = read_line(line).unwrap().response.unwrap();
        response.payload = Payload::Events(events.iter().map(event).collect());
        response
    }

    #[test]
    fn every_api_has_a_last_event_of_its_own() {
        assert!(stream(&[(None, "{}"), (None, "[DONE]")]).has_last_event());
        assert!(stream(&[(Some("message_stop"), "{}"), (None, "")]).has_last_event());
        assert!(stream(&[(Some("response.completed"), "{}")]).has_last_event());
        assert!(!stream(&[(Some("message_delta"), "{}")]).has_last_event());
        assert!(!stream(&[]).has_last_event());
    }
}
