//! An answer that is arriving: status and headers are known, the body comes in pieces.

use super::Trouble;
use crate::limit;
use crate::wire::sse::{self, Splitter};
use crate::wire::{End, Event, Payload, Response};
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Instant;

/// An answer whose body is still on its way.
#[derive(Debug)]
pub struct Incoming {
    status: u16,
    headers: BTreeMap<String, String>,
    response: reqwest::Response,
    body: Body,
    size: usize,
    sent: Instant,
}

/// What has arrived so far.
#[derive(Debug)]
enum Body {
    Whole(Vec<u8>),
    Stream(Box<Stream>),
}

/// A stream, as far as it has arrived.
#[derive(Debug, Default)]
struct Stream {
    splitter: Splitter,
    events: Vec<Event>,
    /// Where a piece ended within an event.
    cuts: Vec<usize>,
}

impl Incoming {
    pub(super) fn new(response: reqwest::Response, sent: Instant) -> Self {
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in response.headers() {
            let value = String::from_utf8_lossy(value.as_bytes());
            let joined = headers.entry(name.as_str().to_string()).or_default();
            if !joined.is_empty() {
                joined.push_str(", ");
            }
            joined.push_str(&value);
        }
        let streamed = headers.get("content-type").is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"));
        let body = if streamed { Body::Stream(Box::default()) } else { Body::Whole(Vec::new()) };
        Self { status: response.status().as_u16(), headers, response, body, size: 0, sent }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The headers by lower-case name.
    pub fn headers(&self) -> &BTreeMap<String, String> {
        &self.headers
    }

    /// The next piece as it came; none at the end. Each piece is kept for [`Incoming::close`] too.
    ///
    /// # Errors
    /// Why the answer came to no end, or that it is beyond its cap.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        let Some(piece) = self.response.chunk().await.map_err(|error| Trouble::of(&error))? else { return Ok(None) };
        self.size += piece.len();
        if self.size > limit::BODY_BYTES {
            return Err(Trouble::TooLarge { cap: limit::BODY_BYTES, what: "the answer" });
        }
        let now = millis(self.sent);
        match &mut self.body {
            Body::Whole(bytes) => bytes.extend_from_slice(&piece),
            Body::Stream(stream) => {
                stream.events.extend(stream.splitter.push(&piece, now));
                if stream.splitter.pending() > limit::EVENT_BYTES {
                    return Err(Trouble::TooLarge { cap: limit::EVENT_BYTES, what: "an event of the stream" });
                }
                if stream.splitter.pending() > 0 && stream.cuts.len() < limit::STREAM_CUTS {
                    stream.cuts.push(self.size);
                }
            }
        }
        Ok(Some(piece))
    }

    /// What was answered, as far as it arrived.
    pub fn close(self, end: End) -> Response {
        let (payload, cuts) = match self.body {
            Body::Stream(stream) => stream.close(self.size, millis(self.sent)),
            Body::Whole(bytes) => (payload(bytes), Vec::new()),
        };
        Response { status: self.status, headers: self.headers, payload, cuts, end }
    }
}

impl Stream {
    /// The events, and the cuts between pieces where the stream is written as relapse writes it.
    fn close(mut self, size: usize, now: f64) -> (Payload, Vec<usize>) {
        let is_whole = self.splitter.pending() == 0;
        self.events.extend(self.splitter.close(now));
        let framed = || self.events.iter().map(|event| sse::frame(event).len()).sum::<usize>();
        if !self.cuts.is_empty() && (!is_whole || framed() != size) {
            self.cuts.clear();
        }
        (Payload::Events(self.events), self.cuts)
    }
}

fn payload(bytes: Vec<u8>) -> Payload {
    if bytes.is_empty() {
        return Payload::Empty;
    }
    match String::from_utf8(bytes) {
        Ok(text) => match crate::wire::json(&text) {
            Some(Value::String(_)) | None => Payload::Text(text),
            Some(json) => Payload::Json(json),
        },
        Err(error) => Payload::Bytes(error.into_bytes()),
    }
}

/// Milliseconds since a moment, to a thousandth.
pub(super) fn millis(since: Instant) -> f64 {
    since.elapsed().as_micros() as f64 / 1e3
}
