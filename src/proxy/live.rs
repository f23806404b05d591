//! Going live: a request is sent on as it came, and its answer is passed back piece by piece while it is written down.

use super::arrival::Arrival;
use super::line::Cutter;
use super::play::{self, Cut, FLUSH, OF_THE_CONNECTION, Played};
use super::receipt::Receipt;
use super::room::{Forward, Reshape};
use super::serve;
use crate::client::Bill;
use crate::condition::{Plan, failure};
use crate::egress::{Address, Egress, Incoming, Key, Outgoing, Trouble};
use crate::fault::Fault;
use crate::price::Price;
use crate::redact::keep_header;
use crate::wire::call::{Api, Attempt};
use crate::wire::{End, Exchange, Payload, Request, Response};
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::CONNECTION;
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Pieces that may wait for an application that reads slowly.
const WAITING: usize = 16;

/// Headers of a request that are not sent on: the connection's own, and what would pack an answer that is to be read.
const NOT_SENT_ON: &[&str] = &["accept-encoding", "content-length", "expect", "host", "proxy-authorization"];

/// Headers in which an application's key travels.
const KEYS: &[&str] = &["authorization", "x-api-key", "api-key"];

/// Sends a request on, and plays what comes back.
pub(super) async fn forward(arrival: &Arrival, mut receipt: Receipt, cutter: Cutter, forward: Forward) -> hyper::Response<Played> {
    let begun = begin(arrival, &mut receipt, &forward).await;
    let incoming = match begun {
        Ok(incoming) => incoming,
        Err(unsent) => {
            let plan = unsent.plan(receipt.exchange());
            match unsent {
                Unsent::Forbidden(why) | Unsent::Unreachable(why) => receipt.unsent(why),
                Unsent::Unaffordable(why) => receipt.unaffordable(why),
            }
            return serve::played(plan, receipt, cutter, arrival.is_bodiless()).await;
        }
    };
    match forward.reshape {
        Some(reshape) => reshaped(incoming, reshape, receipt, cutter).await,
        None => passed_on(incoming, receipt, cutter, arrival.is_bodiless()),
    }
}

/// Why a request was not answered by its server.
enum Unsent {
    /// It must not go to this server, or not with this key.
    Forbidden(String),
    /// The server cannot be reached.
    Unreachable(String),
    /// The budget has no room for it.
    Unaffordable(String),
}

impl Unsent {
    /// The answer to the application.
    fn plan(&self, asked: &Exchange) -> Plan {
        let api = Api::of(asked);
        match self {
            Self::Unreachable(why) => {
                Plan::at_once(failure::response(&api, 502, "relapse_unreachable", &format!("relapse cannot reach the server: {why}")))
            }
            Self::Forbidden(why) => Plan::refused(&api, 403, "relapse_forbidden", &format!("relapse does not send this: {why}")),
            Self::Unaffordable(why) => Plan::refused(&api, 402, "relapse_budget", &format!("relapse does not send this: {why}")),
        }
    }
}

async fn begin(arrival: &Arrival, receipt: &mut Receipt, forward: &Forward) -> Result<Incoming, Unsent> {
    let Some((network, address)) = receipt.network() else {
        return Err(Unsent::Unreachable("this upstream has no address".into()));
    };
    let (network, address) = (network.clone(), address.clone());
    let resolved = forward.body.as_ref().map(|body| Bytes::from(body.to_string()));
    let headers = sent_on(&arrival.headers, resolved.is_some());
    allowed(&network.egress, &address, &headers).map_err(Unsent::Forbidden)?;
    let (method, path) = (arrival.request.method.clone(), arrival.request.path.clone());
    let request = Request { method, path, headers, body: serde_json::Value::Null };
    let body = resolved.or_else(|| (!arrival.bytes.is_empty()).then(|| arrival.bytes.clone()));
    let outgoing = Outgoing { request: &request, body, secrets: &[] };
    let bill = bill(receipt.exchange(), &address);
    let reservation = network.purse.reserve(bill.estimate()).await.map_err(Unsent::Unaffordable)?;
    receipt.owe(bill, reservation);
    network.egress.begin(&address, &outgoing).await.map_err(|trouble| {
        let unanswered = receipt.exchange().clone();
        receipt.pay(&unanswered, Some(&trouble));
        Unsent::Unreachable(format!("{}: {trouble}", address.host()))
    })
}

/// What a request may cost: by the list, else nothing of a model on this machine, else what nearly all cost at most.
fn bill(asked: &Exchange, address: &Address) -> Bill {
    let Some(attempt) = Attempt::of(asked) else { return Bill::without_tokens() };
    let listed = attempt.model_requested.as_deref().and_then(Price::of);
    let price = listed.unwrap_or_else(|| if address.is_loopback() { Price::default() } else { Price::ceiling() });
    Bill::of(&asked.request.body, price)
}

/// Whether a request may go to a server, else why not.
fn allowed(egress: &Egress, address: &Address, headers: &BTreeMap<String, String>) -> Result<(), String> {
    let told = |Fault { message, help, .. }: Fault| help.map_or_else(|| message.clone(), |help| format!("{message}; {help}"));
    egress.check(address, None).map_err(told)?;
    let mut keys = keys(headers).filter(|_| address.is_loopback());
    keys.try_for_each(|key| egress.check(address, Some(&key)))
        .map_err(|fault| format!("{}; give the application another one, as in `env OPENAI_API_KEY=none COMMAND`", fault.message))
}

