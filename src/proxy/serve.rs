//! Serving connections: each request is led to its session, and the session's answer is played.

use super::address::{self, Entrances};
use super::arrival::Arrival;
use super::line::{Cutter, Line};
use super::live;
use super::play::{self, BrokenOff, Played};
use super::receipt::Receipt;
use super::room::Decision;
use crate::condition::{Plan, failure};
use crate::limit;
use crate::wire::call::Api;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// Accepts connections for ever.
pub(super) async fn accept(listener: TcpListener, entrances: Arc<Entrances>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, Arc::clone(&entrances)));
            }
            // Too many open files, or a peer that was gone at once: neither ends the proxy.
            Err(_) => sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn serve(stream: TcpStream, entrances: Arc<Entrances>) {
    let line = Line::new(stream);
    let cutter = line.cutter();
    let service = service_fn(move |request| answer(Arc::clone(&entrances), cutter.clone(), request));
    let mut http = http1::Builder::new();
    http.max_buf_size(limit::HEAD_BYTES).pipeline_flush(false);
    // A connection that fails has told so in the exchange that it failed in.
    let _ = http.serve_connection(TokioIo::new(line), service).await;
}

/// Answers one request.
async fn answer(entrances: Arc<Entrances>, cutter: Cutter, request: Request<Incoming>) -> Result<hyper::Response<Played>, BrokenOff> {
    let (head, body) = request.into_parts();
    let traceparent = head.headers.get("traceparent").and_then(|value| value.to_str().ok());
    let way = address::split(&head.uri).and_then(|(token, path)| Some((entrances.find(token, traceparent)?, path.to_string())));
    let Some(((room, variable), path)) = way else {
        return Ok(refusal(404, "no session of relapse has this address", cutter));
    };
    let arrival = match Arrival::read(head, path, body).await {
        Ok(arrival) => arrival,
        Err(refused) => {
            room.refuse(refused.message());
            return Ok(refusal(refused.status(), &refused.message(), cutter));
        }
    };
    let receipt = room.admit(variable, arrival.request.clone());
    Ok(match room.decide(receipt.exchange()) {
        Decision::Play(plan) => played(plan, receipt, cutter, arrival.is_bodiless()).await,
        Decision::Forward(forward) => live::forward(&arrival, receipt, cutter, forward).await,
    })
}

/// Plays a planned answer, after the time that the application really has to wait.
pub(super) async fn played(plan: Plan, mut receipt: Receipt, cutter: Cutter, bodiless: bool) -> hyper::Response<Played> {
    receipt.follow(&plan);
    if !plan.before.is_zero() {
        sleep(plan.before).await;
    }
    let Some(response) = plan.response.clone() else {
        // Nothing ever comes; the application's going ends this.
        return pending().await;
    };
    receipt.head_sent();
    play::play(&response, &plan, cutter, bodiless, Some(receipt))
}

fn refusal(status: u16, message: &str, cutter: Cutter) -> hyper::Response<Played> {
    let response = failure::response(&Api::OpenAiChat, status, "relapse_refused", message);
    play::play(&response, &Plan::at_once(response.clone()), cutter, false, None)
}
