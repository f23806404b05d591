//! Conditions: what a replay does to an application's calls, besides answering them as recorded.

mod answer;
pub mod failure;
mod shape;

use crate::case::Case;
use crate::disk::Root;
use crate::fault::{Fault, Faults};
use crate::limit;
use crate::wire::call::{Api, Attempt};
use crate::wire::{self, End, Exchange, Payload, Response};
use camino::Utf8PathBuf;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use failure::Failure;
pub use shape::{Ending, Shape};

/// The conditions of a case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conditions {
    /// What happens to model calls, in the order written.
    pub model: Vec<Condition>,
    /// Requests that the incident's provider rejected for what they say, with its answers: they get them again.
    pub rejected: Vec<Exchange>,
    /// What every request to an upstream is answered, by variable.
    pub upstream: BTreeMap<String, Response>,
}

/// A condition of model calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Which distinct request it meets, from 1; none means every one.
    pub call: Option<u32>,
    /// How many attempts of it.
    pub times: u32,
    /// What happens to them.
    pub effect: Effect,
}

/// What happens to an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// An HTTP error answers it.
    Fail(Failure),
    /// The answer is another one than the recording has: late, cut, refused.
    Shape(Shape),
    /// What the incident's wire shows happens again, byte for byte.
    Repeat(Box<Exchange>),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.call {
            Some(call) => write!(f, "call {call}: {}", self.effect)?,
            None => write!(f, "any call: {}", self.effect)?,
        }
        if self.times > 1 { write!(f, ", {} times", self.times) } else { Ok(()) }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fail(failure) => write!(f, "status {}", failure.status),
            Self::Shape(shape) => shape.fmt(f),
            Self::Repeat(exchange) => match &exchange.response {
                Some(response) if response.status >= 400 => write!(f, "status {} as in the incident", response.status),
                Some(response) => write!(f, "end {} as in the incident", response.end.word()),
                None => f.write_str("no answer as in the incident"),
            },
        }
    }
}

impl Effect {
    /// The effect on a request: what happened to one API happens to another in that one's own form.
    pub fn on(&self, asked: &Exchange) -> Cow<'_, Self> {
        let Self::Repeat(exchange) = self else { return Cow::Borrowed(self) };
        let Some(response) = &exchange.response else { return Cow::Borrowed(self) };
        let is_error = response.status >= 400;
        let streams = |exchange: &Exchange| exchange.request.body.get("stream").and_then(Value::as_bool).unwrap_or(false);
        if Api::of(asked) == Api::of(exchange) && (is_error || streams(asked) == streams(exchange)) {
            return Cow::Borrowed(self);
        }
        let retry_after = Attempt::of(exchange).and_then(|attempt| Duration::try_from_secs_f64(attempt.retry_after?).ok());
        let end = match response.end {
            _ if is_error => return Cow::Owned(Self::Fail(Failure { status: response.status, retry_after, after: Duration::ZERO })),
            End::ClientGone => return Cow::Owned(Self::Repeat(Box::new(Exchange { response: None, ..(**exchange).clone() }))),
            End::Complete => Ending::Empty,
            End::Close => Ending::Close,
            End::Reset => Ending::Reset,
            End::ErrorEvent => Ending::ErrorEvent,
        };
        Cow::Owned(Self::Shape(Shape { end: Some(end), ..Shape::default() }))
    }
}

/// An answer to be played to the application.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What is answered; none when nothing ever is, and the client has to give up.
    pub response: Option<Response>,
    /// Milliseconds that it takes, recorded or conditioned: not waited for.
    pub ms: Option<f64>,
    /// How long the application really waits for the head: its own timeouts must fire.
    pub before: Duration,
    /// How long it really waits between two events.
    pub between: Duration,
}

impl Plan {
    /// The answer as it was recorded, without waiting.
    pub fn recorded(exchange: Exchange) -> Self {
        Self { response: exchange.response, ms: exchange.ms, before: Duration::ZERO, between: Duration::ZERO }
    }

    /// An error of our own in the form of an API, which no SDK tries again.
    pub fn refused(api: &Api, status: u16, kind: &str, message: &str) -> Self {
        let mut response = failure::response(api, status, kind, message);
        response.headers.insert("x-should-retry".into(), "false".into());
        Self::at_once(response)
    }

    /// An answer that comes at once.
    pub fn at_once(response: Response) -> Self {
        Self { response: Some(response), ms: Some(0.0), before: Duration::ZERO, between: Duration::ZERO }
    }
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    model: Vec<WrittenModel>,
    #[serde(default)]
    rejected: Vec<Reference>,
    #[serde(default)]
    upstream: BTreeMap<String, WrittenUpstream>,
}

#[derive(Deserialize)]
struct WrittenModel {
    call: Option<u32>,
    #[serde(default = "once")]
    times: u32,
    status: Option<u16>,
    retry_after: Option<f64>,
    first_token: Option<f64>,
    chunk_delay: Option<f64>,
    end: Option<String>,
    finish: Option<String>,
    tool_arguments: Option<String>,
    exchange: Option<Reference>,
}

