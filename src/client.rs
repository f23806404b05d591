//! A client of model providers: within the budget, as fast as they allow, and patient where that helps.

mod bill;
mod failure;
mod lane;
mod patience;
mod purse;

pub use bill::Bill;
pub use purse::{Purse, Reservation, Spent};

use crate::egress::{Egress, Outgoing, Sent};
use crate::limit;
use crate::project::Budget;
use crate::provider::Endpoint;
use crate::verdict::Doubt;
use crate::wire::call::Attempt;
use crate::wire::{Exchange, Request};
use failure::{Failure, Remedy};
use lane::Lane;
use patience::{Patience, backoff, retry_after};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Asks providers for all conversations of a run.
#[derive(Debug)]
pub struct Client {
    egress: Arc<Egress>,
    purse: Arc<Purse>,
    patience: Patience,
    width: usize,
    lanes: Mutex<HashMap<String, Arc<Lane>>>,
}

/// An answer, and what it cost with all attempts at it.
#[derive(Debug)]
pub struct Answered {
    /// The exchange that counts.
    pub exchange: Exchange,
    /// What it was as an attempt of a model call; none where it speaks another API, as `/embeddings`.
    pub attempt: Option<Attempt>,
    /// What was spent.
    pub spent: Spent,
}

/// Why there is no answer, and what was spent all the same.
#[derive(Debug)]
pub struct Unanswered {
    /// [`Doubt::Infrastructure`] or [`Doubt::Budget`].
    pub doubt: Doubt,
    /// In words.
    pub detail: String,
    /// What was spent.
    pub spent: Spent,
}

impl Client {
    /// A client that spends no more than the budget, and asks each provider at most `width` questions at once.
    pub fn new(egress: Egress, budget: Budget, width: usize) -> Self {
        Self {
            egress: Arc::new(egress),
            purse: Arc::new(Purse::new(budget)),
            patience: Patience::default(),
            width,
            lanes: Mutex::default(),
        }
    }

    /// The door that this client uses.
    pub fn egress(&self) -> &Arc<Egress> {
        &self.egress
    }

    /// What the run may spend.
    pub fn purse(&self) -> &Arc<Purse> {
        &self.purse
    }

    /// What the run has spent.
    pub fn spent(&self) -> Spent {
        self.purse.spent()
    }

    /// Asks until there is an answer or asking again is of no use.
    ///
    /// A provider that is overrun is given the time that it asks for; what may be bad luck is tried
    /// [`limit::RETRIES`] times more. A refusal or a filter's block is an answer.
    ///
    /// # Errors
    /// Why there is no answer. Infrastructure is no verdict about a candidate, so it is never recorded.
    pub async fn ask(&self, endpoint: &Endpoint, request: &Request) -> Result<Answered, Unanswered> {
        let (lane, bill, secrets) = (self.lane(endpoint), Bill::of(&request.body, endpoint.price), endpoint.secrets());
        let outgoing = Outgoing { request, body: None, secrets: &secrets };
        let (mut spent, mut tries) = (Spent::default(), Tries::default());
        loop {
            let place = lane.enter().await;
            let reservation = match self.purse.reserve(bill.estimate()).await {
                Ok(reservation) => reservation,
                Err(detail) => return Err(Unanswered { doubt: Doubt::Budget, detail, spent }),
            };
            let Sent { exchange, trouble } = self.egress.send(&endpoint.address, &outgoing).await;
            let attempt = Attempt::of(&exchange);
            let cost = bill.spent(&exchange, attempt.as_ref(), trouble.as_ref());
            reservation.settle(cost);
            spent += cost;
            let Some(failure) = Failure::of(&exchange, attempt.as_ref(), trouble.as_ref()) else {
                place.answered();
                return Ok(Answered { exchange, attempt, spent });
            };
            if failure.remedy == Remedy::Patience {
                place.overran();
            }
            drop(place);
            let wait = tries.wait(&failure, &exchange).and_then(|wait| self.afford(&lane, wait, failure.remedy));
            match wait {
                Ok(wait) => tokio::time::sleep(wait).await,
                Err(why) => return Err(Unanswered { doubt: Doubt::Infrastructure, detail: tries.told(endpoint, &failure, why), spent }),
            }
        }
    }

    /// The lane of an endpoint's host.
    fn lane(&self, endpoint: &Endpoint) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lanes.entry(endpoint.address.authority()).or_insert_with(|| Arc::new(Lane::new(self.width))))
    }

    /// Takes a wait from the run's patience. A provider that is overrun gets it from all requests, so it counts once.
    fn afford(&self, lane: &Lane, wait: Duration, remedy: Remedy) -> Result<Duration, String> {
        let longer = if remedy == Remedy::Patience { lane.close(wait) } else { Duration::ZERO };
        if self.patience.spend(longer) {
            return Ok(wait);
        }
        Err(format!("the {} s that a run may wait are used up", limit::WAIT_RUN_SECONDS))
    }
}

/// How often a request was tried.
#[derive(Debug, Default)]
struct Tries {
    again: u32,
    patience: u32,
}

impl Tries {
    /// How long to wait before the next try.
    fn wait(&mut self, failure: &Failure, exchange: &Exchange) -> Result<Duration, String> {
        let (count, most) = match failure.remedy {
            Remedy::None => return Err(String::new()),
            Remedy::Again => (&mut self.again, limit::RETRIES),
            Remedy::Patience => (&mut self.patience, limit::OVERRUN_RETRIES),
        };
        if *count == most {
            return Err(String::new());
        }
        *count += 1;
        let asked = exchange.response.as_ref().and_then(|response| retry_after(&response.headers, SystemTime::now()));
        let longest = Duration::from_secs(limit::WAIT_SECONDS);
        match asked {
            Some(wait) if wait > longest => {
                Err(format!("it asks to wait {} s, and relapse waits {} s at most", wait.as_secs(), longest.as_secs()))
            }
            Some(wait) => Ok(wait),
            None => Ok(backoff(*count - 1)),
        }
    }

    fn told(&self, endpoint: &Endpoint, failure: &Failure, why: String) -> String {
        let times = 1 + self.again + self.patience;
        let tried = if times > 1 { format!(", tried {times} times") } else { String::new() };
        let why = if why.is_empty() { why } else { format!("; {why}") };
        format!("{} ({}) {}{tried}{why}", endpoint.provider, endpoint.address.host(), failure.what)
    }
}
