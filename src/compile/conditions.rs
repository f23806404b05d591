//! Conditions of a case: those that its postmortem writes, and the failures that the incident's wire shows.

use super::{Read, below};
use crate::canonical;
use crate::disk::Root;
use crate::fault::Faults;
use crate::limit;
use crate::postmortem::{Body, ModelFault, Postmortem};
use crate::wire::call::Attempt;
use crate::wire::{self, Exchange, Response};
use serde_json::{Map, Value, json};

/// Conditions in the compiled form; documents have a key of their own. Faults of model calls are the postmortem's, else
/// those that the incident's wire shows.
pub(super) fn compiled(root: &Root, postmortem: &Postmortem, read: &Read, faults: &mut Faults) -> Value {
    let conditions = &postmortem.conditions;
    let mut map = Map::new();
    if !conditions.env.is_empty() {
        map.insert(
            "env".into(),
            conditions.env.iter().map(|(name, value)| (name.value.clone(), Value::from(value.as_str()))).collect::<Map<_, _>>().into(),
        );
    }
    let model: Vec<Value> = match &conditions.model {
        None => shown(root, postmortem, read, faults),
        Some(written) => written.iter().map(model_fault).collect(),
    };
    if !model.is_empty() {
        map.insert("model".into(), model.into());
    }
    let rejected = rejected(&read.incident().exchanges);
    if !rejected.is_empty() {
        map.insert("rejected".into(), places(root, postmortem, rejected, faults).into_iter().flatten().collect());
    }
    if !conditions.upstream.is_empty() {
        let entries = conditions.upstream.iter().map(|upstream| {
            let body = match &upstream.body {
                Some(Body::Json(value)) => json!({"status": upstream.status, "json": value}),
                Some(Body::Text(text)) => json!({"status": upstream.status, "text": text}),
                None => json!({"status": upstream.status}),
            };
            (upstream.variable.value.clone(), body)
        });
        map.insert("upstream".into(), Value::Object(entries.collect()));
    }
    Value::Object(map)
}

fn model_fault(fault: &ModelFault) -> Value {
    let mut map = Map::from_iter([("times".to_string(), Value::from(fault.times))]);
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(key.to_string(), value);
        }
    };
    put("call", fault.call.map(Value::from));
    put("status", fault.status.map(Value::from));
    put("retry_after", fault.retry_after.map(|wait| wait.as_secs_f64().into()));
    put("first_token", fault.first_token.map(|wait| wait.as_secs_f64().into()));
    put("chunk_delay", fault.chunk_delay.map(|wait| wait.as_secs_f64().into()));
    put("end", fault.end.map(|end| end.word().into()));
    put("finish", fault.finish.clone().map(Value::from));
    put("tool_arguments", fault.tool_arguments.clone().map(Value::from));
    Value::Object(map)
}

/// The failures of the incident's model calls, each as the exchange to repeat; equal ones in a row are one.
fn shown(root: &Root, postmortem: &Postmortem, read: &Read, faults: &mut Faults) -> Vec<Value> {
    let failures = failures(&read.incident().exchanges);
    let places = places(root, postmortem, failures.iter().map(|(_, _, exchange)| *exchange).collect(), faults);
    let written =
        failures.iter().zip(places).filter_map(|((call, times, _), place)| Some(json!({"call": call, "times": times, "exchange": place?})));
    written.collect()
}

/// Where exchanges stand among the incident's wires.
fn places(root: &Root, postmortem: &Postmortem, exchanges: Vec<&Exchange>, faults: &mut Faults) -> Vec<Option<Value>> {
    if exchanges.is_empty() {
        return Vec::new();
    }
    let mut wires: Vec<(String, Vec<Exchange>)> = Vec::new();
    for file in &postmortem.evidence.wire.incident {
        let text = faults.take(file.read_text(root, limit::TRACE_BYTES)).unwrap_or_default();
        wires.push((below(postmortem, file), faults.take(wire::read(&text, file.path.as_str())).unwrap_or_default()));
    }
    let place = |exchange: &Exchange| {
        wires.iter().find_map(|(file, known)| {
            let number = known.iter().position(|other| other == exchange)? + 1;
            Some(json!({"file": file, "number": number}))
        })
    };
    exchanges.into_iter().map(place).collect()
}

