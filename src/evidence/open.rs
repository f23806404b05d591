//! Traces that are still open: begun, and not yet known to be complete.

use crate::limit;
use crate::otlp::{Batch, LogRecord, Span};
use foldhash::fast::RandomState;
use std::collections::{HashMap, VecDeque};

/// What has come of one trace.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) spans: Vec<Span>,
    pub(super) logs: Vec<LogRecord>,
    /// Bytes of telemetry that it came in.
    bytes: u64,
    /// When something last came of it.
    touched: u64,
    has_root: bool,
    /// Whether it began before anything could be known to be complete: its beginning may be elsewhere.
    early: bool,
}

impl Held {
    /// Telemetry that is whole as it is.
    pub(super) fn of(spans: Vec<Span>, logs: Vec<LogRecord>) -> Self {
        Self { spans, logs, ..Self::default() }
    }

    /// The trace's id, where a span has come of it.
    pub(super) fn id(&self) -> Option<&str> {
        self.spans.first().map(|span| span.trace_id.as_str())
    }

    /// Takes what another file has of the same trace.
    pub(super) fn join(&mut self, other: Self) {
        self.spans.extend(other.spans);
        self.logs.extend(other.logs);
        self.bytes += other.bytes;
        self.has_root |= other.has_root;
    }
}

/// Open traces on a clock that counts what is read. One whose root has come is complete when nothing came of it for long.
#[derive(Debug)]
pub(super) struct Open {
    traces: HashMap<String, Held, RandomState>,
    /// Touches in their order; one that was followed by a later touch of its trace is stale.
    order: VecDeque<(u64, String)>,
    /// Traces that have been quiet for long, but whose root or beginning may still come.
    waiting: VecDeque<(u64, String)>,
    now: u64,
    quiet: u64,
    bytes: u64,
    /// Traces that were given up unfinished, because too much was open.
    pub(super) given_up: usize,
}

impl Open {
    /// Traces are complete after `quiet` ticks without them.
    pub(super) fn new(quiet: u64) -> Self {
        Self { traces: HashMap::default(), order: VecDeque::new(), waiting: VecDeque::new(), now: 0, quiet, bytes: 0, given_up: 0 }
    }

    /// Takes a batch, whose bytes are its ticks; what is complete then comes out.
    pub(super) fn take(&mut self, batch: Batch) -> Vec<Held> {
        let bytes = batch.bytes.max(1) as u64;
        self.now += bytes;
        let share = bytes / (batch.spans.len() + batch.logs.len()).max(1) as u64;
        for span in batch.spans {
            let held = self.touch(&span.trace_id, share);
            // A parent in another process need not be exported here.
            held.has_root |= span.parent.is_none() || span.flags.is_some_and(|flags| flags & 0x300 == 0x300);
            held.spans.push(span);
        }
        for log in batch.logs {
            if let Some(id) = log.trace_id.clone() {
                self.touch(&id, share).logs.push(log);
            }
        }
        self.complete()
    }

    /// Takes what was left open at the end of a file, which is one tick.
    pub(super) fn hand_over(&mut self, left: impl IntoIterator<Item = (String, Held)>) -> Vec<Held> {
        self.now += 1;
        for (id, held) in left {
            self.touch(&id, held.bytes).join(Held { bytes: 0, ..held });
        }
        self.complete()
    }

    /// What is held of one trace, taken out.
    pub(super) fn remove(&mut self, id: &str) -> Option<Held> {
        let held = self.traces.remove(id)?;
        self.bytes -= held.bytes;
        Some(held)
    }

    /// Everything that is still open.
    pub(super) fn rest(&mut self) -> Vec<(String, Held)> {
        self.bytes = 0;
        let mut rest: Vec<(String, Held)> = self.traces.drain().collect();
        rest.sort_by(|(a, _), (b, _)| a.cmp(b));
        rest
    }

    fn touch(&mut self, id: &str, bytes: u64) -> &mut Held {
        self.bytes += bytes;
        let early = self.now < self.quiet;
        if !self.traces.contains_key(id) {
            self.traces.insert(id.to_string(), Held { early, ..Held::default() });
        }
        let held = self.traces.get_mut(id).expect("it was put there");
        if held.touched != self.now {
            held.touched = self.now;
            self.order.push_back((self.now, id.to_string()));
        }
        held.bytes += bytes;
        held
    }

    fn complete(&mut self) -> Vec<Held> {
        let mut complete = Vec::new();
        while let Some((stamp, _)) = self.order.front()
            && stamp + self.quiet <= self.now
        {
            let Some((stamp, id)) = self.order.pop_front() else { break };
            match self.traces.get(&id).filter(|held| held.touched == stamp) {
                Some(held) if held.has_root && !held.early => complete.extend(self.remove(&id)),
                Some(_) => self.waiting.push_back((stamp, id)),
                None => {}
            }
        }
        while self.bytes > limit::OPEN_BYTES
            && let Some((stamp, id)) = self.waiting.pop_front().or_else(|| self.order.pop_front())
        {
            if self.traces.get(&id).is_some_and(|held| held.touched == stamp) {
                self.given_up += 1;
                complete.extend(self.remove(&id));
            }
        }
        complete
    }
}
