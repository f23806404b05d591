//! What arrived so far, and whether anything is still on its way.

use super::{Refusal, Signal};
use crate::inert;
use crate::limit;
use crate::otlp::{self, BodyError, Compression, Encoding, LogRecord, Reading, Span};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Different refusals that are remembered; a flood of them tells nothing new.
const REFUSALS: usize = 20;

/// What arrived.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delivery {
    /// Spans in the order of arrival.
    pub spans: Vec<Span>,
    /// Log records in the order of arrival.
    pub logs: Vec<LogRecord>,
    /// What was odd about them, up to a hundred.
    pub diagnostics: Vec<String>,
    /// What was not taken, and how often.
    pub refusals: BTreeMap<Refusal, u32>,
}

impl Delivery {
    /// Whether no span and no log record arrived.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty() && self.logs.is_empty()
    }

    /// How many spans and log records there are.
    pub fn records(&self) -> usize {
        self.spans.len() + self.logs.len()
    }

    /// How many of them are in a trace.
    pub fn of_trace(&self, trace_id: &str) -> usize {
        let spans = self.spans.iter().filter(|span| span.trace_id == trace_id).count();
        spans + self.logs.iter().filter(|log| log.trace_id.as_deref() == Some(trace_id)).count()
    }

    /// What a reader should know of what arrived, or did not: what went wrong, and what to change.
    pub fn findings(&self) -> Vec<String> {
        let nothing = self.is_empty().then(|| "no telemetry arrived: not one span and not one log record".to_owned());
        let refusals = self.refusals.iter().map(|(refusal, times)| {
            let often = if *times > 1 { format!(" ({times} times)") } else { String::new() };
            format!("{}{often}: {}", inert::one_line(&refusal.to_string()), refusal.help())
        });
        nothing.into_iter().chain(refusals).collect()
    }
}

/// The state that all connections of a receiver share.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    /// Rings when anything begins, arrives or ends.
    bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    delivery: Delivery,
    bytes: u64,
    /// Connections that are open.
    connections: usize,
    /// A peer whose connection is awaited.
    awaited: Option<SocketAddr>,
    /// Requests that are being read.
    working: usize,
}

/// A connection that is open, or a request that is being read; ends when it is dropped.
#[derive(Debug)]
pub(super) struct Busy {
    inbox: Arc<Inbox>,
    end: fn(&mut State),
}

impl Drop for Busy {
    fn drop(&mut self) {
        let end = self.end;
        self.inbox.change(end);
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, how: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        how(&mut state);
        drop(state);
        self.bell.notify_waiters();
    }

    /// A connection of this peer was accepted.
    pub(super) fn open(self: &Arc<Self>, peer: SocketAddr) -> Busy {
        self.change(|state| {
            state.connections += 1;
            state.awaited = state.awaited.filter(|awaited| *awaited != peer);
        });
        Busy { inbox: Arc::clone(self), end: |state| state.connections = state.connections.saturating_sub(1) }
    }

    /// A request is being read.
    pub(super) fn work(self: &Arc<Self>) -> Busy {
        self.change(|state| state.working += 1);
        Busy { inbox: Arc::clone(self), end: |state| state.working = state.working.saturating_sub(1) }
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        self.change(|state| {
            let refusals = &mut state.delivery.refusals;
            if refusals.len() < REFUSALS || refusals.contains_key(&refusal) {
                *refusals.entry(refusal).or_default() += 1;
            }
        });
    }

    /// Decodes a body away from the connections' threads, and keeps what it holds; metrics are taken and dropped.
    pub(super) async fn deliver(
        self: &Arc<Self>,
        signal: Signal,
        body: bytes::Bytes,
        encoding: Encoding,
        compression: Compression,
    ) -> Result<Reading, Refusal> {
        if signal == Signal::Metrics {
            return Ok(Reading::default());
        }
        let inbox = Arc::clone(self);
        // Also when the connection breaks meanwhile and nobody waits for the result.
        let working = self.work();
        let decode = move || {
            let _working = working;
            let size = body.len() as u64;
            let (batch, reading) = otlp::read_body(&body, encoding, compression).map_err(|error| match error {
                BodyError::TooLarge => Refusal::TooLarge,
                BodyError::Broken(why) => Refusal::Broken(why),
            })?;
            inbox.keep(batch, &reading, size)?;
            Ok(reading)
        };
        let result = tokio::task::spawn_blocking(decode).await.unwrap_or_else(|error| Err(Refusal::Broken(error.to_string())));
        result.inspect_err(|refusal| self.refuse(refusal.clone()))
    }

