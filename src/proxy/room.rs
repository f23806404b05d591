//! The room behind a door: what one session has met so far, and what its next request meets.

use super::address::lock;
use super::memory::{Memory, Recall};
use super::{Missed, Session, Witness};
use crate::condition::{Conditions, Effect, Plan, Shape, failure};
use crate::fault::Faults;
use crate::limit;
use crate::recording::Miss;
use crate::wire::call::Api;
use crate::wire::{End, Exchange, Payload, Request, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;

/// What one session has met.
pub(super) struct Room {
    conditions: Conditions,
    trial: Option<u32>,
    state: Mutex<State>,
    /// How many exchanges are running.
    running: watch::Sender<usize>,
}

struct State {
    memory: Box<dyn Memory>,
    /// Distinct requests to models, by key.
    calls: HashMap<String, Call>,
    /// Answers that were taken from memory for an attempt that did not get them whole: the next attempt does.
    held: HashMap<String, VecDeque<Exchange>>,
    exchanges: BTreeMap<u64, Exchange>,
    misses: Vec<Missed>,
    refused: Vec<String>,
    met: BTreeSet<usize>,
    faults: Faults,
}

/// A distinct request: which one it is, and how often it was asked.
#[derive(Debug, Clone, Copy)]
struct Call {
    number: u32,
    attempts: u32,
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("running", &*self.running.borrow()).finish_non_exhaustive()
    }
}

impl Room {
    pub(super) fn new(session: Session) -> Self {
        let state = State {
            memory: session.memory,
            calls: HashMap::new(),
            held: HashMap::new(),
            exchanges: BTreeMap::new(),
            misses: Vec::new(),
            refused: Vec::new(),
            met: BTreeSet::new(),
            faults: Faults::new(),
        };
        Self { conditions: session.conditions, trial: session.trial, state: Mutex::new(state), running: watch::Sender::new(0) }
    }

    /// Takes a request in.
    pub(super) fn admit(self: &Arc<Self>, variable: String, request: Request) -> Receipt {
        let at = DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut state = lock(&self.state);
        let seq = state.exchanges.last_key_value().map_or(1, |(seq, _)| seq + 1);
        let asked = Exchange { seq, ms: None, at: Some(at), upstream: Some(variable), trial: self.trial, request, response: None };
        state.exchanges.insert(seq, asked.clone());
        drop(state);
        self.running.send_modify(|running| *running += 1);
        Receipt { room: Arc::clone(self), exchange: asked, since: Instant::now(), head_sent: false, sent: 0, settled: false }
    }

    /// Notes a request that was refused before it was read.
    pub(super) fn refuse(&self, why: String) {
        lock(&self.state).refused.push(why);
    }

    /// How a request is answered: by a condition, or from memory.
    pub(super) fn decide(&self, asked: &Exchange) -> Plan {
        if let Some(response) = asked.upstream.as_deref().and_then(|variable| self.conditions.upstream(variable)) {
            return Plan::at_once(response.clone());
        }
        let mut state = lock(&self.state);
        if self.conditions.model().is_empty() || matches!(Api::of(asked), Api::Other(_)) {
            return state.recalled(asked, None);
        }
        let key = state.memory.key(asked);
        let call = state.attempt(&key);
        let Some((place, effect)) = self.conditions.met(call.number, call.attempts) else {
            return state.recalled(asked, Some(&key));
        };
        let plan = match effect {
            Effect::Fail(failure) => failure.plan(&Api::of(asked)),
            Effect::Repeat(exchange) => Plan::recorded((**exchange).clone()),
            Effect::Shape(shape) => match state.shaped(shape, asked, &key) {
                Some(plan) => plan,
                // The answer has nothing that the condition could change.
                None => return state.recalled(asked, Some(&key)),
            },
        };
        state.met.insert(place);
        plan
    }

    pub(super) fn arrived(&self) -> u64 {
        lock(&self.state).exchanges.len() as u64
    }

    /// Waits until no exchange is running, but not for long: the application is gone, or does not want the answers.
    pub(super) async fn settled(&self) {
        let mut running = self.running.subscribe();
        let _ = tokio::time::timeout(Duration::from_secs(limit::SETTLE_SECONDS), running.wait_for(|running| *running == 0)).await;
    }

