//! What one exchange with a model server says: one attempt of a model call.

use super::{End, Event, Exchange, Payload, Response, anthropic, filter, openai_chat, openai_responses};
use crate::tree::Tree;
use serde_json::Value;

/// The API that an exchange speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Api {
    /// OpenAI chat completions, Azure's and every compatible server's.
    OpenAiChat,
    /// OpenAI's older text completions, which many servers still offer.
    OpenAiCompletions,
    /// OpenAI Responses.
    OpenAiResponses,
    /// Anthropic Messages.
    Anthropic,
    /// Another API, by name; no model call.
    Other(String),
}

impl Api {
    /// The API of an exchange, by its path, else by the shape of its body.
    pub fn of(exchange: &Exchange) -> Self {
        let path = exchange.request.path.split('?').next().unwrap_or_default().trim_end_matches('/');
        let is_post = exchange.request.method.is_empty() || exchange.request.method.eq_ignore_ascii_case("POST");
        for (end, api) in [
            ("/chat/completions", Self::OpenAiChat),
            ("/completions", Self::OpenAiCompletions),
            ("/responses", Self::OpenAiResponses),
            ("/messages", Self::Anthropic),
        ] {
            if path.ends_with(end) {
                return if is_post { api } else { Self::Other(path.trim_start_matches('/').to_string()) };
            }
        }
        Self::Other(other(path))
    }
}

fn other(path: &str) -> String {
    let words = path.rsplit('/').take_while(|word| !matches!(*word, "v1" | "openai" | "")).collect::<Vec<_>>();
    let name = words.into_iter().rev().collect::<Vec<_>>().join("/");
    if name.is_empty() { path.to_string() } else { name }
}

/// A tool that the model asked for, as the wire has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolCall {
    /// The call's id.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments, raw: JSON or not.
    pub arguments: String,
}

/// Tokens, as far as the provider told them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// The whole prompt, cached parts included.
    pub input: Option<u64>,
    /// The whole answer, reasoning included.
    pub output: Option<u64>,
    /// The part of the prompt that was read from a cache.
    pub cached: Option<u64>,
    /// The part of the answer that was reasoning.
    pub reasoning: Option<u64>,
}

impl Usage {
    /// Without what nobody counted: a prompt has at least one token, so a server that says 0 of it says nothing, and one
    /// that says 0 of the answer, too, counts nothing at all.
    fn counted(self) -> Self {
        match (self.input, self.output.unwrap_or(0)) {
            (Some(0), 0) => Self::default(),
            (Some(0), _) => Self { input: None, ..self },
            _ => self,
        }
    }
}

/// Why a provider did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderError {
    /// The provider's type or code.
    pub kind: String,
    /// Its message.
    pub message: String,
}

/// One attempt of a model call.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// The exchange's place in its file.
    pub seq: u64,
    /// When the request arrived, in nanoseconds since 1970, where the file says.
    pub began_ns: Option<u64>,
    /// The API.
    pub api: Api,
    /// The model that was asked for.
    pub model_requested: Option<String>,
    /// The model that answered.
    pub model_responded: Option<String>,
    /// The provider's id of the answer.
    pub response_id: Option<String>,
    /// Whether a stream was asked for.
    pub streamed: bool,
    /// The HTTP status; none when nothing was answered.
    pub status: Option<u16>,
    /// How the answer ended; none when nothing was answered.
    pub end: Option<End>,
    /// Seconds to the first event that carries content: text, refusal, reasoning or a tool call.
    pub first_token: Option<f64>,
    /// Seconds to the end.
    pub total: Option<f64>,
    /// The answer's text.
    pub text: Option<String>,
    /// The refusal, where the provider keeps one apart.
    pub refusal: Option<String>,
    /// The tools that were asked for.
    pub tool_calls: Vec<ToolCall>,
    /// The finish reason in the provider's word.
    pub finish: Option<String>,
    /// Tokens.
    pub usage: Usage,
    /// Why there is no answer.
    pub error: Option<ProviderError>,
    /// The categories for which the provider's filter stopped it, where it names them.
    pub filtered: Vec<String>,
    /// The SDK's own count of retries before this attempt.
    pub retry_header: Option<u64>,
    /// The caller's span.
    pub traceparent: Option<String>,
    /// How long the provider asked to wait, in seconds.
    pub retry_after: Option<f64>,
    /// The first event of the stream, from 1 on, that begins as JSON and is none: what it said is lost.
    pub broken_event: Option<usize>,
}