    fn keep(&self, batch: otlp::Batch, reading: &Reading, size: u64) -> Result<(), Refusal> {
        let mut state = self.lock();
        let delivery = &state.delivery;
        let records = delivery.records() + batch.spans.len() + batch.logs.len();
        if state.bytes + size > limit::EXPORTS_BYTES || records > limit::TRACE_SPANS {
            return Err(Refusal::TooMuch);
        }
        state.bytes += size;
        let delivery = &mut state.delivery;
        delivery.spans.extend(batch.spans);
        delivery.logs.extend(batch.logs);
        let room = limit::DIAGNOSTICS.saturating_sub(delivery.diagnostics.len());
        delivery.diagnostics.extend(reading.diagnostics.iter().take(room).map(ToString::to_string));
        Ok(())
    }

    pub(super) fn take(&self) -> Delivery {
        let mut state = self.lock();
        state.bytes = 0;
        std::mem::take(&mut state.delivery)
    }

    pub(super) fn look<T>(&self, at: impl FnOnce(&Delivery) -> T) -> T {
        at(&self.lock().delivery)
    }

    pub(super) fn take_trace(&self, trace_id: &str) -> Delivery {
        let mut state = self.lock();
        let before = state.delivery.records();
        let Delivery { spans, logs, .. } = &mut state.delivery;
        let spans = spans.extract_if(.., |span| span.trace_id == trace_id).collect();
        let logs = logs.extract_if(.., |log| log.trace_id.as_deref() == Some(trace_id)).collect();
        // What is left is taken to be as large as what went.
        state.bytes = state.bytes * state.delivery.records() as u64 / before.max(1) as u64;
        Delivery { spans, logs, ..Delivery::default() }
    }

    /// Waits until the connection of a peer has been accepted, which `connect` makes.
    pub(super) async fn accept_after(&self, peer: SocketAddr, connect: impl Future) {
        self.change(|state| state.awaited = Some(peer));
        let _connection = connect.await;
        loop {
            let bell = self.bell.notified();
            if self.lock().awaited.is_none() {
                return;
            }
            bell.await;
        }
    }

    /// Waits until every connection is closed, or nothing happens for `idle` and nothing is being read.
    pub(super) async fn close(&self, idle: Duration, deadline: Instant) {
        self.settle(idle, deadline, |state| state.connections == 0 && state.working == 0).await;
    }

    /// Waits until no more of what is awaited arrives for `idle`, nothing is being read, and `is_whole` says that it is whole.
    pub(super) async fn quiet(
        &self,
        idle: Duration,
        deadline: Instant,
        awaited: impl Fn(&Delivery) -> usize,
        is_whole: impl Fn(&Delivery) -> bool,
    ) {
        let (mut arrived, mut since) = (self.look(&awaited), Instant::now());
        loop {
            let bell = self.bell.notified();
            let (now_there, is_done) = {
                let state = self.lock();
                (awaited(&state.delivery), state.working == 0 && is_whole(&state.delivery))
            };
            if now_there != arrived {
                (arrived, since) = (now_there, Instant::now());
            }
            let is_idle = Instant::now() >= since + idle;
            if Instant::now() >= deadline || (is_idle && is_done) {
                return;
            }
            let until = if is_idle { deadline } else { deadline.min(since + idle) };
            let _ = timeout_at(until, bell).await;
        }
    }

    async fn settle(&self, idle: Duration, deadline: Instant, is_done: impl Fn(&State) -> bool) {
        loop {
            let bell = self.bell.notified();
            if is_done(&self.lock()) {
                return;
            }
            let rang = timeout_at(deadline.min(Instant::now() + idle), bell).await.is_ok();
            if Instant::now() >= deadline || (!rang && self.lock().working == 0) {
                return;
            }
        }
    }
}