/// An exchange of the incident's wire.
#[derive(Deserialize)]
struct Reference {
    file: String,
    /// Its place in the file, from 1.
    number: usize,
}

#[derive(Deserialize)]
struct WrittenUpstream {
    status: u16,
    json: Option<Value>,
    text: Option<String>,
}

fn once() -> u32 {
    1
}

impl Conditions {
    /// The conditions of a compiled case.
    ///
    /// # Errors
    /// A compiled case that this version did not write, and a wire that cannot be read or lacks the exchange named.
    pub fn of(root: &Root, case: &Case) -> Result<Self, Faults> {
        let file = Case::path(&case.id);
        let stale = |why: String| Fault::new(format!("conditions: {why}")).in_file(file.clone()).help("run `relapse compile`");
        let written: Written = serde_json::from_value(case.conditions.clone()).map_err(|error| stale(error.to_string()))?;
        let mut wires: BTreeMap<String, Vec<Exchange>> = BTreeMap::new();
        let mut model = Vec::new();
        for item in written.model {
            let (call, times) = (item.call, item.times);
            let effect = match &item.exchange {
                Some(named) => Effect::Repeat(Box::new(repeated(root, case, named, &mut wires)?)),
                None => item.effect().map_err(stale)?,
            };
            model.push(Condition { call, times, effect });
        }
        let rejected = written.rejected.iter().map(|named| repeated(root, case, named, &mut wires)).collect::<Result<_, _>>()?;
        let upstream = written.upstream.into_iter().map(|(variable, written)| (variable, written.response())).collect();
        Ok(Self { model, rejected, upstream })
    }

    /// What happens to an attempt of a distinct request, both from 1, and the condition's place in the list.
    ///
    /// Conditions of one request are met one after the other, each by as many attempts as it says.
    pub fn met(&self, call: u32, attempt: u32) -> Option<(usize, &Effect)> {
        let mut met: u32 = 0;
        for (index, condition) in self.model.iter().enumerate() {
            if condition.call.is_some_and(|named| named != call) {
                continue;
            }
            met = met.saturating_add(condition.times);
            if attempt <= met {
                return Some((index, &condition.effect));
            }
        }
        None
    }
}

fn repeated(root: &Root, case: &Case, named: &Reference, wires: &mut BTreeMap<String, Vec<Exchange>>) -> Result<Exchange, Faults> {
    let path = Utf8PathBuf::from(format!("postmortems/{}/{}", case.id, named.file));
    if !wires.contains_key(&named.file) {
        wires.insert(named.file.clone(), wire::read(&root.read_text(&path, limit::TRACE_BYTES)?, path.as_str())?);
    }
    let found = wires.get(&named.file).and_then(|exchanges| {
        let (before, later) = exchanges.split_at_checked(named.number)?;
        Some(as_seen(before.last()?, later))
    });
    found.ok_or_else(|| {
        Fault::new(format!("exchange {} is not there, and a condition repeats it", named.number))
            .in_file(path)
            .help("run `relapse compile`")
            .into()
    })
}

/// An exchange as its client saw it. A server may have begun an answer that its client never saw begin: an SDK tries again
/// only what had no head, and counts its retries.
fn as_seen(exchange: &Exchange, later: &[Exchange]) -> Exchange {
    let left_at_once = |response: &Response| {
        let nothing = matches!(&response.payload, Payload::Events(events) if events.is_empty()) || response.payload == Payload::Empty;
        response.end == End::ClientGone && nothing
    };
    let next = later.iter().find(|later| later.request.body == exchange.request.body);
    let was_retried = next.and_then(Attempt::of).and_then(|attempt| attempt.retry_header).is_some_and(|count| count > 0);
    let response = exchange.response.clone().filter(|response| !(was_retried && left_at_once(response)));
    Exchange { response, ..exchange.clone() }
}

impl WrittenModel {
    fn effect(self) -> Result<Effect, String> {
        let wait = |seconds: Option<f64>| seconds.map(Duration::try_from_secs_f64).transpose().map_err(|error| error.to_string());
        let (first_token, retry_after) = (wait(self.first_token)?, wait(self.retry_after)?);
        if let Some(status) = self.status {
            return Ok(Effect::Fail(Failure { status, retry_after, after: first_token.unwrap_or_default() }));
        }
        let end = self.end.filter(|word| word != "complete");
        let end = end.map(|word| shape::Ending::of(&word).ok_or(format!("unknown end `{word}`"))).transpose()?;
        Ok(Effect::Shape(Shape {
            first_token,
            chunk_delay: wait(self.chunk_delay)?,
            end,
            finish: self.finish,
            tool_arguments: self.tool_arguments,
        }))
    }
}

