//! A draft: the exchanges of a run that become a recording, and the one way on which they reach a file.

use super::stream;
use crate::disk::Destination;
use crate::fault::Fault;
use crate::redact::{Redactor, keep_header};
use crate::wire::{self, Exchange};
use camino::Utf8Path;
use serde::Serialize;
use std::collections::BTreeMap;

/// The first line of a recording.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Header<'a> {
    /// The case.
    pub case: &'a str,
    /// The target.
    pub target: &'a str,
    /// The model as relapse.yaml names it; an application names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<&'a str>,
    /// The day, `YYYY-MM-DD`.
    pub date: &'a str,
}

/// Writes a file of recordings or judgements, without secrets, whole or not at all.
///
/// # Errors
/// Something in it still looks like a secret, or the disk does not take it.
pub fn write(destination: Destination<'_>, file: &Utf8Path, text: &str, redactor: &Redactor) -> Result<(), Fault> {
    check(file, text, redactor)?;
    destination.write(file, text.as_bytes())
}

/// # Errors
/// Something in a text that is about to be written still looks like a secret.
pub(super) fn check(file: &Utf8Path, text: &str, redactor: &Redactor) -> Result<(), Fault> {
    let Some(leak) = redactor.scan(text).into_iter().next() else { return Ok(()) };
    let fault = Fault::new(format!("not written: what looks like a secret ({}) stands at byte {}", leak.rule, leak.offset));
    Err(fault.in_file(file).help("take it out of the prompt or the tool results, then record again"))
}

/// The exchanges of a run, in the order in which they were asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    exchanges: Vec<(Origin, Exchange)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Recording,
    Live,
}

impl Draft {
    pub(super) fn replayed(&mut self, exchange: Exchange) {
        self.exchanges.push((Origin::Recording, exchange));
    }

    pub(super) fn live(&mut self, exchange: Exchange) {
        self.exchanges.push((Origin::Live, exchange));
    }

    /// Whether nothing was asked live, so that there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        !self.exchanges.iter().any(|(origin, _)| *origin == Origin::Live)
    }

    pub(super) fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.exchanges.iter().map(|(_, exchange)| exchange)
    }

    /// The old exchanges that this run did not ask for.
    pub(super) fn unasked(&self, old: Vec<Exchange>) -> Vec<Exchange> {
        let asked = |exchange: &Exchange| self.exchanges.iter().any(|(origin, asked)| *origin == Origin::Recording && asked == exchange);
        old.into_iter().filter(|exchange| !asked(exchange)).collect()
    }

    /// The file: a header, then these exchanges and the other ones by trial, numbered anew, without secrets.
    pub(super) fn text(self, others: Vec<Exchange>, header: &Header<'_>, redactor: &Redactor) -> String {
        let mut exchanges: Vec<Exchange> = self.exchanges.into_iter().map(|(_, exchange)| exchange).chain(others).collect();
        exchanges.sort_by_key(|exchange| exchange.trial.unwrap_or(1));
        let mut lines = vec![serde_json::to_string(&Line { relapse_recording: 1, header }).unwrap_or_default()];
        for (index, exchange) in exchanges.into_iter().enumerate() {
            lines.push(wire::to_line(&stored(exchange, index as u64 + 1, redactor)));
        }
        lines.iter().map(|line| format!("{}\n", redactor.redact(line))).collect()
    }
}

#[derive(Serialize)]
struct Line<'a> {
    relapse_recording: u32,
    #[serde(flatten)]
    header: &'a Header<'a>,
}

/// An exchange as a file keeps it: only headers that say something, and no secret cut in two by a stream.
pub fn stored(mut exchange: Exchange, seq: u64, redactor: &Redactor) -> Exchange {
    let keep = |headers: &mut BTreeMap<String, String>| headers.retain(|name, _| keep_header(name));
    exchange.seq = seq;
    exchange.trial = exchange.trial.filter(|trial| *trial > 1);
    keep(&mut exchange.request.headers);
    if let Some(response) = &mut exchange.response {
        keep(&mut response.headers);
        stream::join_secrets(response, redactor);
    }
    exchange
}