/// Requests that were rejected for what they say, each once.
fn rejected(exchanges: &[Exchange]) -> Vec<&Exchange> {
    let mut found: Vec<&Exchange> = Vec::new();
    for exchange in exchanges.iter().filter(|exchange| Attempt::of(exchange).is_some_and(|attempt| attempt.rejected())) {
        let is_known = found.iter().any(|known| canonical::json(&known.request.body) == canonical::json(&exchange.request.body));
        if !is_known {
            found.push(exchange);
        }
    }
    found
}

/// Each failed attempt before the call's first answer: which distinct request, how often in a row, and the first of them.
fn failures(exchanges: &[Exchange]) -> Vec<(usize, u32, &Exchange)> {
    let mut calls: Vec<(String, bool)> = Vec::new();
    let mut failures: Vec<(usize, u32, &Exchange)> = Vec::new();
    for exchange in exchanges {
        let Some(attempt) = Attempt::of(exchange) else { continue };
        let key = canonical::json(&exchange.request.body);
        let index = calls.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            calls.push((key, false));
            calls.len() - 1
        });
        let is_answered = &mut calls[index].1;
        if *is_answered || !attempt.failed_by_chance() {
            *is_answered = true;
            continue;
        }
        match failures.last_mut().filter(|(call, _, first)| *call == index + 1 && is_alike(first, exchange)) {
            Some((_, times, _)) => *times += 1,
            None => failures.push((index + 1, 1, exchange)),
        }
    }
    failures
}

/// Whether an application can tell two failures apart.
fn is_alike(one: &Exchange, other: &Exchange) -> bool {
    let told = |response: &Response| {
        let wait = ["retry-after", "retry-after-ms"].map(|name| response.headers.get(name).cloned());
        (response.status, response.payload.clone(), response.end, wait)
    };
    one.response.as_ref().map(told) == other.response.as_ref().map(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(content: &str, response: Value) -> Exchange {
        let body = json!({"messages": [{"content": content}]});
        let line = json!({"request": {"method": "POST", "path": "/v1/chat/completions", "body": body}, "response": response});
        wire::read_line(&line.to_string()).unwrap()
    }

    fn error(status: u16, message: &str) -> Value {
        json!({"status": status, "headers": {"x-request-id": message, "retry-after": "1"}, "body": {"error": {"message": "slow down"}}})
    }

    fn answer() -> Value {
        json!({"status": 200, "body": {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}})
    }

    #[test]
    fn failures_before_an_answer_are_what_happened_to_a_call() {
        let cut = json!({"status": 200, "sse": [{"data": "{\"choices\":[{\"delta\":{\"content\":\"h\"}}]}"}], "end": "reset"});
        let exchanges = [
            exchange("a", error(429, "1")),
            exchange("a", error(429, "2")),
            exchange("a", error(503, "3")),
            exchange("a", answer()),
            exchange("b", cut),
            exchange("a", error(429, "4")),
            exchange("c", json!(null)),
        ];
        let found: Vec<_> = failures(&exchanges).iter().map(|(call, times, first)| (*call, *times, *first == &exchanges[2])).collect();
        assert_eq!(found, [(1, 2, false), (1, 1, true), (2, 1, false), (3, 1, false)]);
    }

    #[test]
    fn an_error_that_the_request_earned_belongs_to_the_request() {
        let exchanges =
            [exchange("a", error(400, "1")), exchange("a", error(400, "2")), exchange("b", answer()), exchange("c", error(429, "3"))];
        assert_eq!(failures(&exchanges[..3]), []);
        assert_eq!(rejected(&exchanges), [&exchanges[0]]);
    }
}
