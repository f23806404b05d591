//! What a session knows of earlier ones.

use super::address::lock;
use crate::canonical;
use crate::fault::Faults;
use crate::recording::{Answers, Miss};
use crate::wire::Exchange;
use std::sync::{Arc, Mutex};

/// What a session knows of earlier ones, and how it tells requests apart.
pub trait Memory: Send {
    /// The key of a request: two with the same key ask the same.
    fn key(&self, request: &Exchange) -> String;

    /// The next answer to a request.
    ///
    /// # Errors
    /// A recording that cannot be read.
    fn recall(&mut self, request: &Exchange) -> Result<Recall, Faults>;
}

/// What is known of a request.
#[derive(Debug)]
pub enum Recall {
    /// It was answered before, and is answered so again.
    Recorded(Box<Exchange>),
    /// Nothing answers it.
    Missed(Miss),
}

/// A memory with nothing in it: everything goes live.
#[derive(Debug, Clone, Copy, Default)]
pub struct Blank;

impl Memory for Blank {
    fn key(&self, request: &Exchange) -> String {
        let asked = &request.request;
        format!("{} {} {}", asked.method, asked.path, canonical::json(&asked.body))
    }

    fn recall(&mut self, request: &Exchange) -> Result<Recall, Faults> {
        let detail = format!("{} {} is not recorded, nor is anything else", request.request.method, request.request.path);
        Ok(Recall::Missed(Miss { detail }))
    }
}

/// A memory that outlives its session: it is let go when the door closes.
impl<M: Memory> Memory for Arc<Mutex<M>> {
    fn key(&self, request: &Exchange) -> String {
        lock(self).key(request)
    }

    fn recall(&mut self, request: &Exchange) -> Result<Recall, Faults> {
        lock(self).recall(request)
    }
}

impl Memory for Answers {
    fn key(&self, request: &Exchange) -> String {
        self.matcher().key(request)
    }

    fn recall(&mut self, request: &Exchange) -> Result<Recall, Faults> {
        Ok(match self.next(request)? {
            Some(recorded) => Recall::Recorded(Box::new(recorded.exchange)),
            None => Recall::Missed(self.miss(request)),
        })
    }
}
