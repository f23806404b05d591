//! Evidence: files of telemetry and wire, read and joined into requests.

mod open;
mod stream;

pub use stream::{stream, stream_files};

use crate::fault::{Fault, Faults};
use crate::mapping::Mapping;
use crate::normalise;
use crate::otlp::{self, LogRecord, Reading, Span};
use crate::request::Request;
use crate::trace::Trace;
use crate::vendor;
use crate::wire::call::Attempt;
use crate::wire::{self, Exchange};
use serde_json::Value;

/// What files hold, before it is joined: everything is read before any tree is built.
#[derive(Debug, Default)]
pub struct Evidence {
    spans: Vec<Span>,
    logs: Vec<LogRecord>,
    exchanges: Vec<Exchange>,
    /// What was odd in the files, with their names.
    pub diagnostics: Vec<String>,
}

impl Evidence {
    /// Takes the telemetry of one file.
    ///
    /// # Errors
    /// A file in which nothing can be read: another kind of file, or an empty one.
    pub fn take_traces(&mut self, bytes: &[u8], file: &str) -> Result<(), Fault> {
        let telemetry = otlp::read_all(bytes).map_err(|fault| fault.in_file(file))?;
        let reading = &telemetry.reading;
        if telemetry.spans.is_empty() && telemetry.logs.is_empty() {
            if !reading.is_otlp && self.take_export(bytes, file)? {
                return Ok(());
            }
            return Err(nothing_in(reading).in_file(file));
        }
        self.diagnostics.extend(odd(reading, file));
        self.spans.extend(telemetry.spans);
        self.logs.extend(telemetry.logs);
        Ok(())
    }

    /// Takes a vendor's export; false when it is none.
    fn take_export(&mut self, bytes: &[u8], file: &str) -> Result<bool, Fault> {
        let Some(export) = vendor::read(bytes).map_err(|fault| fault.in_file(file))? else { return Ok(false) };
        self.diagnostics.extend(export.diagnostics.iter().map(|diagnostic| format!("{file}: {diagnostic}")));
        if export.spans.is_empty() {
            let fault = Fault::new(format!("no telemetry: an export of {} without a span", export.vendor)).in_file(file);
            return Err(fault.help("export the observations too, not only traces and scores"));
        }
        self.spans.extend(export.spans);
        self.logs.extend(export.logs);
        Ok(true)
    }

    /// Takes the exchanges of one wire file.
    ///
    /// # Errors
    /// Every line that is no exchange.
    pub fn take_wire(&mut self, text: &str, file: &str) -> Result<(), Faults> {
        self.exchanges.extend(wire::read(text, file)?);
        Ok(())
    }

    /// The requests, by start; a wire without telemetry is one request.
    pub fn requests(self, mapping: &Mapping) -> Vec<Request> {
        let traces = normalise::requests(self.spans, &self.logs, mapping);
        if traces.is_empty() {
            let any = !self.exchanges.is_empty();
            return any.then(|| Request::new(None, self.exchanges, mapping)).into_iter().collect();
        }
        let shares = share(&traces, self.exchanges);
        traces.into_iter().zip(shares).map(|(trace, exchanges)| Request::new(Some(trace), exchanges, mapping)).collect()
    }
}

/// The fault of a file that holds no telemetry.
fn nothing_in(reading: &Reading) -> Fault {
    let why = reading.diagnostics.first().map_or_else(|| "not one span or log record".to_string(), ToString::to_string);
    Fault::new(format!("no telemetry: {why}")).help(vendor::expected())
}

/// What was odd about a file, with its name.
fn odd(reading: &Reading, file: &str) -> Vec<String> {
    let more = (reading.more_diagnostics > 0).then(|| format!("{file}: and {} more", reading.more_diagnostics));
    reading.diagnostics.iter().map(|diagnostic| format!("{file}: {diagnostic}")).chain(more).collect()
}

/// The exchanges of each trace: all of them for a single one; else by response id, `traceparent`, the user's question, and time.
fn share(traces: &[Trace], exchanges: Vec<Exchange>) -> Vec<Vec<Exchange>> {
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
    let mut owners: Vec<Option<usize>> = exchanges.iter().map(|exchange| owner(traces, exchange)).collect();
    // A failed attempt has no response id: it belongs to whoever asked the same and was answered.
    for index in 0..owners.len() {
        if owners[index].is_none() {
            let body = &exchanges[index].request.body;
            owners[index] = (0..owners.len())
                .find(|other| owners[*other].is_some() && exchanges[*other].request.body == *body)
                .and_then(|other| owners[other]);
        }
    }
    owners
}

fn owner(traces: &[Trace], exchange: &Exchange) -> Option<usize> {
    let attempt = Attempt::of(exchange);
    let id = attempt.as_ref().and_then(|attempt| attempt.response_id.as_deref());
    let by_id = id.and_then(|id| traces.iter().position(|trace| trace.nodes.iter().any(|node| node.text("response.id") == Some(id))));
    let parent = exchange.request.headers.get("traceparent").and_then(|value| value.split('-').nth(1));
    let by_parent = || parent.and_then(|id| traces.iter().position(|trace| trace.nodes.iter().any(|node| node.trace_id == id)));
    by_id.or_else(by_parent).or_else(|| by_question(traces, &exchange.request.body))
}

/// The only trace whose question is in the request's body.
fn by_question(traces: &[Trace], body: &Value) -> Option<usize> {
    let text = body.to_string();
    let asked = |trace: &Trace| trace.input.as_deref().is_some_and(|input| text.contains(Value::from(input).to_string().trim_matches('"')));
    let mut matching = traces.iter().enumerate().filter(|(_, trace)| asked(trace)).map(|(index, _)| index);
    let first = matching.next()?;
    matching.next().is_none().then_some(first)
}
