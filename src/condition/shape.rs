//! What a condition does to an answer: it comes late or in slow pieces, breaks off, or says something else.

use super::{Plan, answer, failure};
use crate::wire::call::{Api, Attempt};
use crate::wire::{End, Event, Exchange, Payload, Response};
use std::fmt;
use std::time::Duration;

/// What is done to an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shape {
    /// The time until the first token.
    pub first_token: Option<Duration>,
    /// The time between events.
    pub chunk_delay: Option<Duration>,
    /// How it ends.
    pub end: Option<Ending>,
    /// The finish reason that it carries, in the provider's words.
    pub finish: Option<String>,
    /// The raw arguments of the first tool call, JSON or not.
    pub tool_arguments: Option<String>,
}

/// How a shaped answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// In the middle, cleanly.
    Close,
    /// In the middle, with a reset connection.
    Reset,
    /// In the middle, with an error event.
    ErrorEvent,
    /// Before it began: a stream without an event.
    Empty,
}

impl Ending {
    const ALL: [(&'static str, Self); 4] =
        [("close", Self::Close), ("reset", Self::Reset), ("error_event", Self::ErrorEvent), ("empty", Self::Empty)];

    /// The ending that a word names.
    pub(super) fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, ending)| *ending)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wait = |wait: Option<Duration>| wait.map(|wait| format!("{wait:?}"));
        let end = self.end.and_then(|end| Ending::ALL.iter().find(|(_, ending)| *ending == end)).map(|(word, _)| (*word).to_string());
        let said = [
            ("first_token", wait(self.first_token)),
            ("chunk_delay", wait(self.chunk_delay)),
            ("end", end),
            ("finish", self.finish.clone()),
            ("tool_arguments", self.tool_arguments.clone()),
        ];
        let said: Vec<String> = said.into_iter().filter_map(|(key, value)| Some(format!("{key} {}", value?))).collect();
        f.write_str(&said.join(", "))
    }
}

impl Shape {
    /// The plan for an attempt: from the recorded answer, or from nothing where nothing of it is left; none when an
    /// answer is needed and there is none.
    pub fn plan(&self, request: &Exchange, recorded: Option<Exchange>) -> Option<Plan> {
        let (api, answered) = (Api::of(request), recorded.is_some());
        let mut exchange = match recorded {
            Some(recorded) => recorded,
            None if self.needs_answer() => return None,
            None => Exchange { response: Some(answer::empty(&api, &request.request.body)), ms: Some(0.0), ..request.clone() },
        };
        // Keys leave the query out, and a stream is what this request asks for.
        exchange.request = request.request.clone();
        if self.finish.is_some() || self.tool_arguments.is_some() {
            exchange.response = Some(self.said(&api, &exchange)?);
        }
        self.retime(&mut exchange);
        if let (Some(ending), Some(response)) = (self.end, exchange.response.as_mut()) {
            cut(&api, ending, answered, response);
            response.cuts.clear();
            if let (Payload::Events(events), Some(ms)) = (&response.payload, exchange.ms) {
                exchange.ms = Some(events.last().map_or(ms.min(self.first_token_ms().unwrap_or(0.0)), |event| event.t_ms.min(ms)));
            }
        }
        let (before, between) = (self.first_token.unwrap_or_default(), self.chunk_delay.unwrap_or_default());
        Some(Plan { response: exchange.response, ms: exchange.ms, before, between })
    }

    /// A refusal says nothing of the answer, and an answer that breaks off may have said nothing.
    fn needs_answer(&self) -> bool {
        let refused = self.finish.as_deref() == Some("refusal");
        !refused && (self.end.is_none() || self.finish.is_some() || self.tool_arguments.is_some())
    }

    fn first_token_ms(&self) -> Option<f64> {
        self.first_token.map(|wait| wait.as_secs_f64() * 1e3)
    }

    /// The answer with another finish reason or other arguments, written anew.
    fn said(&self, api: &Api, exchange: &Exchange) -> Option<Response> {
        let mut attempt = Attempt::of(exchange)?;
        if let Some(arguments) = &self.tool_arguments {
            attempt.tool_calls.first_mut()?.arguments.clone_from(arguments);
        }
        if let Some(finish) = &self.finish {
            answer::finish(&mut attempt, finish);
        }
        let headers = exchange.response.as_ref().map(|response| response.headers.clone()).unwrap_or_default();
        Some(answer::response(api, &attempt, &exchange.request.body, headers))
    }

    /// The conditioned times in place of the recorded ones.
    fn retime(&self, exchange: &mut Exchange) {
        let first = Attempt::of(exchange).and_then(|attempt| attempt.first_token).map(|seconds| seconds * 1e3);
        let wanted = self.first_token_ms();
        let Some(response) = &mut exchange.response else { return };
        let Payload::Events(events) = &mut response.payload else {
            exchange.ms = wanted.or(exchange.ms);
            return;
        };
        let before = events.last().map_or(0.0, |event| event.t_ms);
        if let Some(wanted) = wanted {
            let shift = wanted - first.or(events.first().map(|event| event.t_ms)).unwrap_or(0.0);
            events.iter_mut().for_each(|event| event.t_ms = (event.t_ms + shift).max(wanted));
        }
        if let Some(delay) = self.chunk_delay {
            let start = events.first().map_or(0.0, |event| event.t_ms);
            let delay = delay.as_secs_f64() * 1e3;
            events.iter_mut().enumerate().for_each(|(index, event)| event.t_ms = start + delay * index as f64);
        }
        let after = events.last().map_or(wanted.unwrap_or(0.0), |event| event.t_ms);
        exchange.ms = Some(exchange.ms.map_or(after, |ms| (ms + after - before).max(after)));
    }
}

/// What is left of an answer that ends early.
fn cut(api: &Api, ending: Ending, answered: bool, response: &mut Response) {
    let Payload::Events(events) = &mut response.payload else {
        return cut_body(api, ending, response);
    };
    match ending {
        Ending::Empty => events.clear(),
        // Without a recorded answer there is its opening only.
        _ if !answered => {}
        _ => events.truncate(events.len().div_ceil(2).max(1)),
    }
    if ending == Ending::ErrorEvent {
        let (name, data) = failure::event(api);
        let t_ms = events.last().map_or(0.0, |event| event.t_ms);
        events.push(Event { t_ms, event: name.map(str::to_string), data: data.to_string() });
    }
    response.end = match ending {
        Ending::Empty => End::Complete,
        Ending::Close => End::Close,
        Ending::Reset => End::Reset,
        Ending::ErrorEvent => End::ErrorEvent,
    };
}

/// An answer in one piece breaks off in its middle; it has no place for an error event but the error itself.
fn cut_body(api: &Api, ending: Ending, response: &mut Response) {
    if ending == Ending::ErrorEvent {
        *response =
            failure::Failure { status: 500, retry_after: None, after: Duration::ZERO }.plan(api).response.unwrap_or(response.clone());
        return;
    }
    let text = match &response.payload {
        Payload::Json(json) => json.to_string(),
        Payload::Text(text) => text.clone(),
        _ => String::new(),
    };
    response.payload = match ending {
        Ending::Empty => Payload::Empty,
        _ => Payload::Text(answer::first_half(&text).to_string()),
    };
    response.end = match ending {
        Ending::Empty => End::Complete,
        Ending::Reset => End::Reset,
        _ => End::Close,
    };
}
