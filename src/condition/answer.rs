//! Answers written anew in a provider's API, for what no recording holds: refused, filtered, cut off at a limit.

mod anthropic;
mod openai_chat;
mod openai_responses;

use crate::wire::call::{Api, Attempt, Usage};
use crate::wire::{End, Event, Payload, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a model says that refuses.
const REFUSAL: &str = "I'm sorry, but I can't help with that.";
/// Characters of one piece of a stream.
const PIECE: usize = 16;
/// When the answer was made, in Unix seconds: always the same, so that replays are.
const CREATED: u64 = 1_767_225_600;

/// Gives an attempt another finish reason, and what goes with it: a refusal has no answer, a limit or a filter half of it.
pub(super) fn finish(attempt: &mut Attempt, word: &str) {
    let word = native(&attempt.api, word);
    attempt.finish = Some(word.to_string());
    match word {
        "refusal" => {
            attempt.text = None;
            attempt.tool_calls.clear();
            attempt.refusal = Some(REFUSAL.to_string());
        }
        "length" | "max_tokens" | "max_output_tokens" | "model_context_window_exceeded" | "incomplete" | "content_filter" => {
            attempt.text = attempt.text.as_deref().map(first_half).map(str::to_string);
            if let Some(call) = attempt.tool_calls.last_mut() {
                call.arguments = first_half(&call.arguments).to_string();
            }
        }
        _ => {}
    }
}

/// The word of an API for a finish reason that another API has another word for; one case runs on targets of several.
fn native<'a>(api: &Api, word: &'a str) -> &'a str {
    match (api, word) {
        (Api::OpenAiChat, "max_tokens" | "max_output_tokens") => "length",
        (Api::OpenAiResponses, "length" | "max_tokens") => "max_output_tokens",
        (Api::OpenAiResponses, "stop" | "end_turn") => "completed",
        (Api::Anthropic, "length" | "max_output_tokens") => "max_tokens",
        (Api::Anthropic, "content_filter") => "refusal",
        (Api::Anthropic, "stop" | "completed") => "end_turn",
        (Api::Anthropic, "tool_calls") => "tool_use",
        (Api::OpenAiChat, "end_turn" | "completed") => "stop",
        (Api::OpenAiChat, "tool_use") => "tool_calls",
        _ => word,
    }
}

/// The first half of a text, whole characters only.
pub(super) fn first_half(text: &str) -> &str {
    let end = (0..=text.len() / 2).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// The answer of an attempt, streamed when a stream was asked for.
pub(super) fn response(api: &Api, attempt: &Attempt, asked: &Value, mut headers: BTreeMap<String, String>) -> Response {
    let attempt = identified(api, attempt);
    let said = Said { attempt: &attempt, asked };
    let (kind, payload) = if attempt.streamed {
        ("text/event-stream; charset=utf-8", Payload::Events(timed(&attempt, said.events(api))))
    } else {
        ("application/json", Payload::Json(said.body(api)))
    };
    headers.insert("content-type".into(), kind.into());
    Response { status: 200, headers, payload, cuts: Vec::new(), end: End::Complete }
}

/// The opening of an answer that says nothing.
pub(super) fn empty(api: &Api, asked: &Value) -> Response {
    let streamed = asked.get("stream").and_then(Value::as_bool).unwrap_or(false);
    let attempt = blank(api.clone(), asked, streamed);
    let mut response = response(api, &attempt, asked, BTreeMap::new());
    if let Payload::Events(events) = &mut response.payload {
        events.truncate(1);
    }
    response
}

fn blank(api: Api, asked: &Value, streamed: bool) -> Attempt {
    let exchange = crate::wire::Exchange {
        seq: 1,
        ms: Some(0.0),
        at: None,
        upstream: None,
        trial: None,
        request: crate::wire::Request { method: "POST".into(), path: path(&api).into(), headers: BTreeMap::new(), body: asked.clone() },
        response: None,
    };
    let mut attempt = Attempt::of(&exchange).expect("the path is a model's");
    attempt.streamed = streamed;
    attempt
}

fn path(api: &Api) -> &'static str {
    match api {
        Api::OpenAiResponses => "/responses",
        Api::Anthropic => "/messages",
        _ => "/chat/completions",
    }
}

/// An answer has an id and a model, and the model is the one that was asked for where nothing else is known.
fn identified(api: &Api, attempt: &Attempt) -> Attempt {
    let mut attempt = attempt.clone();
    let id = match api {
        Api::OpenAiResponses => "resp_conditioned",
        Api::Anthropic => "msg_conditioned",
        _ => "chatcmpl-conditioned",
    };
    attempt.response_id.get_or_insert_with(|| id.to_string());
    attempt.model_responded = attempt.model_responded.or_else(|| attempt.model_requested.clone());
    attempt
}

