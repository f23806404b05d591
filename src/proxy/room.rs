//! The room behind a door: what one session has met so far, and what its next request meets.

use super::address::lock;
use super::memory::{Blank, Memory, Recall};
use super::receipt::Receipt;
use super::reference::Told;
use super::{Missed, Network, Session, Witness};
use crate::client::Spent;
use crate::condition::{Conditions, Effect, Plan, Shape};
use crate::egress::Address;
use crate::fault::Faults;
use crate::limit;
use crate::recording::Miss;
use crate::request::Clock;
use crate::wire::call::Api;
use crate::wire::{Exchange, Request};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// What one session has met.
pub(super) struct Room {
    addresses: HashMap<String, Address>,
    network: Option<Network>,
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
    told: Told,
    exchanges: BTreeMap<u64, Exchange>,
    live: Vec<Exchange>,
    clock: Clock,
    misses: Vec<Missed>,
    troubles: Vec<Missed>,
    unsent: Vec<Missed>,
    unaffordable: Vec<Missed>,
    spent: Spent,
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
    pub(super) fn new(session: Session, addresses: HashMap<String, Address>) -> Self {
        let state = State {
            memory: session.memory,
            calls: HashMap::new(),
            held: HashMap::new(),
            told: Told::default(),
            exchanges: BTreeMap::new(),
            live: Vec::new(),
            clock: Clock::Real,
            misses: Vec::new(),
            troubles: Vec::new(),
            unsent: Vec::new(),
            unaffordable: Vec::new(),
            spent: Spent::default(),
            refused: Vec::new(),
            met: BTreeSet::new(),
            faults: Faults::new(),
        };
        let (conditions, trial, network) = (session.conditions, session.trial, session.network);
        Self { addresses, network, conditions, trial, state: Mutex::new(state), running: watch::Sender::new(0) }
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
        Receipt::new(Arc::clone(self), asked)
    }

    /// Takes an exchange back that is over.
    pub(super) fn discharge(&self, exchange: Exchange) {
        lock(&self.state).exchanges.insert(exchange.seq, exchange);
        self.running.send_modify(|running| *running = running.saturating_sub(1));
    }

    /// Notes what a server answered live.
    pub(super) fn live(&self, answered: Exchange) {
        lock(&self.state).live.push(answered);
    }

    /// Notes why there is no whole live answer to a request.
    pub(super) fn trouble(&self, seq: u64, why: String) {
        lock(&self.state).troubles.push(Missed { seq, detail: why });
    }

    /// Notes why a request was not sent.
    pub(super) fn unsent(&self, seq: u64, why: String) {
        lock(&self.state).unsent.push(Missed { seq, detail: why });
    }

    /// Notes that the budget has no room for a request.
    pub(super) fn unaffordable(&self, seq: u64, why: String) {
        lock(&self.state).unaffordable.push(Missed { seq, detail: why });
    }

    /// Adds what a live request cost.
    pub(super) fn spent(&self, cost: Spent) {
        lock(&self.state).spent += cost;
    }

    /// Keeps a whole answer for the next attempt.
    pub(super) fn hold(&self, key: &str, answered: Exchange) {
        lock(&self.state).held.entry(key.to_string()).or_default().push_back(answered);
    }

    /// The network, and an upstream's address in it.
    pub(super) fn network(&self, variable: &str) -> Option<(&Network, &Address)> {
        self.network.as_ref().zip(self.addresses.get(variable))
    }

    /// Notes a request that was refused before it was read.
    pub(super) fn refuse(&self, why: String) {
        lock(&self.state).refused.push(why);
    }

    /// How a request is answered: by a condition, from memory, or live.
    pub(super) fn decide(&self, asked: &Exchange) -> Decision {
        if let Some(response) = asked.upstream.as_deref().and_then(|variable| self.conditions.upstream.get(variable)) {
            return Decision::Play(Plan::at_once(response.clone()));
        }
        let mut state = lock(&self.state);
        let found = match self.found(&mut state, asked) {
            Found::Nothing(miss, reshape) => self.rejection(&state, asked).map_or(Found::Nothing(miss, reshape), Found::Plan),
            found => found,
        };
        let decision = match found {
            Found::Plan(plan) => Decision::Play(plan),
            Found::Nothing(_, reshape) if self.network.is_some() => {
                Decision::Forward(Forward { reshape, body: state.told.resolve(&asked.request.body) })
            }
            Found::Nothing(miss, _) => Decision::Play(state.missed(asked, miss)),
        };
        if !matches!(decision, Decision::Forward(Forward { reshape: None, .. })) {
            state.clock = Clock::Virtual;
        }
        if let Decision::Play(Plan { response: Some(response), .. }) = &decision
            && Api::of(asked) == Api::OpenAiResponses
        {
            state.told.learn(&asked.request, response);
        }
        decision
    }

    /// The error that a request earned in the incident, and earns again where nothing recorded answers it.
    fn rejection(&self, state: &State, asked: &Exchange) -> Option<Plan> {
        let rejected = &self.conditions.rejected;
        let key = (!rejected.is_empty()).then(|| state.memory.key(asked))?;
        rejected.iter().find(|exchange| state.memory.key(exchange) == key).cloned().map(Plan::recorded)
    }