/// What the body of an answer says, in neutral form.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) model: Option<String>,
    pub(super) id: Option<String>,
    pub(super) text: Option<String>,
    pub(super) refusal: Option<String>,
    pub(super) tool_calls: Vec<ToolCall>,
    pub(super) finish: Option<String>,
    pub(super) usage: Usage,
    pub(super) error: Option<ProviderError>,
    pub(super) filtered: Vec<String>,
    /// The index of the first event with content.
    pub(super) first_content: Option<usize>,
    /// The index of the first event that begins as JSON and is none.
    pub(super) broken: Option<usize>,
}

impl Answer {
    /// The JSON of an event's data; none for `[DONE]` and for what is no JSON.
    pub(super) fn data<'t>(&mut self, index: usize, text: &'t str) -> Option<Tree<'t>> {
        let text = text.trim();
        if text == "[DONE]" {
            return None;
        }
        let json = Tree::parse(text);
        if json.is_none() && text.starts_with('{') {
            self.broken.get_or_insert(index);
        }
        json
    }

    pub(super) fn push_text(&mut self, text: &str) {
        self.text.get_or_insert_default().push_str(text);
    }

    pub(super) fn push_refusal(&mut self, text: &str) {
        self.refusal.get_or_insert_default().push_str(text);
    }

    pub(super) fn content_at(&mut self, index: usize) {
        self.first_content.get_or_insert(index);
    }
}

impl Attempt {
    /// The attempt that an exchange is; none when it speaks another API.
    pub fn of(exchange: &Exchange) -> Option<Self> {
        let api = Api::of(exchange);
        if matches!(api, Api::Other(_)) {
            return None;
        }
        let response = exchange.response.as_ref();
        let answer = response.map(|response| answer(&api, response)).unwrap_or_default();
        Some(Self {
            model_responded: answer.model.filter(|model| !model.is_empty()),
            response_id: answer.id.filter(|id| !id.is_empty()),
            status: response.map(|response| response.status),
            end: response.map(|response| response.end),
            first_token: first_token(response, answer.first_content),
            total: exchange.ms.map(|ms| ms / 1e3).or_else(|| last_event(response)),
            text: answer.text,
            refusal: answer.refusal.filter(|text| !text.is_empty()),
            tool_calls: answer.tool_calls,
            finish: answer.finish,
            usage: answer.usage.counted(),
            error: answer.error,
            filtered: answer.filtered,
            retry_after: response.and_then(retry_after),
            broken_event: answer.broken.map(|index| index + 1),
            ..Self::asked(exchange, api)
        })
    }

    /// What a request says of the attempt that it is; nothing of an answer.
    fn asked(exchange: &Exchange, api: Api) -> Self {
        let body = &exchange.request.body;
        let header = |name: &str| exchange.request.headers.get(name).map(String::as_str);
        Self {
            seq: exchange.seq,
            began_ns: exchange.at.as_deref().and_then(nanos),
            api,
            model_requested: body.get("model").and_then(Value::as_str).map(str::to_string),
            model_responded: None,
            response_id: None,
            streamed: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
            status: None,
            end: None,
            first_token: None,
            total: None,
            text: None,
            refusal: None,
            tool_calls: Vec::new(),
            finish: None,
            usage: Usage::default(),
            error: None,
            filtered: Vec::new(),
            retry_header: header("x-stainless-retry-count").and_then(|count| count.parse().ok()),
            traceparent: header("traceparent").map(str::to_string),
            retry_after: None,
            broken_event: None,
        }
    }

    /// The same answer given to another request of the same API, as a recording gives it again.
    pub fn given_to(self, exchange: &Exchange) -> Self {
        let asked = Self::asked(exchange, self.api);
        Self {
            api: asked.api,
            seq: asked.seq,
            began_ns: asked.began_ns,
            model_requested: asked.model_requested,
            streamed: asked.streamed,
            retry_header: asked.retry_header,
            traceparent: asked.traceparent,
            ..self
        }
    }

