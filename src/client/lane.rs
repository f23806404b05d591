//! A lane: how many requests go to one provider at once, fewer after it says that it is too much.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The requests to one provider: their number grows slowly and is halved when the provider is overrun.
#[derive(Debug)]
pub(super) struct Lane {
    widest: f64,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    width: f64,
    running: usize,
    /// Nothing is sent before this moment.
    closed_until: Option<Instant>,
    /// When it was narrowed last; what was sent before says nothing of the width of today.
    narrowed: Option<Instant>,
}

/// A place on a lane, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    lane: &'a Lane,
    entered: Instant,
}

impl Lane {
    /// A lane for at most so many requests at once.
    pub(super) fn new(widest: usize) -> Self {
        let widest = widest.max(1) as f64;
        let state = State { width: widest, running: 0, closed_until: None, narrowed: None };
        Self { widest, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Waits until the lane is open and has a place.
    pub(super) async fn enter(&self) -> Place<'_> {
        loop {
            // Registered before looking, so that no change in between is missed.
            let changed = self.changed.notified();
            let until = {
                let mut state = self.lock();
                let now = Instant::now();
                let until = state.closed_until.filter(|until| *until > now);
                if until.is_none() && (state.running as f64) < state.width.floor() {
                    state.running += 1;
                    return Place { lane: self, entered: now };
                }
                until
            };
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => changed.await,
            }
        }
    }

    /// Lets nobody enter for a while; how much longer than before that is.
    pub(super) fn close(&self, wait: Duration) -> Duration {
        let mut state = self.lock();
        let now = Instant::now();
        let before = state.closed_until.filter(|until| *until > now).unwrap_or(now);
        let until = (now + wait).max(before);
        state.closed_until = Some(until);
        until - before
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// The provider answered: the lane grows by one for every round of answers.
    pub(super) fn answered(&self) {
        let mut state = self.lane.lock();
        state.width = (state.width + 1.0 / state.width).min(self.lane.widest);
    }

    /// The provider is overrun: the lane is halved, once for all the requests that were under way together.
    pub(super) fn overran(&self) {
        let mut state = self.lane.lock();
        if state.narrowed.is_none_or(|narrowed| self.entered >= narrowed) {
            state.width = (state.width / 2.0).max(1.0);
            state.narrowed = Some(Instant::now());
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.lane.lock().running -= 1;
        self.lane.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn enter(lane: &Lane) -> Option<Place<'_>> {
        match pin!(lane.enter()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    fn width(lane: &Lane) -> usize {
        lane.lock().width as usize
    }

    #[test]
    fn a_lane_takes_no_more_than_its_width() {
        let lane = Lane::new(2);
        let (first, second) = (enter(&lane), enter(&lane));
        assert!(first.is_some() && second.is_some() && enter(&lane).is_none());
        drop(first);
        assert!(enter(&lane).is_some());
    }

    #[test]
    fn requests_that_fail_together_halve_the_lane_once() {
        let lane = Lane::new(16);
        let places: Vec<_> = (0..16).filter_map(|_| enter(&lane)).collect();
        for place in &places {
            place.overran();
        }
        assert_eq!(width(&lane), 8);
        drop(places);
        enter(&lane).unwrap().overran();
        assert_eq!(width(&lane), 4);
    }

    #[test]
    fn answers_widen_the_lane_again_up_to_where_it_began() {
        let lane = Lane::new(4);
        enter(&lane).unwrap().overran();
        for _ in 0..3 {
            enter(&lane).unwrap().answered();
        }
        assert_eq!(width(&lane), 3);
        for _ in 0..100 {
            enter(&lane).unwrap().answered();
        }
        assert_eq!(width(&lane), 4);
    }

    #[test]
    fn waits_that_overlap_are_counted_once() {
        let lane = Lane::new(4);
        let first = lane.close(Duration::from_secs(10));
        assert_eq!(first, Duration::from_secs(10));
        assert!(lane.close(Duration::from_secs(10)) < Duration::from_secs(1));
        assert_eq!(lane.close(Duration::from_secs(1)), Duration::ZERO);
    }
}
