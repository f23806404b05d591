//! Which exchanges belong to which trace, where a file holds several.

use super::pairing::runs_at;
use crate::trace::Trace;
use crate::wire::Exchange;
use crate::wire::call::Attempt;
use serde_json::Value;
use std::collections::HashMap;

/// The exchanges of each trace: all of them for a single one; else by response id, `traceparent`, the user's question,
/// time, and the answer that the same question got.
pub fn share(traces: &[Trace], exchanges: Vec<Exchange>) -> Vec<Vec<Exchange>> {
    let mut shares: Vec<Vec<Exchange>> = traces.iter().map(|_| Vec::new()).collect();
    if let [only] = shares.as_mut_slice() {
        *only = exchanges;
        return shares;
    }
    let owners = owners(traces, &exchanges);
    for (exchange, owner) in exchanges.into_iter().zip(owners) {
        if let Some(owner) = owner {
            shares[owner].push(exchange);
        }
    }
    shares
}

fn owners(traces: &[Trace], exchanges: &[Exchange]) -> Vec<Option<usize>> {
    let ids = Ids::of(traces);
    let named = exchanges.iter().map(|exchange| ids.owner(exchange).or_else(|| by_question_and_time(traces, exchange)));
    let mut owners: Vec<Option<usize>> = named.collect();
    // A failed attempt has no response id: it belongs to whoever asked the same and was answered, next or before.
    let mut answered: HashMap<String, usize> = HashMap::new();
    for pass in [false, true] {
        let order: Vec<usize> = if pass { (0..owners.len()).collect() } else { (0..owners.len()).rev().collect() };
        answered.clear();
        for index in order {
            let body = exchanges[index].request.body.to_string();
            match owners[index] {
                Some(owner) => drop(answered.insert(body, owner)),
                None => owners[index] = answered.get(&body).copied(),
            }
        }
    }
    owners
}

/// The traces by every id that an exchange may name.
struct Ids<'a> {
    responses: HashMap<&'a str, usize>,
    spans: HashMap<&'a str, usize>,
    traces: HashMap<&'a str, usize>,
}

impl<'a> Ids<'a> {
    fn of(traces: &'a [Trace]) -> Self {
        let mut ids = Self { responses: HashMap::new(), spans: HashMap::new(), traces: HashMap::new() };
        for (place, node) in traces.iter().enumerate().flat_map(|(place, trace)| trace.nodes.iter().map(move |node| (place, node))) {
            ids.spans.entry(&node.span_id).or_insert(place);
            ids.traces.entry(&node.trace_id).or_insert(place);
            if let Some(id) = node.text("response.id") {
                ids.responses.entry(id).or_insert(place);
            }
        }
        ids
    }

    fn owner(&self, exchange: &Exchange) -> Option<usize> {
        let response = Attempt::of(exchange).and_then(|attempt| attempt.response_id);
        let mut parent = exchange.request.headers.get("traceparent").map(String::as_str).unwrap_or_default().split('-').skip(1);
        let (trace, span) = (parent.next(), parent.next());
        let by_response = response.and_then(|id| self.responses.get(id.as_str()));
        // One caller's trace may hold several requests, so the span says more than the trace.
        by_response.or_else(|| self.spans.get(span?)).or_else(|| self.traces.get(trace?)).copied()
    }
}

/// The only trace whose question is in the request's body; of several the only one with a model call at that time.
fn by_question_and_time(traces: &[Trace], exchange: &Exchange) -> Option<usize> {
    let text = exchange.request.body.to_string();
    let asked = |trace: &Trace| trace.input().is_some_and(|input| text.contains(Value::from(input).to_string().trim_matches('"')));
    let matching: Vec<usize> = (0..traces.len()).filter(|place| asked(&traces[*place])).collect();
    if let [only] = matching.as_slice() {
        return Some(*only);
    }
    let began = Attempt::of(exchange)?.began_ns?;
    let among = if matching.is_empty() { (0..traces.len()).collect() } else { matching };
    let mut running = among.into_iter().filter(|place| {
        let trace = &traces[*place];
        trace.model_calls.iter().any(|call| runs_at(trace.model_node(call), began))
    });
    let first = running.next()?;
    running.next().is_none().then_some(first)
}
