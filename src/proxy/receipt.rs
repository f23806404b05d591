//! The receipt of one exchange: what the application has seen of it so far.

use super::Network;
use super::room::Room;
use crate::client::{Bill, Reservation};
use crate::condition::Plan;
use crate::egress::{Address, Trouble};
use crate::redact::keep_header;
use crate::wire::call::Attempt;
use crate::wire::{End, Exchange, Payload, Request, Response};
use std::sync::Arc;
use std::time::Instant;

/// What is written down of one exchange while it runs; dropped before it is settled, the application has gone.
pub(super) struct Receipt {
    room: Arc<Room>,
    exchange: Exchange,
    since: Instant,
    head_sent: bool,
    /// Events, or pieces, that are on their way.
    sent: usize,
    settled: bool,
    /// What is put aside for it while it is live.
    owed: Option<(Bill, Reservation)>,
}

impl Receipt {
    pub(super) fn new(room: Arc<Room>, asked: Exchange) -> Self {
        Self { room, exchange: asked, since: Instant::now(), head_sent: false, sent: 0, settled: false, owed: None }
    }

    /// What was asked, and what has been answered so far.
    pub(super) fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// The plan that the application gets to see from now on.
    pub(super) fn follow(&mut self, plan: &Plan) {
        self.exchange.response.clone_from(&plan.response);
        self.exchange.ms = plan.ms;
    }

    pub(super) fn head_sent(&mut self) {
        self.head_sent = true;
    }

    pub(super) fn sent_one(&mut self) {
        self.sent += 1;
    }

    /// The network, and the upstream's address in it.
    pub(super) fn network(&self) -> Option<(&Network, &Address)> {
        self.room.network(self.exchange.upstream.as_deref()?)
    }

    /// Something is put aside for a live answer.
    pub(super) fn owe(&mut self, bill: Bill, reservation: Reservation) {
        self.owed = Some((bill, reservation));
    }

    /// Pays for what came of a live request.
    pub(super) fn pay(&mut self, answered: &Exchange, trouble: Option<&Trouble>) {
        let Some((bill, reservation)) = self.owed.take() else { return };
        let cost = bill.spent(answered, Attempt::of(answered).as_ref(), trouble);
        reservation.settle(cost);
        self.room.spent(cost);
    }

    /// Notes why this request was not sent.
    pub(super) fn unsent(&self, why: String) {
        self.room.unsent(self.exchange.seq, why);
    }

    /// The budget has no room for this request.
    pub(super) fn unaffordable(&self, why: String) {
        self.room.unaffordable(self.exchange.seq, why);
    }

    /// The head of a live answer is on its way.
    pub(super) fn begun(&mut self, head: &Response) {
        let mut head = head.clone();
        head.headers.retain(|name, _| keep_header(name));
        self.exchange.response = Some(head);
        self.head_sent = true;
    }

    /// The exchange with a live answer, and the time that it took.
    pub(super) fn answered(&self, response: Response) -> Exchange {
        Exchange { response: Some(response), ms: Some(self.elapsed()), ..self.exchange.clone() }
    }

    /// The application has a whole live answer.
    pub(super) fn live(mut self, answered: Exchange) {
        self.pay(&answered, None);
        self.exchange.clone_from(&answered);
        self.room.live(answered);
        self.settled = true;
    }

    /// The application has what came of a live answer.
    pub(super) fn broke_off(mut self, answered: Exchange) {
        self.exchange = answered;
        self.settled = true;
    }

    /// Notes why there is no whole live answer.
    pub(super) fn trouble(&self, why: String) {
        self.room.trouble(self.exchange.seq, why);
    }

    /// Keeps a whole live answer for the next attempt.
    pub(super) fn keep(&mut self, key: &str, answered: Exchange) {
        self.pay(&answered, None);
        self.room.live(answered.clone());
        self.room.hold(key, answered);
    }

    /// The application went away from a live answer.
    pub(super) fn left(mut self, mut seen: Response) {
        seen.headers.retain(|name, _| keep_header(name));
        self.exchange.ms = Some(self.elapsed());
        self.exchange.response = Some(seen);
        self.settled = true;
    }

    fn elapsed(&self) -> f64 {
        self.since.elapsed().as_micros() as f64 / 1e3
    }

    /// The exchange went as planned.
    pub(super) fn settle(mut self) {
        self.settled = true;
    }

    /// What was seen of an answer by an application that went away.
    fn cut_short(&mut self) {
        let (head_sent, sent, elapsed) = (self.head_sent, self.sent, self.elapsed());
        let Some(response) = self.exchange.response.as_mut().filter(|_| head_sent) else {
            self.exchange.ms = Some(elapsed);
            self.exchange.response = None;
            return;
        };
        match &mut response.payload {
            Payload::Events(events) => events.truncate(sent),
            payload if sent == 0 => *payload = Payload::Empty,
            _ => {}
        }
        // Many clients do not wait for the connection to end, and have the whole answer.
        if !response.has_last_event() {
            response.end = End::ClientGone;
            response.cuts.clear();
            self.exchange.ms = Some(elapsed);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.settled {
            self.cut_short();
        }
        let exchange = std::mem::replace(&mut self.exchange, nothing());
        self.pay(&exchange, None);
        self.room.discharge(exchange);
    }
}

/// What takes the place of an exchange that has been handed over.
fn nothing() -> Exchange {
    Exchange { seq: 0, ms: None, at: None, upstream: None, trial: None, request: Request::default(), response: None::<Response> }
}