    /// Whether there was no usable answer: an HTTP error, an error event, a broken or empty stream, or nothing at all.
    pub fn failed(&self) -> bool {
        let nothing = self.text.as_deref().unwrap_or_default().is_empty() && self.refusal.is_none() && self.tool_calls.is_empty();
        match self.status {
            None => true,
            Some(status) if status >= 400 => true,
            Some(_) => self.error.is_some() || matches!(self.end, Some(End::Reset | End::ErrorEvent)) || (self.finish.is_none() && nothing),
        }
    }

    /// Whether the request was refused for what it says, so that the same one is refused again.
    pub fn rejected(&self) -> bool {
        matches!(self.status, Some(400 | 404 | 405 | 413 | 414 | 415 | 422)) && self.end == Some(End::Complete)
    }

    /// Whether the failure was the provider's or the network's, so that the same request might have been answered.
    pub fn failed_by_chance(&self) -> bool {
        match self.status {
            Some(status @ 400..=499) => matches!(status, 408 | 409 | 425 | 429),
            _ => !self.finished(),
        }
    }

    /// Whether the answer is whole: it has a finish reason and ended as it should.
    pub fn finished(&self) -> bool {
        !self.failed() && self.finish.is_some() && self.end == Some(End::Complete)
    }

    /// Whether it says something of the candidate: a whole answer, be it a refusal, or the block of a provider's filter.
    ///
    /// Everything else is the provider's or the network's failure, which no recording holds.
    pub fn is_content(&self) -> bool {
        self.broken_event.is_none() && (self.finished() || (self.blocked() && self.end == Some(End::Complete)))
    }

    /// Whether the answer stops before its end: at the token limit, or because the stream ended without a finish reason.
    pub fn truncated(&self) -> bool {
        let begun = matches!(self.status, Some(status) if status < 400);
        let limit = matches!(
            self.finish.as_deref(),
            Some("length" | "max_tokens" | "max_output_tokens" | "incomplete" | "model_context_window_exceeded")
        );
        begun
            && (limit
                || (self.finish.is_none() && self.error.is_none())
                || matches!(self.end, Some(End::Close | End::Reset | End::ErrorEvent)))
    }

    /// Whether a filter of the provider stopped the request or the answer.
    pub fn blocked(&self) -> bool {
        let by_error = self.error.as_ref().is_some_and(|error| {
            let text = format!("{} {}", error.kind, error.message).to_lowercase();
            text.contains("content_filter") || text.contains("content management policy") || text.contains("responsibleaipolicyviolation")
        });
        self.finish.as_deref() == Some("content_filter") || by_error
    }

    /// Whether the model refused, where a field says so.
    pub fn refused(&self) -> bool {
        self.refusal.is_some() || self.finish.as_deref() == Some("refusal")
    }
}

fn nanos(at: &str) -> Option<u64> {
    let time = chrono::DateTime::parse_from_rfc3339(at.trim()).ok()?;
    u64::try_from(time.timestamp_nanos_opt()?).ok()
}

fn answer(api: &Api, response: &Response) -> Answer {
    let mut answer = match (api, &response.payload) {
        (Api::OpenAiChat | Api::OpenAiCompletions, Payload::Events(events)) => openai_chat::stream(events),
        (Api::OpenAiChat | Api::OpenAiCompletions, Payload::Json(json)) => openai_chat::body(&json.into()),
        (Api::OpenAiResponses, Payload::Events(events)) => openai_responses::stream(events),
        (Api::OpenAiResponses, Payload::Json(json)) => openai_responses::body(&json.into()),
        (Api::Anthropic, Payload::Events(events)) => anthropic::stream(events),
        (Api::Anthropic, Payload::Json(json)) => anthropic::body(&json.into()),
        _ => Answer::default(),
    };
    if let (Some(_), Payload::Json(json)) = (&answer.error, &response.payload) {
        answer.filtered = filter::of_error(&json.into());
    }
    if response.status >= 400 && answer.error.is_none() {
        answer.error = Some(ProviderError { kind: format!("http-{}", response.status), message: String::new() });
    }
    answer
}

