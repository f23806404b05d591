//! The opening of a request: what a model was first asked, as far as a replay can restore it.

use super::asked::{self, Call};
use super::retrieval;
use crate::provider::Tool;
use crate::request::Request;
use crate::trace::Document;
use crate::wire::Exchange;
use crate::wire::call::{Api, Attempt};
use serde_json::{Map, Value};

/// What a model was first asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Opening {
    /// The system prompt as it was sent.
    pub system: String,
    /// The tools that it was told of; none when nothing says.
    pub tools: Option<Vec<Tool>>,
    /// Parameters, as `temperature`; none without a wire.
    pub params: Option<Map<String, Value>>,
    /// The model asked for; none when nothing says.
    pub model: Option<String>,
    /// The model that answered; none when nothing says.
    pub served: Option<String>,
    /// The provider's API; none without a wire.
    pub api: Option<Api>,
}

impl Opening {
    /// The opening of a recorded request; none when neither wire nor telemetry has its content.
    pub fn of(request: &Request) -> Option<Self> {
        let call = asked::calls(request)?.into_iter().next()?;
        let first = request.exchanges.iter().find(|exchange| Attempt::of(exchange).is_some_and(|attempt| attempt.is_content()));
        let told = |field: &str| {
            let trace = request.trace.as_ref()?;
            trace.model_calls.first().and_then(|call| trace.model_node(call).text(field)).map(str::to_string)
        };
        let attempt = first.and_then(Attempt::of);
        Some(Self {
            model: attempt.as_ref().and_then(|attempt| attempt.model_requested.clone()).or_else(|| told("model.requested")),
            served: attempt.and_then(|attempt| attempt.model_responded).or_else(|| told("model.responded")),
            api: first.map(Api::of),
            ..Self::called(call)
        })
    }

    /// The opening of a request that is about to be sent.
    pub fn sent(exchange: &Exchange) -> Self {
        let model = exchange.request.body.get("model").and_then(Value::as_str).map(str::to_string);
        Self { model, api: Some(Api::of(exchange)), ..Self::called(asked::read(exchange)) }
    }

    fn called(call: Call) -> Self {
        Self { system: call.system, tools: call.tools, params: call.params, model: None, served: None, api: None }
    }
}

/// The passages of a request, from telemetry, else as they are seen in its prompt; none when nothing says.
pub fn passages(request: &Request) -> Option<Vec<Document>> {
    retrieval::documents(request, asked::calls(request).as_deref())
}
