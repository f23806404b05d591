//! The record/replay proxy: it stands on loopback between an application and the servers that it talks to.
//!
//! One [`Proxy`] serves a whole run. Each session opens a [`Door`] with paths that nobody can guess, one for each variable
//! that names a server; an application gets the door's addresses in place of the real ones. What goes through a door
//! meets the session's [`Conditions`], then its [`Memory`] of earlier sessions, and is told in the door's [`Witness`].

mod address;
mod arrival;
mod line;
mod live;
mod memory;
mod play;
mod receipt;
mod reference;
mod room;
mod serve;

use crate::client::{Purse, Spent};
use crate::condition::Conditions;
use crate::egress::{Address, Egress};
use crate::fault::{Fault, Faults};
use crate::request::Clock;
use crate::token;
use crate::wire::Exchange;
use address::{Entrance, Entrances, Hall};
use room::Room;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use memory::{Blank, Memory, Recall};

/// A server that an application talks to: the variable that holds its address, and the real address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The variable.
    pub variable: String,
    /// The address, with the path that the application's requests begin with.
    pub url: String,
}

/// What one session of an application is to meet.
pub struct Session {
    /// The servers that it talks to.
    pub upstreams: Vec<Upstream>,
    /// What happens to its calls.
    pub conditions: Conditions,
    /// The trial that its exchanges belong to.
    pub trial: Option<u32>,
    /// What is known of earlier sessions.
    pub memory: Box<dyn Memory>,
    /// The network, where what is not known goes live.
    pub network: Option<Network>,
}

/// The way to the servers.
#[derive(Debug, Clone)]
pub struct Network {
    /// The door to the network.
    pub egress: Arc<Egress>,
    /// What requests may cost.
    pub purse: Arc<Purse>,
}

/// What went through a door.
#[derive(Debug, Default)]
pub struct Witness {
    /// Every exchange in order of arrival, ended as the application saw it end.
    pub exchanges: Vec<Exchange>,
    /// What servers answered live, whole, whatever the application saw of it; it may be recorded.
    pub live: Vec<Exchange>,
    /// What the times of the exchanges were taken from: answers that are played are not waited for.
    pub clock: Clock,
    /// Requests that nothing answers.
    pub misses: Vec<Missed>,
    /// Requests whose live answer did not come to its end.
    pub troubles: Vec<Missed>,
    /// Requests that could not or must not be sent to their server.
    pub unsent: Vec<Missed>,
    /// Requests that were not sent because the budget has no room for them.
    pub unaffordable: Vec<Missed>,
    /// What the live requests cost.
    pub spent: Spent,
    /// Requests that were refused before they were read, and why.
    pub refused: Vec<String>,
    /// Conditions that took effect on no request, in words.
    pub unmet: Vec<String>,
    /// Recordings that could not be read.
    pub faults: Faults,
}

/// A request that got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Its place among the exchanges.
    pub seq: u64,
    /// Why; where nothing is recorded, with the difference to the nearest recording, over several lines.
    pub detail: String,
}

