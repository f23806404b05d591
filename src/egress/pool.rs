//! A pool of connections for each runtime that asks.

use super::{Deadlines, Trouble};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::runtime::{Handle, Id};

/// One way out: reqwest clients that are made when they are first needed, because most runs need one way only.
///
/// A connection is served by the runtime that opened it. Were it shared, every piece of an answer would wake a thread of
/// another runtime, which costs more than to read the piece.
#[derive(Debug)]
pub(super) struct Pool {
    make: fn(Deadlines) -> reqwest::Result<reqwest::Client>,
    deadlines: Deadlines,
    clients: Mutex<HashMap<Id, reqwest::Client>>,
}

impl Pool {
    pub(super) fn new(make: fn(Deadlines) -> reqwest::Result<reqwest::Client>, deadlines: Deadlines) -> Self {
        Self { make, deadlines, clients: Mutex::default() }
    }

    /// The client of the runtime on which this is called.
    pub(super) fn client(&self) -> Result<reqwest::Client, Trouble> {
        let runtime = Handle::current().id();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&runtime) {
            return Ok(client.clone());
        }
        let client = (self.make)(self.deadlines)
            .map_err(|error| Trouble::Connect(format!("the network cannot be prepared: {}", Trouble::of(&error))))?;
        clients.insert(runtime, client.clone());
        Ok(client)
    }
}
