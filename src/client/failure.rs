//! A failure: why an exchange holds no answer, and whether asking again may help.

use crate::egress::Trouble;
use crate::wire::call::Attempt;
use crate::wire::{Exchange, Payload, Response};

/// Whether asking again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The provider is overrun and wants time.
    Patience,
    /// It may have been bad luck.
    Again,
    /// Nothing changes by asking.
    None,
}

/// Why an exchange holds no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// What may help.
    pub(super) remedy: Remedy,
    /// What happened, in words.
    pub(super) what: String,
}

/// Codes and phrases of an account that has nothing left; OpenAI says it in a 429, Anthropic in a 400.
const QUOTA: [&str; 6] =
    ["insufficient_quota", "billing_hard_limit", "exceeded your current quota", "credit balance", "billing_error", "billing_not_active"];

impl Failure {
    /// The failure of an exchange; none when it holds an answer, be it a refusal or a filter's block.
    pub(super) fn of(exchange: &Exchange, attempt: Option<&Attempt>, trouble: Option<&Trouble>) -> Option<Self> {
        let failed = |remedy: Remedy, what: String| Some(Self { remedy, what });
        let Some(response) = &exchange.response else {
            return failed(Remedy::Again, trouble.map_or_else(|| "no answer".to_string(), ToString::to_string));
        };
        if let Some(trouble) = trouble {
            let remedy = if matches!(trouble, Trouble::TooLarge { .. }) { Remedy::None } else { Remedy::Again };
            return failed(remedy, format!("answered {} and then: {trouble}", response.status));
        }
        if attempt.is_some_and(Attempt::is_content) {
            return None;
        }
        let error = attempt.and_then(|attempt| attempt.error.as_ref());
        let said =
            error.map(|error| format!(" ({}{}{})", error.kind, if error.message.is_empty() { "" } else { ": " }, clip(&error.message)));
        let said = said.unwrap_or_else(|| body(response));
        let text = format!("{said} {}", body(response)).to_lowercase();
        match response.status {
            // What the provider says of a refused key may quote it.
            401 | 403 => failed(Remedy::None, format!("answered {}: the key was refused", response.status)),
            status if status >= 400 && QUOTA.iter().any(|word| text.contains(word)) => {
                failed(Remedy::None, format!("answered {status}: the account's quota is used up{said}"))
            }
            status if response.headers.get("x-should-retry").is_some_and(|value| value == "false") && status >= 400 => {
                failed(Remedy::None, format!("answered {status}{said}"))
            }
            status if status == 429 || (status >= 500 && response.headers.contains_key("retry-after")) || status == 529 => {
                failed(Remedy::Patience, format!("answered {status}{said}"))
            }
            status @ (408 | 409) => failed(Remedy::Again, format!("answered {status}{said}")),
            status if status >= 500 => failed(Remedy::Again, format!("answered {status}{said}")),
            status if status >= 300 => failed(Remedy::None, format!("answered {status}{said}")),
            status => unfinished(status, attempt, &said),
        }
    }
}

/// Why an answer of 200 is none: an error in it, nothing in it, or no end.
fn unfinished(status: u16, attempt: Option<&Attempt>, said: &str) -> Option<Failure> {
    let attempt = attempt?;
    let overrun = attempt.error.as_ref().is_some_and(|error| error.kind.contains("overloaded") || error.kind.contains("rate_limit"));
    let what = if attempt.error.is_some() {
        format!("answered {status} with an error inside{said}")
    } else if let Some(number) = attempt.broken_event {
        format!("answered {status}, and event {number} of the stream is no JSON")
    } else if attempt.finish.is_none() && attempt.text.as_deref().unwrap_or_default().is_empty() && attempt.tool_calls.is_empty() {
        format!("answered {status} with nothing in it")
    } else {
        format!("answered {status}, and the answer has no end")
    };
    Some(Failure { remedy: if overrun { Remedy::Patience } else { Remedy::Again }, what })
}

/// The body of an answer that is no API's, as a proxy's page.
fn body(response: &Response) -> String {
    match &response.payload {
        Payload::Text(text) if !text.trim().is_empty() => format!(" ({})", clip(text)),
        Payload::Json(json) => format!(" ({})", clip(&json.to_string())),
        _ => String::new(),
    }
}

fn clip(text: &str) -> String {
    crate::inert::clip(&crate::inert::one_line(text.trim()), 300).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::read_line;
    use serde_json::{Value, json};

    fn failure(status: u16, body: Value) -> Option<Failure> {
        let request = json!({"method": "POST", "path": "/v1/chat/completions", "body": {"stream": true}});
        let line = json!({"request": request, "response": {"status": status, "body": body}});
        let exchange = read_line(&line.to_string()).unwrap();
        Failure::of(&exchange, Attempt::of(&exchange).as_ref(), None)
    }

    fn remedy(status: u16, body: Value) -> Option<Remedy> {
        failure(status, body).map(|failure| failure.remedy)
    }

    fn error(kind: &str, message: &str) -> Value {
        json!({"error": {"type": kind, "message": message}})
    }

    #[test]
    fn each_status_has_its_remedy() {
        for (status, body, expected) in [
            (429, error("rate_limit_exceeded", "slow down"), Remedy::Patience),
            (529, error("overloaded_error", "Overloaded"), Remedy::Patience),
            (429, error("insufficient_quota", "You exceeded your current quota"), Remedy::None),
            (400, error("invalid_request_error", "Your credit balance is too low to access the API"), Remedy::None),
            (401, error("invalid_api_key", "Incorrect API key provided: sk-…"), Remedy::None),
            (403, json!("<html>forbidden</html>"), Remedy::None),
            (500, json!("<html>oops</html>"), Remedy::Again),
            (503, Value::Null, Remedy::Again),
            (404, error("model_not_found", "no such model"), Remedy::None),
            (307, Value::Null, Remedy::None),
            (200, error("server_error", "oops"), Remedy::Again),
            (200, json!({"choices": []}), Remedy::Again),
            (200, json!("data: {\"choices\": [{\"index\": 0, \"delta\": {\"content\": \"Hel\"}}]}\n\n"), Remedy::Again),
            (200, json!("data: [DONE]\n\n"), Remedy::Again),
        ] {
            assert_eq!(remedy(status, body.clone()), Some(expected), "{status} {body}");
        }
    }

    #[test]
    fn a_refusal_a_filter_and_an_answer_cut_at_its_limit_are_content() {
        for (status, body) in [
            (200, json!({"choices": [{"message": {"content": null, "refusal": "no"}, "finish_reason": "stop"}]})),
            (200, json!({"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]})),
            (200, json!({"choices": [{"message": {"content": "half"}, "finish_reason": "length"}]})),
            (200, json!({"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]})),
            (400, json!({"error": {"code": "content_filter", "message": "The response was filtered due to the prompt"}})),
        ] {
            assert_eq!(failure(status, body.clone()), None, "{status} {body}");
        }
    }

    #[test]
    fn what_is_said_of_a_refused_key_is_not_repeated() {
        let failure = failure(401, error("invalid_api_key", "Incorrect API key provided: sk-secret")).unwrap();
        assert_eq!(failure.what, "answered 401: the key was refused");
    }
}