impl Missed {
    /// Requests in words, a line for all that have one reason: what is tried again mostly fails again.
    pub fn tell(missed: &[Self]) -> String {
        let mut details: Vec<(&str, Vec<String>)> = Vec::new();
        for Self { seq, detail } in missed {
            match details.iter_mut().find(|(known, _)| known == detail) {
                Some((_, places)) => places.push(seq.to_string()),
                None => details.push((detail, vec![seq.to_string()])),
            }
        }
        let line = |(detail, places): &(&str, Vec<String>)| {
            format!("request{} {}: {detail}", if places.len() > 1 { "s" } else { "" }, places.join(", "))
        };
        details.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// The proxy.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    entrances: Arc<Entrances>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of loopback until it is dropped; to be called within a runtime.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn bind() -> Result<Self, Fault> {
        let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let failed = |error: std::io::Error| Fault::infrastructure(format!("the proxy cannot listen on loopback: {error}"));
        let listener = listening.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let entrances = Arc::new(Entrances::default());
        let accepting = tokio::spawn(serve::accept(listener, Arc::clone(&entrances)));
        Ok(Self { address, entrances, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens a door for a session.
    ///
    /// # Errors
    /// An upstream's address is none, or the system gives no random bytes.
    pub fn open(&self, session: Session) -> Result<Door, Faults> {
        let addresses = addresses(&session.upstreams)?;
        let room = Arc::new(Room::new(session, addresses.iter().cloned().collect()));
        let paths = self.paths(&addresses, |variable| Entrance::Private { room: Arc::clone(&room), variable })?;
        Ok(Door { room, paths, entrances: Arc::clone(&self.entrances), shared: Vec::new() })
    }

    /// Opens a lobby: addresses that outlive sessions, for an application that is started once and asked several times.
    ///
    /// # Errors
    /// As for [`Proxy::open`].
    pub fn lobby(&self, upstreams: &[Upstream]) -> Result<Lobby, Faults> {
        let hall = Arc::new(Hall::default());
        let paths = self.paths(&addresses(upstreams)?, |variable| Entrance::Shared { hall: Arc::clone(&hall), variable })?;
        Ok(Lobby { hall, paths, entrances: Arc::clone(&self.entrances) })
    }

    fn paths(&self, addresses: &[(String, Address)], entrance: impl Fn(String) -> Entrance) -> Result<Vec<Path>, Fault> {
        let mut paths = Vec::new();
        for (variable, address) in addresses {
            let token = token::new()?;
            let base_url = format!("http://{}/{token}{}", self.address, address.path());
            self.entrances.add(token.clone(), entrance(variable.clone()));
            paths.push(Path { variable: variable.clone(), token, base_url });
        }
        Ok(paths)
    }
}

fn addresses(upstreams: &[Upstream]) -> Result<Vec<(String, Address)>, Faults> {
    let mut faults = Faults::new();
    let mut addresses = Vec::new();
    for upstream in upstreams {
        let address =
            Address::parse(&upstream.url).map_err(|fault| Fault { message: format!("{}: {}", upstream.variable, fault.message), ..fault });
        addresses.extend(faults.take(address).map(|address| (upstream.variable.clone(), address)));
    }
    faults.into_result(addresses)
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The way to one upstream.
#[derive(Debug)]
struct Path {
    variable: String,
    token: String,
    base_url: String,
}

fn base_urls(paths: &[Path]) -> impl Iterator<Item = (&str, &str)> {
    paths.iter().map(|path| (path.variable.as_str(), path.base_url.as_str()))
}

/// A session's way through the proxy.
#[derive(Debug)]
pub struct Door {
    room: Arc<Room>,
    paths: Vec<Path>,
    entrances: Arc<Entrances>,
    shared: Vec<Arc<Hall>>,
}

impl Door {
    /// The address to give to the application in a variable.
    pub fn base_url(&self, variable: &str) -> Option<&str> {
        base_urls(&self.paths).find(|(name, _)| *name == variable).map(|(_, url)| url)
    }

    /// Every variable with its address.
    pub fn base_urls(&self) -> impl Iterator<Item = (&str, &str)> {
        base_urls(&self.paths)
    }

    /// Takes the requests that come through a lobby with a trace id, or all that no other session takes.
    pub fn take(&mut self, lobby: &Lobby, trace_id: Option<&str>) {
        lobby.hall.let_in(trace_id, &self.room);
        self.shared.push(Arc::clone(&lobby.hall));
    }

    /// How many requests have arrived.
    pub fn arrived(&self) -> u64 {
        self.room.arrived()
    }

    /// Shuts the door, waits a moment for exchanges that are still running, and tells what was seen.
    pub async fn close(self) -> Witness {
        self.shut();
        self.room.settled().await;
        self.room.witness()
    }

    fn shut(&self) {
        self.entrances.remove(self.paths.iter().map(|path| path.token.as_str()));
        self.shared.iter().for_each(|hall| hall.let_out(&self.room));
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shut();
    }
}

/// Addresses that several sessions share, one after the other or told apart by their traces.
#[derive(Debug)]
pub struct Lobby {
    hall: Arc<Hall>,
    paths: Vec<Path>,
    entrances: Arc<Entrances>,
}

impl Lobby {
    /// The address to give to the application in a variable.
    pub fn base_url(&self, variable: &str) -> Option<&str> {
        base_urls(&self.paths).find(|(name, _)| *name == variable).map(|(_, url)| url)
    }

    /// Every variable with its address.
    pub fn base_urls(&self) -> impl Iterator<Item = (&str, &str)> {
        base_urls(&self.paths)
    }

    /// How many requests came that belong to no session.
    pub fn strays(&self) -> u64 {
        self.hall.strays()
    }
}

impl Drop for Lobby {
    fn drop(&mut self) {
        self.entrances.remove(self.paths.iter().map(|path| path.token.as_str()));
    }
}
