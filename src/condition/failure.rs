//! An HTTP error in the shape of the API that was asked, so that SDKs react as they do to the real one.

use super::Plan;
use crate::wire::call::Api;
use crate::wire::{End, Payload, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// An HTTP error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The status, 400 to 599.
    pub status: u16,
    /// What `Retry-After` says.
    pub retry_after: Option<Duration>,
    /// How long the application waits for it.
    pub after: Duration,
}

impl Failure {
    /// The answer of an API.
    pub fn plan(&self, api: &Api) -> Plan {
        let mut response = response(api, self.status, kind(api, self.status), message(self.status));
        if let Some(wait) = self.retry_after {
            retry_after(&mut response.headers, wait);
        }
        let ms = self.after.as_secs_f64() * 1e3;
        Plan { response: Some(response), ms: Some(ms), before: self.after, between: Duration::ZERO }
    }
}

/// `Retry-After` holds whole seconds; what providers send beside it holds milliseconds.
fn retry_after(headers: &mut BTreeMap<String, String>, wait: Duration) {
    headers.insert("retry-after".into(), wait.as_secs_f64().ceil().to_string());
    if wait.subsec_millis() > 0 {
        headers.insert("retry-after-ms".into(), wait.as_millis().to_string());
    }
}

/// An error answer: a type and a message in the API's JSON.
pub fn response(api: &Api, status: u16, kind: &str, message: &str) -> Response {
    let headers = BTreeMap::from([("content-type".to_string(), "application/json".to_string())]);
    Response { status, headers, payload: Payload::Json(body(api, status, kind, message)), cuts: Vec::new(), end: End::Complete }
}

fn body(api: &Api, status: u16, kind: &str, message: &str) -> Value {
    match api {
        Api::Anthropic => json!({"type": "error", "error": {"type": kind, "message": message}}),
        _ => json!({"error": {"message": message, "type": kind, "param": null, "code": code(status)}}),
    }
}

/// The error that ends a stream, as the API's last event has it.
pub(super) fn event(api: &Api) -> (Option<&'static str>, Value) {
    let message = message(500);
    match api {
        Api::Anthropic => (Some("error"), json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})),
        Api::OpenAiResponses => {
            (Some("error"), json!({"type": "error", "code": "server_error", "message": message, "param": null, "sequence_number": 0}))
        }
        _ => (None, json!({"error": {"message": message, "type": "server_error", "param": null, "code": null}})),
    }
}

/// OpenAI names some of its errors by a code as well.
fn code(status: u16) -> Option<&'static str> {
    match status {
        401 => Some("invalid_api_key"),
        404 => Some("model_not_found"),
        429 => Some("rate_limit_exceeded"),
        _ => None,
    }
}

fn kind(api: &Api, status: u16) -> &'static str {
    let anthropic = *api == Api::Anthropic;
    match status {
        401 if anthropic => "authentication_error",
        403 if anthropic => "permission_error",
        404 if anthropic => "not_found_error",
        413 if anthropic => "request_too_large",
        429 => "rate_limit_error",
        504 if anthropic => "timeout_error",
        529 if anthropic => "overloaded_error",
        500.. if anthropic => "api_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

fn message(status: u16) -> &'static str {
    match status {
        401 => "Incorrect API key provided.",
        403 => "You are not allowed to do this.",
        404 => "The model does not exist or you do not have access to it.",
        408 | 504 => "The request timed out.",
        413 => "The request is too large.",
        429 => "Rate limit reached. Please try again later.",
        503 | 529 => "The engine is currently overloaded. Please try again later.",
        500.. => "The server had an error while processing your request. Sorry about that!",
        _ => "The request is not valid.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_api_gets_its_own_error() {
        let failure = Failure { status: 429, retry_after: Some(Duration::from_millis(1500)), after: Duration::ZERO };
        let told = |api| failure.plan(&api).response.unwrap();
        assert_eq!(told(Api::Anthropic).payload, Payload::Json(body(&Api::Anthropic, 429, "rate_limit_error", message(429))));
        let openai = told(Api::OpenAiChat);
        assert_eq!((openai.headers["retry-after"].as_str(), openai.headers["retry-after-ms"].as_str()), ("2", "1500"));
        let Payload::Json(json) = openai.payload else { panic!("JSON") };
        assert_eq!(json["error"]["code"], "rate_limit_exceeded");
        assert_eq!(kind(&Api::Anthropic, 529), "overloaded_error");
        assert_eq!(kind(&Api::OpenAiResponses, 503), "server_error");
    }
}
