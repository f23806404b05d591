//! Sharing a service: it is asked for several cases at once, which are told apart by the traces that they were asked in.
//!
//! A service earns it with the first case, which it is asked alone: everything that it then asks and tells is in that
//! case's trace. It loses it as soon as anything arrives that no case's trace claims; what ran meanwhile is asked again,
//! alone, so that sharing never changes a report.

use super::Instance;
use crate::receiver::Delivery;
use crate::replay::application::observed::Run;
use crate::replay::application::surroundings::Thread;
use crate::wire::Exchange;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether a service is shared.
#[derive(Debug, Default)]
pub(super) enum Sharing {
    /// No case has shown yet whether it can be.
    #[default]
    Untried,
    /// By these.
    Shared(Arc<Shared>),
    /// It does not keep cases apart.
    Never,
}

/// An instance that several cases use at once.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) instance: Instance,
    /// Requests in no case's trace before it was shared.
    strays: u64,
    /// The traces of the cases that it was asked for.
    traces: Mutex<BTreeSet<String>>,
}

impl Shared {
    pub(super) fn new(instance: Instance) -> Self {
        instance.receiver.take();
        let strays = instance.lobby.strays();
        Self { instance, strays, traces: Mutex::default() }
    }

    /// A case is asked in this trace from now on.
    pub(super) fn enter(&self, thread: &Thread) {
        self.traces().insert(thread.trace_id.clone());
    }

    /// Takes what arrived in a case's trace.
    pub(super) fn take(&self, thread: &Thread) -> Delivery {
        self.instance.receiver.take_trace(&thread.trace_id)
    }

    /// Whether nothing arrived that is in no case's trace.
    pub(super) fn is_tidy(&self) -> bool {
        let traces = self.traces();
        let known = |id: &str| traces.contains(id);
        let Instance { receiver, dead_end, lobby, .. } = &self.instance;
        receiver.look(|delivery| is_within(delivery, known)) && lobby.strays() == self.strays && dead_end.is_untouched()
    }

    fn traces(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.traces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether all that a run asked and told, and there is some of both, is in its trace.
pub(super) fn keeps_to(run: &Run, thread: &Thread) -> bool {
    let ours = |id: &str| id == thread.trace_id;
    let asked = |exchange: &Exchange| {
        let parent = exchange.request.headers.get("traceparent").and_then(|header| header.split('-').nth(1));
        parent.is_some_and(|id| ours(&id.to_ascii_lowercase()))
    };
    let (exchanges, delivery) = (&run.witness.exchanges, &run.delivery);
    let is_some = !exchanges.is_empty() && !delivery.spans.is_empty() && run.strays.is_empty();
    is_some && exchanges.iter().all(asked) && is_within(delivery, ours)
}

/// Whether telemetry came in known traces only, and all of it came in.
fn is_within(delivery: &Delivery, known: impl Fn(&str) -> bool) -> bool {
    delivery.refusals.is_empty()
        && delivery.spans.iter().all(|span| known(&span.trace_id))
        && delivery.logs.iter().all(|log| log.trace_id.as_deref().is_some_and(&known))
}
