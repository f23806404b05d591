//! The OTLP receiver: takes what an application exports while it runs, over HTTP and gRPC, on loopback only.
//!
//! One receiver belongs to one process, so that telemetry of two cases is never mixed. Its path, which is also asked for
//! as a header because gRPC has fixed paths, cannot be guessed by another process of the machine. Whatever is refused is
//! remembered by name: "nothing arrived" and "it arrived on the wrong protocol" call for different fixes.

mod grpc;
mod http;
mod inbox;
mod refusal;
mod status;

pub use inbox::Delivery;
pub use refusal::Refusal;

use crate::fault::Fault;
use crate::token;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use inbox::Inbox;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

/// The header that carries the token where the path cannot.
const TOKEN_HEADER: &str = "x-relapse-token";
/// The first byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;

/// A receiver on a free port of 127.0.0.1; dropping it closes the port.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    token: Arc<str>,
    inbox: Arc<Inbox>,
    accepting: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Receiver {
    /// Opens a receiver; needs a tokio runtime.
    ///
    /// # Errors
    /// When no port of loopback is free.
    pub async fn open() -> Result<Self, Fault> {
        let unopened = |error: std::io::Error| Fault::infrastructure(format!("the OTLP receiver cannot listen on 127.0.0.1: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(unopened)?;
        let address = listener.local_addr().map_err(unopened)?;
        let (token, inbox) = (Arc::from(token::new()?), Arc::new(Inbox::default()));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&inbox), Arc::clone(&token)));
        Ok(Self { address, token, inbox, accepting })
    }

    /// The variables that lead an OpenTelemetry SDK here, and let it export without delay.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}/{}", self.address, self.token)),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".into()),
            ("OTEL_EXPORTER_OTLP_HEADERS", format!("{TOKEN_HEADER}={}", self.token)),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000".into()),
            ("OTEL_BSP_SCHEDULE_DELAY", "100".into()),
            ("OTEL_BLRP_SCHEDULE_DELAY", "100".into()),
        ]
    }

    /// Waits until everything has been read that was sent before now, when its sender has ended.
    ///
    /// A sender that still lives, as an agent between the application and this receiver does, is given until nothing
    /// arrives for `idle`; `bound` is the longest wait.
    pub async fn drain(&self, idle: Duration, bound: Duration) {
        let deadline = Instant::now() + bound;
        let _ = timeout_at(deadline, self.mark()).await;
        self.inbox.close(idle, deadline).await;
    }

    /// Waits until every connection that was made before now has been accepted: they are accepted in order, and so one of
    /// our own comes after them.
    async fn mark(&self) {
        let Ok(socket) = TcpSocket::new_v4() else { return };
        if socket.bind((Ipv4Addr::LOCALHOST, 0).into()).is_err() {
            return;
        }
        let Ok(own) = socket.local_addr() else { return };
        self.inbox.accept_after(own, socket.connect(self.address)).await;
    }

    /// Waits until no more of it arrives for `idle` and what arrived is whole; `bound` is the longest wait.
    ///
    /// How much of it there is, `awaited` says. Whole means that `is_whole` says so of all that arrived: a root may come
    /// last or never.
    pub async fn quiet(&self, idle: Duration, bound: Duration, awaited: impl Fn(&Delivery) -> usize, is_whole: impl Fn(&Delivery) -> bool) {
        self.inbox.quiet(idle, Instant::now() + bound, awaited, is_whole).await;
    }

    /// Looks at what arrived since it was last taken.
    pub fn look<T>(&self, at: impl FnOnce(&Delivery) -> T) -> T {
        self.inbox.look(at)
    }

    /// Takes what arrived in a trace, and leaves the rest.
    pub fn take_trace(&self, trace_id: &str) -> Delivery {
        self.inbox.take_trace(trace_id)
    }

    /// Takes what arrived since it was last taken.
    pub fn take(&self) -> Delivery {
        self.inbox.take()
    }
}

async fn accept(listener: TcpListener, inbox: Arc<Inbox>, token: Arc<str>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // No file handle is left, as a rule: connections that end give some back.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let open = inbox.open(peer);
        let (inbox, token) = (Arc::clone(&inbox), Arc::clone(&token));
        connections.spawn(async move {
            serve(stream, &inbox, &token).await;
            drop(open);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Serves one connection until its peer closes it.
async fn serve(stream: TcpStream, inbox: &Arc<Inbox>, token: &Arc<str>) {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) if first[0] == TLS_HANDSHAKE => return inbox.refuse(Refusal::Tls),
        Ok(1) => {}
        _ => return,
    }
    let answer = |request: Request<Incoming>| {
        let (inbox, token) = (Arc::clone(inbox), Arc::clone(token));
        async move {
            let _working = inbox.work();
            let is_grpc = grpc::is_grpc(&request);
            let response = if is_grpc { grpc::answer(request, &inbox, &token).await } else { http::answer(request, &inbox, &token).await };
            Ok::<_, Infallible>(response)
        }
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // An exporter that ended meanwhile does not hear the answer, but what it sent counts.
    builder.http1().half_close(true);
    // A connection that breaks has been answered as far as it could be.
    let _ = builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

/// Whether a request carries the token as a header.
fn has_token(headers: &hyper::HeaderMap, token: &str) -> bool {
    headers.get(TOKEN_HEADER).is_some_and(|value| value.as_bytes() == token.as_bytes())
}

/// What a request exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    Traces,
    Logs,
    Metrics,
}

impl Signal {
    /// The signal that an exporter's path names.
    fn parse(name: &str) -> Option<Self> {
        [("traces", Self::Traces), ("logs", Self::Logs), ("metrics", Self::Metrics)]
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, signal)| signal)
    }
}

/// The body of an answer.
type Body = http_body_util::combinators::BoxBody<bytes::Bytes, Infallible>;
