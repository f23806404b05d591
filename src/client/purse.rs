//! A purse: what a run may spend, looked into before each request.

use crate::project::Budget;
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What was spent on live requests.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spent {
    /// US dollars.
    pub usd: f64,
    /// Requests that reached a provider, or may have.
    pub requests: u64,
    /// Tokens, input and output.
    pub tokens: u64,
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.usd += other.usd;
        self.requests += other.requests;
        self.tokens += other.tokens;
    }
}

/// What a run may spend, and what it has.
#[derive(Debug)]
pub struct Purse {
    budget: Budget,
    state: Mutex<State>,
    settled: Notify,
}

#[derive(Debug, Default)]
struct State {
    spent: Spent,
    /// What the requests under way may cost, each of them.
    reserved: Spent,
}

/// What one request may cost, put aside until it is known what it did cost.
#[derive(Debug)]
pub struct Reservation {
    purse: Arc<Purse>,
    estimate: Spent,
}

impl Purse {
    /// A purse with a budget; what has no limit is not limited.
    pub fn new(budget: Budget) -> Self {
        Self { budget, state: Mutex::default(), settled: Notify::new() }
    }

    /// What was spent so far.
    pub fn spent(&self) -> Spent {
        self.lock().spent
    }

    /// Puts aside what a request may cost. While other requests hold what is missing, it waits to see what they do cost.
    ///
    /// # Errors
    /// The budget that has no room, in words.
    pub async fn reserve(self: &Arc<Self>, estimate: Spent) -> Result<Reservation, String> {
        loop {
            // Registered before looking, so that no settlement in between is missed.
            let settled = self.settled.notified();
            {
                let mut state = self.lock();
                let lacking = self.lacking(sum(state.spent, state.reserved), estimate);
                let Some(lacking) = lacking else {
                    state.reserved += estimate;
                    return Ok(Reservation { purse: Arc::clone(self), estimate });
                };
                if state.reserved.requests == 0 || self.lacking(state.spent, estimate).is_some() {
                    return Err(format!("{lacking}; {}", shown(&state.spent)));
                }
            }
            settled.await;
        }
    }

    /// The budget that a further request would exceed.
    fn lacking(&self, spent: Spent, estimate: Spent) -> Option<String> {
        let then = sum(spent, estimate);
        let Budget { usd, requests, tokens } = self.budget;
        if let Some(budget) = usd.filter(|budget| then.usd > *budget) {
            return Some(format!("the budget of ${budget:.2} has no room for a request of up to ${:.4}", estimate.usd));
        }
        if let Some(budget) = requests.filter(|budget| then.requests > u64::from(*budget)) {
            return Some(format!("the budget of {budget} requests is used up"));
        }
        let tokens = tokens.filter(|budget| then.tokens > u64::from(*budget));
        tokens.map(|budget| format!("the budget of {budget} tokens has no room for a request of about {}", estimate.tokens))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Replaces the estimate by what the request did cost.
    pub fn settle(self, spent: Spent) {
        self.purse.lock().spent += spent;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.purse.lock();
        state.reserved.usd -= self.estimate.usd;
        state.reserved.requests -= self.estimate.requests;
        state.reserved.tokens -= self.estimate.tokens;
        drop(state);
        self.purse.settled.notify_waiters();
    }
}

fn sum(mut one: Spent, other: Spent) -> Spent {
    one += other;
    one
}

fn shown(spent: &Spent) -> String {
    format!("spent so far: ${:.4} in {} requests with {} tokens", spent.usd, spent.requests, spent.tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    const REQUEST: Spent = Spent { usd: 0.4, requests: 1, tokens: 100 };

    fn purse(usd: Option<f64>, requests: Option<u32>, tokens: Option<u32>) -> Arc<Purse> {
        Arc::new(Purse::new(Budget { usd, requests, tokens }))
    }

    fn poll<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn refusal(purse: &Arc<Purse>) -> Option<String> {
        match poll(purse.reserve(REQUEST)) {
            Poll::Ready(result) => result.err(),
            Poll::Pending => panic!("waits"),
        }
    }

    #[test]
    fn each_budget_is_kept() {
        for (purse, word) in [
            (purse(Some(0.5), None, None), "$0.50"),
            (purse(None, Some(1), None), "1 requests"),
            (purse(None, None, Some(150)), "150 tokens"),
        ] {
            let Poll::Ready(Ok(first)) = poll(purse.reserve(REQUEST)) else { panic!("the first fits") };
            first.settle(REQUEST);
            assert!(refusal(&purse).unwrap().contains(word));
        }
        assert_eq!(refusal(&purse(None, None, None)), None);
        assert!(refusal(&purse(Some(0.0), None, None)).is_some());
    }

    #[test]
    fn a_request_waits_for_those_under_way_and_goes_when_they_were_cheaper() {
        let purse = purse(Some(0.5), None, None);
        let Poll::Ready(Ok(first)) = poll(purse.reserve(REQUEST)) else { panic!("the first fits") };
        let mut second = pin!(purse.reserve(REQUEST));
        let mut context = Context::from_waker(Waker::noop());
        assert!(second.as_mut().poll(&mut context).is_pending());
        first.settle(Spent { usd: 0.1, ..REQUEST });
        assert!(matches!(second.as_mut().poll(&mut context), Poll::Ready(Ok(_))));
    }

    #[test]
    fn a_request_that_is_given_up_gives_its_share_back() {
        let purse = purse(None, Some(1), None);
        drop(poll(purse.reserve(REQUEST)));
        assert_eq!(refusal(&purse), None);
        assert_eq!(purse.spent(), Spent::default());
    }
}