    fn found(&self, state: &mut State, asked: &Exchange) -> Found {
        if self.conditions.model.is_empty() || matches!(Api::of(asked), Api::Other(_)) {
            return state.recalled(asked, None);
        }
        let key = state.memory.key(asked);
        let call = state.attempt(&key);
        let Some((place, effect)) = self.conditions.met(call.number, call.attempts) else {
            return state.recalled(asked, Some(&key));
        };
        let found = match &*effect.on(asked) {
            Effect::Fail(failure) => Found::Plan(failure.plan(&Api::of(asked))),
            Effect::Repeat(exchange) => Found::Plan(Plan::recorded((**exchange).clone())),
            Effect::Shape(shape) => match state.shaped(shape, asked, &key) {
                Some(found) => found,
                // The answer has nothing that the condition could change.
                None => return state.recalled(asked, Some(&key)),
            },
        };
        state.met.insert(place);
        found
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
        // Connections may outlive the session; what it knew is its owner's again.
        state.memory = Box::new(Blank);
        let unmet = self.unmet(&state);
        Witness {
            exchanges: std::mem::take(&mut state.exchanges).into_values().collect(),
            live: std::mem::take(&mut state.live),
            clock: state.clock,
            misses: std::mem::take(&mut state.misses),
            troubles: std::mem::take(&mut state.troubles),
            unsent: std::mem::take(&mut state.unsent),
            unaffordable: std::mem::take(&mut state.unaffordable),
            spent: state.spent,
            refused: std::mem::take(&mut state.refused),
            unmet,
            faults: std::mem::take(&mut state.faults),
        }
    }
}

impl Room {
    /// Conditions that took effect on no request.
    fn unmet(&self, state: &State) -> Vec<String> {
        let model = self.conditions.model.iter().enumerate().filter(|(place, _)| !state.met.contains(place));
        let was_asked = |variable: &str| state.exchanges.values().any(|exchange| exchange.upstream.as_deref() == Some(variable));
        let upstream = self.conditions.upstream.keys().filter(|variable| !was_asked(variable));
        model.map(|(_, condition)| condition.to_string()).chain(upstream.map(|variable| format!("upstream {variable}"))).collect()
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

    /// The next answer from memory.
    fn recalled(&mut self, asked: &Exchange, key: Option<&str>) -> Found {
        if let Some(held) = key.and_then(|key| self.held.get_mut(key)).and_then(VecDeque::pop_front) {
            return Found::Plan(Plan::recorded(held));
        }
        match self.recall(asked) {
            Ok(exchange) => Found::Plan(Plan::recorded(exchange)),
            Err(Absent::Missed(miss)) => Found::Nothing(miss, None),
            Err(Absent::Unreadable) => Found::Plan(unrecorded(asked, UNREADABLE)),
        }
    }

    /// A conditioned answer. The recorded one stays for the next attempt; none when there is nothing to change.
    fn shaped(&mut self, shape: &Shape, asked: &Exchange, key: &str) -> Option<Found> {
        let held = self.held.get(key).and_then(VecDeque::front).cloned();
        let recorded = match held.map_or_else(|| self.recall(asked), Ok) {
            Ok(recorded) => recorded,
            Err(Absent::Unreadable) => return Some(Found::Plan(unrecorded(asked, UNREADABLE))),
            Err(Absent::Missed(miss)) => {
                let reshape = Reshape { key: key.to_string(), shape: shape.clone() };
                return Some(shape.plan(asked, None).map_or(Found::Nothing(miss, Some(reshape)), Found::Plan));
            }
        };
        self.held.entry(key.to_string()).or_insert_with(|| VecDeque::from([recorded.clone()]));
        shape.plan(asked, Some(recorded)).map(Found::Plan)
    }

    fn recall(&mut self, asked: &Exchange) -> Result<Exchange, Absent> {
        match self.memory.recall(asked) {
            Ok(Recall::Recorded(exchange)) => Ok(*exchange),
            Ok(Recall::Missed(miss)) => Err(Absent::Missed(miss)),
            Err(faults) => {
                self.faults.extend(faults);
                Err(Absent::Unreadable)
            }
        }
    }

    fn missed(&mut self, asked: &Exchange, miss: Miss) -> Plan {
        let plan = unrecorded(asked, miss.detail.lines().next().unwrap_or_default());
        self.misses.push(Missed { seq: asked.seq, detail: miss.detail });
        plan
    }
}

/// How a request is answered.
pub(super) enum Decision {
    /// As planned.
    Play(Plan),
    /// By its server.
    Forward(Forward),
}

/// How a request goes live.
pub(super) struct Forward {
    /// What its answer becomes, where a condition changes it.
    pub(super) reshape: Option<Reshape>,
    /// The body, where it is not the one that came.
    pub(super) body: Option<Value>,
}

/// What a live answer becomes.
pub(super) struct Reshape {
    /// The request's key: the next attempt gets the answer whole.
    pub(super) key: String,
    /// What is done to it.
    pub(super) shape: Shape,
}

/// Why memory gives no answer.
enum Absent {
    Missed(Miss),
    Unreadable,
}

const UNREADABLE: &str = "its recording cannot be read";

/// What is known of a request.
enum Found {
    Plan(Plan),
    Nothing(Miss, Option<Reshape>),
}

/// The error that no SDK retries, and that a person understands.
fn unrecorded(asked: &Exchange, why: &str) -> Plan {
    let message = format!("relapse replays and does not go live: {why}");
    Plan::refused(&Api::of(asked), 422, "relapse_unrecorded", &message)
}