/// The events spread evenly over the time that the recorded ones took.
fn timed(attempt: &Attempt, events: Vec<(Option<&'static str>, String)>) -> Vec<Event> {
    let (first, total) = (attempt.first_token.unwrap_or(0.0) * 1e3, attempt.total.unwrap_or(0.0) * 1e3);
    // To a thousandth, as a recording has it.
    let step = ((total - first).max(0.0) / events.len().max(1) as f64 * 1e3).floor() / 1e3;
    let timed = |(index, (event, data)): (usize, (Option<&'static str>, String))| Event {
        t_ms: first + step * index as f64,
        event: event.map(str::to_string),
        data,
    };
    events.into_iter().enumerate().map(timed).collect()
}

/// What is to be said, and what was asked.
struct Said<'a> {
    attempt: &'a Attempt,
    asked: &'a Value,
}

impl Said<'_> {
    fn body(&self, api: &Api) -> Value {
        match api {
            Api::OpenAiResponses => openai_responses::body(self),
            Api::Anthropic => anthropic::body(self),
            _ => openai_chat::body(self),
        }
    }

    fn events(&self, api: &Api) -> Vec<(Option<&'static str>, String)> {
        match api {
            Api::OpenAiResponses => openai_responses::events(self),
            Api::Anthropic => anthropic::events(self),
            _ => openai_chat::events(self),
        }
    }

    fn id(&self) -> &str {
        self.attempt.response_id.as_deref().unwrap_or_default()
    }

    fn model(&self) -> &str {
        self.attempt.model_responded.as_deref().unwrap_or_default()
    }

    fn text(&self) -> &str {
        self.attempt.text.as_deref().unwrap_or_default()
    }

    fn finish(&self) -> &str {
        self.attempt.finish.as_deref().unwrap_or("stop")
    }

    fn usage(&self) -> Usage {
        self.attempt.usage
    }
}

/// The pieces in which a stream tells a text.
fn pieces(text: &str) -> Vec<&str> {
    let mut rest = text;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let end = rest.char_indices().nth(PIECE).map_or(rest.len(), |(at, _)| at);
        pieces.push(&rest[..end]);
        rest = &rest[end..];
    }
    pieces
}

/// Tool arguments as JSON; what is none stays a text.
fn parsed(arguments: &str) -> Value {
    serde_json::from_str(arguments).unwrap_or_else(|_| json!(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::call::ToolCall;
    use crate::wire::{Exchange, Request};

    const APIS: [Api; 3] = [Api::OpenAiChat, Api::OpenAiResponses, Api::Anthropic];

    fn attempt(api: &Api, streamed: bool) -> Attempt {
        let mut attempt = blank(api.clone(), &json!({"model": "m", "stream": streamed}), streamed);
        attempt.text = Some("Grüße aus der Küche, und noch ein paar Wörter mehr.".into());
        attempt.tool_calls = vec![ToolCall { id: "call_1".into(), name: "lookup".into(), arguments: r#"{"id": "A-1"}"#.into() }];
        attempt.finish = Some(if *api == Api::OpenAiResponses { "completed" } else { "stop" }.into());
        attempt.usage = Usage { input: Some(9), output: Some(4), cached: Some(0), reasoning: None };
        attempt
    }

    /// What the wire reads of an answer that was written.
    fn read(api: &Api, attempt: &Attempt) -> Attempt {
        let asked = json!({"model": "m", "stream": attempt.streamed, "stream_options": {"include_usage": true}});
        let request = Request { method: "POST".into(), path: path(api).into(), headers: BTreeMap::new(), body: asked.clone() };
        let response = Some(response(api, attempt, &asked, BTreeMap::new()));
        Attempt::of(&Exchange { seq: 1, ms: Some(1.0), at: None, upstream: None, trial: None, request, response }).unwrap()
    }

    #[test]
    fn what_is_written_is_read_as_it_was_meant() {
        for api in APIS {
            for streamed in [true, false] {
                let meant = attempt(&api, streamed);
                let told = read(&api, &meant);
                assert_eq!((&told.text, &told.usage, &told.finish), (&meant.text, &meant.usage, &meant.finish), "{api:?} {streamed}");
                assert_eq!(told.tool_calls[0].name, "lookup");
                assert_eq!(parsed(&told.tool_calls[0].arguments), json!({"id": "A-1"}), "{api:?} {streamed}");
                assert_eq!(told.model_responded.as_deref(), Some("m"));
                assert!(told.finished());
            }
        }
    }

    #[test]
    fn a_refusal_is_one_in_every_api() {
        for api in APIS {
            for streamed in [true, false] {
                let mut refused = attempt(&api, streamed);
                finish(&mut refused, "refusal");
                let told = read(&api, &refused);
                assert!(told.refused() && told.tool_calls.is_empty() && told.text.unwrap_or_default().is_empty(), "{api:?} {streamed}");
            }
        }
    }

    #[test]
    fn a_limit_leaves_half_of_the_answer_and_of_the_last_arguments() {
        for (api, word) in [(Api::OpenAiChat, "length"), (Api::OpenAiResponses, "max_output_tokens"), (Api::Anthropic, "max_tokens")] {
            let mut cut = attempt(&api, true);
            finish(&mut cut, "length");
            let told = read(&api, &cut);
            assert!(told.truncated(), "{api:?}");
            assert_eq!(told.tool_calls[0].arguments, r#"{"id":"#);
            assert!(told.text.unwrap().starts_with("Grüße") && told.finish.as_deref() == Some(word));
        }
    }

    #[test]
    fn raw_arguments_survive_a_stream() {
        for api in APIS {
            let mut broken = attempt(&api, true);
            broken.tool_calls[0].arguments = r#"{"id": "A-10"#.into();
            assert_eq!(read(&api, &broken).tool_calls[0].arguments, r#"{"id": "A-10"#, "{api:?}");
        }
    }
}