/// The keys that an application sends; loopback gets none that belongs to a built-in provider.
fn keys(headers: &BTreeMap<String, String>) -> impl Iterator<Item = Key> {
    headers.iter().filter(|(name, _)| KEYS.contains(&name.as_str())).map(|(name, value)| {
        let value = value.rsplit(' ').next().unwrap_or_default().to_string();
        Key { variable: name.clone(), value }
    })
}

fn sent_on(all: &HeaderMap, is_rewritten: bool) -> BTreeMap<String, String> {
    let named = all.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let named: Vec<String> = named.map(|name| name.trim().to_ascii_lowercase()).collect();
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in all {
        let name = name.as_str();
        let packing = name == "content-encoding" && !is_rewritten;
        let of_the_connection = OF_THE_CONNECTION.contains(&name) && !packing;
        if of_the_connection || NOT_SENT_ON.contains(&name) || named.iter().any(|other| other == name) {
            continue;
        }
        let joined = headers.entry(name.to_string()).or_default();
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(&String::from_utf8_lossy(value.as_bytes()));
    }
    headers
}

/// Waits for the whole answer, keeps it for the next attempt, and plays what a condition makes of it.
async fn reshaped(mut incoming: Incoming, reshape: Reshape, mut receipt: Receipt, cutter: Cutter) -> hyper::Response<Played> {
    let trouble = loop {
        match incoming.next().await {
            Ok(Some(_)) => {}
            Ok(None) => break None,
            Err(trouble) => break Some(trouble),
        }
    };
    let answered = receipt.answered(response(incoming, trouble.as_ref(), receipt.exchange()));
    let plan = reshape.shape.plan(receipt.exchange(), Some(answered.clone())).unwrap_or_else(|| Plan::recorded(answered.clone()));
    match trouble {
        None => receipt.keep(&reshape.key, answered),
        Some(trouble) => receipt.trouble(trouble.to_string()),
    }
    serve::played(plan, receipt, cutter, false).await
}

/// Passes the head back at once, and every piece as it comes.
fn passed_on(incoming: Incoming, mut receipt: Receipt, cutter: Cutter, bodiless: bool) -> hyper::Response<Played> {
    let head = Response {
        status: incoming.status(),
        headers: incoming.headers().clone(),
        payload: Payload::Empty,
        cuts: Vec::new(),
        end: End::ClientGone,
    };
    receipt.begun(&head);
    let bodiless = bodiless || play::is_bodiless(head.status);
    let length = if bodiless { Some(0) } else { head.headers.get("content-length").and_then(|length| length.parse().ok()) };
    let (tell, pieces) = mpsc::channel(WAITING);
    tokio::spawn(pump(incoming, length, receipt, tell, cutter));
    play::pass(&head, pieces, bodiless)
}

/// Passes pieces on until the answer's end, which is where it has told its length to be: then nobody listens any more.
async fn pump(mut incoming: Incoming, mut left: Option<usize>, receipt: Receipt, tell: mpsc::Sender<Result<Bytes, Cut>>, cutter: Cutter) {
    let trouble = loop {
        if left == Some(0) {
            break None;
        }
        let next = tokio::select! {
            next = incoming.next() => next,
            () = tell.closed() => return gone(receipt, incoming),
        };
        match next {
            Ok(Some(piece)) => {
                left = left.map(|left| left.saturating_sub(piece.len()));
                if tell.send(Ok(piece)).await.is_err() {
                    return gone(receipt, incoming);
                }
            }
            Ok(None) => break None,
            Err(trouble) => break Some(trouble),
        }
    };
    let answered = receipt.answered(response(incoming, trouble.as_ref(), receipt.exchange()));
    match trouble {
        None => receipt.live(answered),
        Some(trouble) => {
            let cut = if trouble == Trouble::Reset { Some(cutter) } else { None };
            receipt.trouble(trouble.to_string());
            receipt.broke_off(answered);
            sleep(FLUSH).await;
            let _ = tell.send(Err(Cut(cut))).await;
        }
    }
}

/// The application went away: from the middle of an answer, or after its last event, as those clients do that do not wait
/// for the connection to end.
fn gone(receipt: Receipt, incoming: Incoming) {
    let mut seen = incoming.close(End::ClientGone);
    if !seen.has_last_event() {
        return receipt.left(seen);
    }
    seen.headers.retain(|name, _| keep_header(name));
    seen.end = End::Complete;
    let answered = receipt.answered(seen);
    receipt.live(answered);
}

/// What the server answered, and how that ended: an error in mid-stream and a stream without its last event look whole
/// to HTTP.
fn response(incoming: Incoming, trouble: Option<&Trouble>, asked: &Exchange) -> Response {
    let end = match trouble {
        None => End::Complete,
        Some(Trouble::Reset) => End::Reset,
        Some(_) => End::Close,
    };
    let mut response = incoming.close(end);
    response.headers.retain(|name, _| keep_header(name));
    if end == End::Complete && matches!(response.payload, Payload::Events(_)) {
        let answered = Exchange { response: Some(response.clone()), ..asked.clone() };
        response.end = match Attempt::of(&answered) {
            Some(attempt) if attempt.error.is_some() => End::ErrorEvent,
            Some(attempt) if attempt.finish.is_none() => End::Close,
            _ => End::Complete,
        };
    }
    response
}