/// The error object of a body or an event, in any provider's form.
pub(super) fn error(json: &Tree<'_>) -> Option<ProviderError> {
    let error = json.get("error").filter(|error| !error.is_null())?;
    let inner = || error.at(&["innererror", "code"]).and_then(Tree::as_str);
    let kind = error.text("code").or_else(|| error.text("type")).or_else(inner).unwrap_or("error");
    let message = error.text("message").or_else(|| error.as_str()).unwrap_or_default();
    Some(ProviderError { kind: kind.to_string(), message: message.to_string() })
}

/// The events of a stream whose times are known: a cassette keeps none, and then they are all 0.
fn timed_events(response: Option<&Response>) -> Option<&[Event]> {
    match &response?.payload {
        Payload::Events(events) => Some(events.as_slice()).filter(|events| events.iter().any(|event| event.t_ms > 0.0)),
        _ => None,
    }
}

fn first_token(response: Option<&Response>, index: Option<usize>) -> Option<f64> {
    timed_events(response)?.get(index?).map(|event| event.t_ms / 1e3)
}

fn last_event(response: Option<&Response>) -> Option<f64> {
    timed_events(response)?.last().map(|event| event.t_ms / 1e3)
}

fn retry_after(response: &Response) -> Option<f64> {
    let header = |name: &str| response.headers.get(name).and_then(|value| value.trim().parse::<f64>().ok());
    header("retry-after-ms").map(|ms| ms / 1e3).or_else(|| header("retry-after")).filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::read_line;

    fn attempt(path: &str, response: &serde_json::Value) -> Option<Attempt> {
        let line = serde_json::json!({"request": {"method": "POST", "path": path, "body": {"stream": true}}, "response": response});
        Attempt::of(&read_line(&line.to_string()).unwrap())
    }

    #[test]
    fn a_stream_that_was_kept_as_one_text_is_read_like_events() {
        let stream = "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n\
                      data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        for response in [
            serde_json::json!({"status": 200, "sse_text": stream}),
            serde_json::json!({"status": 200, "headers": {"content-type": "text/event-stream"}, "body": stream}),
        ] {
            let attempt = attempt("/v1/chat/completions", &response).unwrap();
            assert_eq!((attempt.text.as_deref(), attempt.finish.as_deref(), attempt.finished()), (Some("hi"), Some("stop"), true));
        }
    }

    #[test]
    fn an_older_text_completion_is_a_model_call() {
        let body = serde_json::json!({"choices": [{"index": 0, "text": "a day", "finish_reason": "length"}], "usage": {"prompt_tokens": 4, "completion_tokens": 2}});
        let attempt = attempt("/v1/completions", &serde_json::json!({"status": 200, "body": body})).unwrap();
        assert_eq!((attempt.text.as_deref(), attempt.truncated(), attempt.usage.input), (Some("a day"), true, Some(4)));
    }

    #[test]
    fn tokens_that_nobody_counted_are_not_told() {
        let usage = |input: u64, output: u64| {
            let usage = serde_json::json!({"prompt_tokens": input, "completion_tokens": output});
            let body = serde_json::json!({"choices": [{"index": 0, "text": "a", "finish_reason": "stop"}], "usage": usage});
            let attempt = attempt("/v1/completions", &serde_json::json!({"status": 200, "body": body})).unwrap();
            (attempt.usage.input, attempt.usage.output)
        };
        assert_eq!([usage(0, 0), usage(0, 2), usage(4, 0)], [(None, None), (None, Some(2)), (Some(4), Some(0))]);
    }

    #[test]
    fn what_is_no_model_call_is_named() {
        for (path, name) in [("/v1/embeddings", "embeddings"), ("/v1/messages/count_tokens", "messages/count_tokens")] {
            let line = serde_json::json!({"request": {"method": "POST", "path": path}, "response": {"status": 200, "body": {}}});
            assert_eq!(Api::of(&read_line(&line.to_string()).unwrap()), Api::Other(name.into()));
        }
    }

    #[test]
    fn a_tool_call_without_arguments_has_none() {
        let call = serde_json::json!({"index": 0, "id": "0", "function": {"name": "version", "arguments": null}});
        let body = serde_json::json!({"choices": [{"index": 0, "message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]});
        let attempt = attempt("/v1/chat/completions", &serde_json::json!({"status": 200, "body": body})).unwrap();
        assert_eq!(attempt.tool_calls[0].arguments, "");
    }
}
