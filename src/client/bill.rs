//! A bill: what one request may cost, and what it did.

use super::Spent;
use crate::egress::Trouble;
use crate::limit;
use crate::price::Price;
use crate::wire::Exchange;
use crate::wire::call::{Attempt, Usage};
use serde_json::Value;

/// What one request may cost.
#[derive(Debug, Clone, Copy)]
pub struct Bill {
    price: Price,
    estimate: Spent,
}

impl Bill {
    /// The bill of a request to a model: its bytes as tokens, and the longest answer that it allows.
    pub fn of(body: &Value, price: Price) -> Self {
        // A token is about four bytes of English; three make the estimate one from above.
        let input = body.to_string().len() as u64 / 3;
        let allowed = ["max_tokens", "max_completion_tokens", "max_output_tokens"].iter().find_map(|key| body.get(*key)?.as_u64());
        let output = allowed.unwrap_or(limit::OUTPUT_TOKENS);
        let usage = Usage { input: Some(input), output: Some(output), ..Usage::default() };
        let usd = price.cost(&usage).unwrap_or_default();
        Self { price, estimate: Spent { usd, requests: 1, tokens: input + output } }
    }

    /// The bill of a request to another server than a model's: it counts, and costs nothing.
    pub fn without_tokens() -> Self {
        Self { price: Price::default(), estimate: Spent { requests: 1, ..Spent::default() } }
    }

    /// The most that is expected.
    pub fn estimate(&self) -> Spent {
        self.estimate
    }

    /// What the request did cost. An answer that does not tell its tokens counts as estimated; an error costs none.
    pub fn spent(&self, exchange: &Exchange, attempt: Option<&Attempt>, trouble: Option<&Trouble>) -> Spent {
        if trouble.is_some_and(Trouble::is_before_sending) {
            return Spent::default();
        }
        if exchange.response.as_ref().is_some_and(|response| response.status >= 300) {
            return Spent { requests: 1, ..Spent::default() };
        }
        let usage = attempt.map_or_else(|| embedding_usage(exchange), |attempt| attempt.usage);
        match (self.price.cost(&usage), usage.input.zip(usage.output)) {
            (Some(usd), Some((input, output))) => Spent { usd, requests: 1, tokens: input + output },
            _ => self.estimate,
        }
    }
}

/// The tokens of an API that is no model call: `/embeddings` has a prompt only.
fn embedding_usage(exchange: &Exchange) -> Usage {
    let told = match exchange.response.as_ref().map(|response| &response.payload) {
        Some(crate::wire::Payload::Json(json)) => json.pointer("/usage/prompt_tokens").and_then(Value::as_u64),
        _ => None,
    };
    Usage { input: told, output: told.map(|_| 0), ..Usage::default() }
}