    pub(super) fn witness(&self) -> Witness {
        let mut state = lock(&self.state);
        let unmet = (0..self.conditions.model().len()).filter(|place| !state.met.contains(place)).collect();
        Witness {
            exchanges: std::mem::take(&mut state.exchanges).into_values().collect(),
            misses: std::mem::take(&mut state.misses),
            refused: std::mem::take(&mut state.refused),
            unmet,
            faults: std::mem::take(&mut state.faults),
        }
    }
}

impl State {
    /// Counts an attempt of a request.
    fn attempt(&mut self, key: &str) -> Call {
        let number = u32::try_from(self.calls.len()).unwrap_or(u32::MAX).saturating_add(1);
        let call = self.calls.entry(key.to_string()).or_insert(Call { number, attempts: 0 });
        call.attempts = call.attempts.saturating_add(1);
        *call
    }

    /// The next answer from memory, or an error that says that there is none.
    fn recalled(&mut self, asked: &Exchange, key: Option<&str>) -> Plan {
        if let Some(held) = key.and_then(|key| self.held.get_mut(key)).and_then(VecDeque::pop_front) {
            return Plan::recorded(held);
        }
        match self.memory.recall(asked) {
            Ok(Recall::Recorded(exchange)) => Plan::recorded(*exchange),
            Ok(Recall::Missed(miss)) => self.missed(asked, miss),
            Err(faults) => {
                self.faults.extend(faults);
                unrecorded(asked, "its recording cannot be read")
            }
        }
    }

    /// A conditioned answer. The recorded one stays for the next attempt; none when there is nothing to change.
    fn shaped(&mut self, shape: &Shape, asked: &Exchange, key: &str) -> Option<Plan> {
        let held = self.held.get(key).and_then(VecDeque::front).cloned();
        let recorded = match held {
            Some(held) => Some(held),
            None => match self.memory.recall(asked) {
                Ok(Recall::Recorded(exchange)) => {
                    self.held.entry(key.to_string()).or_default().push_back((*exchange).clone());
                    Some(*exchange)
                }
                Ok(Recall::Missed(miss)) => return Some(shape.plan(asked, None).unwrap_or_else(|| self.missed(asked, miss))),
                Err(faults) => {
                    self.faults.extend(faults);
                    return Some(unrecorded(asked, "its recording cannot be read"));
                }
            },
        };
        shape.plan(asked, recorded)
    }

    fn missed(&mut self, asked: &Exchange, miss: Miss) -> Plan {
        let plan = unrecorded(asked, miss.detail.lines().next().unwrap_or_default());
        self.misses.push(Missed { seq: asked.seq, detail: miss.detail });
        plan
    }
}

/// The error that no SDK retries, and that a person understands.
fn unrecorded(asked: &Exchange, why: &str) -> Plan {
    let message = format!("relapse replays and does not go live: {why}");
    let mut response = failure::response(&Api::of(asked), 422, "relapse_unrecorded", &message);
    response.headers.insert("x-should-retry".into(), "false".into());
    Plan::at_once(response)
}

/// What is written down of one exchange while it runs; dropped before it is settled, the application has gone.
pub(super) struct Receipt {
    room: Arc<Room>,
    exchange: Exchange,
    since: Instant,
    head_sent: bool,
    /// Events, or pieces, that are on their way.
    sent: usize,
    settled: bool,
}

impl Receipt {
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

    /// The exchange went as planned.
    pub(super) fn settle(mut self) {
        self.settled = true;
    }

    /// What was seen of an answer by an application that went away.
    fn cut_short(&mut self) {
        self.exchange.ms = Some(self.since.elapsed().as_secs_f64() * 1e3);
        let (head_sent, sent) = (self.head_sent, self.sent);
        let Some(response) = self.exchange.response.as_mut().filter(|_| head_sent) else {
            self.exchange.response = None;
            return;
        };
        response.end = End::ClientGone;
        match &mut response.payload {
            Payload::Events(events) => events.truncate(sent),
            payload if sent == 0 => *payload = Payload::Empty,
            _ => {}
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.settled {
            self.cut_short();
        }
        let exchange = std::mem::replace(&mut self.exchange, nothing());
        lock(&self.room.state).exchanges.insert(exchange.seq, exchange);
        self.room.running.send_modify(|running| *running = running.saturating_sub(1));
    }
}

/// What takes the place of an exchange that has been handed over.
fn nothing() -> Exchange {
    Exchange { seq: 0, ms: None, at: None, upstream: None, trial: None, request: Request::default(), response: None::<Response> }
}
