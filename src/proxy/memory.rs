//! What a session knows of earlier ones.

use crate::fault::Faults;
use crate::recording::{Answers, Miss};
use crate::wire::Exchange;

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

impl Memory for Answers {
    fn key(&self, request: &Exchange) -> String {
        self.matcher().key(request)
    }

    fn recall(&mut self, request: &Exchange) -> Result<Recall, Faults> {
        Ok(match self.next(request)? {
            Ok(exchange) => Recall::Recorded(Box::new(exchange)),
            Err(miss) => Recall::Missed(miss),
        })
    }
}