impl WrittenUpstream {
    fn response(self) -> Response {
        let (payload, kind) = match (self.json, self.text) {
            (Some(json), _) => (Payload::Json(json), "application/json"),
            (None, Some(text)) => (Payload::Text(text), "text/plain; charset=utf-8"),
            (None, None) => {
                return Response {
                    status: self.status,
                    headers: BTreeMap::new(),
                    payload: Payload::Empty,
                    cuts: Vec::new(),
                    end: End::Complete,
                };
            }
        };
        let headers = BTreeMap::from([("content-type".to_string(), kind.to_string())]);
        Response { status: self.status, headers, payload, cuts: Vec::new(), end: End::Complete }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn conditions(model: Value) -> Conditions {
        let written: Written = serde_json::from_value(json!({"model": model})).unwrap();
        let model = written.model.into_iter().map(|item| Condition { call: item.call, times: item.times, effect: item.effect().unwrap() });
        Conditions { model: model.collect(), ..Conditions::default() }
    }

    fn status(found: Option<(usize, &Effect)>) -> Option<u16> {
        match found {
            Some((_, Effect::Fail(failure))) => Some(failure.status),
            _ => None,
        }
    }

    #[test]
    fn conditions_of_one_call_are_met_one_after_the_other() {
        let conditions =
            conditions(json!([{"call": 1, "status": 429, "times": 2}, {"call": 2, "status": 500}, {"call": 1, "status": 503}]));
        let met: Vec<_> = (1..=4).map(|attempt| status(conditions.met(1, attempt))).collect();
        assert_eq!(met, [Some(429), Some(429), Some(503), None]);
        assert_eq!((status(conditions.met(2, 1)), status(conditions.met(2, 2)), status(conditions.met(3, 1))), (Some(500), None, None));
    }

    #[test]
    fn what_happened_to_one_api_happens_to_another_in_its_own_form() {
        let exchange = |path: &str, response: Value| {
            let line = json!({"request": {"method": "POST", "path": path, "body": {"stream": true}}, "response": response});
            wire::read_line(&line.to_string()).unwrap()
        };
        let asked = exchange("/v1/messages", Value::Null);
        let on = |response: Value| Effect::Repeat(Box::new(exchange("/v1/chat/completions", response))).on(&asked).into_owned();
        let failed = on(json!({"status": 429, "headers": {"retry-after": "2"}, "body": {"error": {}}}));
        assert_eq!(failed, Effect::Fail(Failure { status: 429, retry_after: Some(Duration::from_secs(2)), after: Duration::ZERO }));
        let cut = on(json!({"status": 200, "sse": [], "end": "reset"}));
        assert_eq!(cut, Effect::Shape(Shape { end: Some(Ending::Reset), ..Shape::default() }));
        assert!(matches!(on(Value::Null), Effect::Repeat(_)));
        let same = Effect::Repeat(Box::new(exchange("/v1/messages", json!({"status": 200, "sse": [], "end": "reset"}))));
        assert_eq!(*same.on(&asked), same);
    }

    #[test]
    fn a_head_that_the_client_did_not_see_is_not_repeated() {
        let asked = |count: &str, response: Value| {
            let request =
                json!({"method": "POST", "path": "/v1/messages", "headers": {"x-stainless-retry-count": count}, "body": {"stream": true}});
            wire::read_line(&json!({"ms": 2500.0, "request": request, "response": response}).to_string()).unwrap()
        };
        let left = asked("0", json!({"status": 200, "sse": [], "end": "client_gone"}));
        assert_eq!(as_seen(&left, &[asked("1", Value::Null)]).response, None);
        assert_eq!(as_seen(&left, &[asked("0", Value::Null)]), left);
        assert_eq!(as_seen(&left, &[]), left);
        let begun = asked("0", json!({"status": 200, "sse": [{"t_ms": 1.0, "data": "{}"}], "end": "client_gone"}));
        assert_eq!(as_seen(&begun, &[asked("1", Value::Null)]), begun);
    }

    #[test]
    fn a_condition_is_told_in_the_words_that_it_is_written_in() {
        let conditions = conditions(json!([
            {"call": 1, "status": 429, "times": 8},
            {"call": 2, "first_token": 3, "chunk_delay": 0.5, "end": "close"},
            {"finish": "refusal"}, {"call": 1, "tool_arguments": "{"}
        ]));
        let told: Vec<String> = conditions.model.iter().map(Condition::to_string).collect();
        let expected = [
            "call 1: status 429, 8 times",
            "call 2: first_token 3s, chunk_delay 500ms, end close",
            "any call: finish refusal",
            "call 1: tool_arguments {",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_condition_without_a_call_meets_every_one() {
        let conditions = conditions(json!([{"status": 429, "times": 1}]));
        assert_eq!(
            (status(conditions.met(1, 1)), status(conditions.met(7, 1)), status(conditions.met(7, 2))),
            (Some(429), Some(429), None)
        );
    }
}
