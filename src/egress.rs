//! Egress: the only door to the network. Which hosts may be spoken to, with which key, and one request at a time.

mod address;
mod hosts;
mod incoming;
mod pool;
mod trouble;

pub use address::Address;
pub use hosts::{ALLOW_HOSTS, Hosts, Key};
pub use incoming::Incoming;
pub use trouble::Trouble;

use crate::fault::Fault;
use crate::limit;
use crate::wire::{End, Exchange, Request};
use bytes::Bytes;
use pool::Pool;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How long each step of an exchange may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Until the connection stands.
    pub connect: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// Until the answer is whole.
    pub answer: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(limit::CONNECT_SECONDS),
            idle: Duration::from_secs(limit::IDLE_SECONDS),
            answer: Duration::from_secs(limit::ANSWER_SECONDS),
        }
    }
}

/// The door: a run that replays from recordings has none.
#[derive(Debug)]
pub struct Egress {
    hosts: Hosts,
    /// Never through a proxy.
    loopback: Pool,
    /// Through the environment's proxy, if it names one.
    outside: Pool,
}

/// A request about to be sent.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Whose path and query it asks for.
    pub request: &'a Request,
    /// The body's bytes, where the request's own body would not be the same ones.
    pub body: Option<Bytes>,
    /// Headers that are sent and kept nowhere: keys.
    pub secrets: &'a [(&'static str, String)],
}

/// What came of a request.
#[derive(Debug)]
pub struct Sent {
    /// The exchange; its request holds no secret header.
    pub exchange: Exchange,
    /// Why the answer came to no end, if it did not.
    pub trouble: Option<Trouble>,
}

impl Egress {
    /// Opens the door to these hosts.
    pub fn open(hosts: Hosts, deadlines: Deadlines) -> Self {
        // A second call finds the provider installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let loopback = Pool::new(|deadlines| builder(deadlines).no_proxy().tls_certs_only([]).build(), deadlines);
        let outside = Pool::new(|deadlines| builder(deadlines).build(), deadlines);
        Self { hosts, loopback, outside }
    }

    /// Whether a request may be sent to an address, and with this key; see [`Hosts::check`].
    pub fn check(&self, address: &Address, key: Option<&Key>) -> Result<(), Fault> {
        self.hosts.check(address, key)
    }

    /// Sends a request and gives the answer as soon as its headers are there, for a caller that passes it on.
    ///
    /// The caller has [checked](Egress::check) the address; one that was not allowed is not connected to.
    ///
    /// # Errors
    /// Why nothing was answered.
    pub async fn begin(&self, address: &Address, outgoing: &Outgoing<'_>) -> Result<Incoming, Trouble> {
        self.hosts.check(address, None).map_err(|fault| Trouble::Connect(fault.message))?;
        let client = if address.is_loopback() { self.loopback.client()? } else { self.outside.client()? };
        let method = outgoing.request.method.parse().unwrap_or(reqwest::Method::POST);
        let mut builder = client.request(method, address.url(&outgoing.request.path));
        for (name, value) in &outgoing.request.headers {
            builder = builder.header(name, value);
        }
        for (name, value) in outgoing.secrets {
            let value = reqwest::header::HeaderValue::from_str(value).map(|mut value| {
                value.set_sensitive(true);
                value
            });
            builder = builder.header(*name, value.map_err(|_| Trouble::Connect("the key holds characters that no header takes".into()))?);
        }
        let body = outgoing.body.clone().or_else(|| bytes_of(&outgoing.request.body));
        if let Some(body) = body {
            builder = builder.body(body);
        }
        let sent = Instant::now();
        let response = builder.send().await.map_err(|error| Trouble::of(&error))?;
        Ok(Incoming::new(response, sent))
    }

    /// Sends a request and waits for the whole answer.
    pub async fn send(&self, address: &Address, outgoing: &Outgoing<'_>) -> Sent {
        let begun = Instant::now();
        let (response, trouble) = match self.begin(address, outgoing).await {
            Err(trouble) => (None, Some(trouble)),
            Ok(mut incoming) => {
                let trouble = loop {
                    match incoming.next().await {
                        Ok(Some(_)) => {}
                        Ok(None) => break None,
                        Err(trouble) => break Some(trouble),
                    }
                };
                let end = match trouble {
                    None => End::Complete,
                    Some(Trouble::Reset) => End::Reset,
                    Some(_) => End::Close,
                };
                (Some(incoming.close(end)), trouble)
            }
        };
        let (ms, request) = (Some(incoming::millis(begun)), outgoing.request.clone());
        Sent { exchange: Exchange { seq: 0, ms, at: None, upstream: None, trial: None, request, response }, trouble }
    }
}

fn builder(deadlines: Deadlines) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(concat!("relapse/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(deadlines.connect)
        .read_timeout(deadlines.idle)
        .timeout(deadlines.answer)
}

fn bytes_of(body: &Value) -> Option<Bytes> {
    match body {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into()),
        json => Some(json.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Payload, Response};
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc;

    const SECRET: &str = "probe-key-1";

    /// A server on loopback that reads one request and does with the connection what a test says.
    fn serve(answer: impl FnOnce(&mut std::net::TcpStream) + Send + 'static) -> (Address, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::parse(&format!("http://{}/v1", listener.local_addr().unwrap())).unwrap();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            while !request.ends_with(b"{\"a\":1}") {
                let count = stream.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..count]);
            }
            tell.send(String::from_utf8(request).unwrap()).unwrap();
            answer(&mut stream);
        });
        (address, told)
    }

    fn answering(text: impl Into<String>) -> (Address, mpsc::Receiver<String>) {
        let text = text.into();
        // A client that has seen enough may be gone before everything is written.
        serve(move |stream| drop(stream.write_all(text.as_bytes())))
    }

    fn send(address: &Address, deadlines: Deadlines) -> Sent {
        let hosts = Hosts::new(&["127.0.0.1".to_string()], |_| None).unwrap();
        let egress = Egress::open(hosts, deadlines);
        let request = Request { method: "POST".into(), path: "/v1/x?y=z".into(), body: serde_json::json!({"a": 1}), ..Request::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let secrets = [("authorization", format!("Bearer {SECRET}"))];
        runtime.block_on(egress.send(address, &Outgoing { request: &request, body: None, secrets: &secrets }))
    }

    fn sent(answer: &str) -> Sent {
        send(&answering(answer).0, Deadlines::default())
    }

    fn response(sent: &Sent) -> &Response {
        sent.exchange.response.as_ref().unwrap()
    }

    #[test]
    fn a_key_is_sent_and_kept_nowhere() {
        let (address, told) = answering("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n{\"b\":2}");
        let sent = send(&address, Deadlines::default());
        let request = told.recv().unwrap();
        assert!(request.starts_with("POST /v1/x?y=z HTTP/1.1\r\n") && request.contains(SECRET), "{request}");
        assert!(!format!("{sent:?}").contains(SECRET));
        assert_eq!((response(&sent).status, &response(&sent).payload), (200, &Payload::Json(serde_json::json!({"b": 2}))));
        assert!(sent.trouble.is_none() && sent.exchange.ms.is_some());
    }

    #[test]
    fn a_stream_is_split_into_events_with_their_times() {
        let sent =
            sent("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\nevent: a\ndata: 1\n\ndata: 2\n\ndata: 3");
        let Payload::Events(events) = &response(&sent).payload else { panic!("no stream: {sent:?}") };
        assert_eq!(events.iter().map(|event| event.data.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
        assert!(events.windows(2).all(|pair| pair[0].t_ms <= pair[1].t_ms) && events[2].t_ms <= sent.exchange.ms.unwrap());
    }

    #[test]
    fn a_stream_that_breaks_off_is_no_whole_answer() {
        let sent = sent("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n");
        assert_eq!(response(&sent).end, End::Close);
        assert!(matches!(sent.trouble, Some(Trouble::Broken(_))), "{:?}", sent.trouble);
        let Payload::Events(events) = &response(&sent).payload else { panic!("no stream: {sent:?}") };
        assert_eq!(events.len(), 1);
    }

    #[test]
    fn a_redirect_is_an_answer_and_is_not_followed() {
        let sent = sent("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n");
        assert_eq!((response(&sent).status, &response(&sent).payload), (307, &Payload::Empty));
    }

    #[test]
    fn a_server_that_goes_away_leaves_no_answer() {
        let sent = send(&serve(|_| {}).0, Deadlines::default());
        assert!(sent.exchange.response.is_none() && sent.trouble.is_some_and(|trouble| !trouble.is_before_sending()));
    }

    #[test]
    fn a_connection_that_is_refused_is_named_without_the_path() {
        let address = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            Address::parse(&format!("http://{}/v1", listener.local_addr().unwrap())).unwrap()
        };
        let trouble = send(&address, Deadlines::default()).trouble.unwrap();
        assert!(
            trouble.is_before_sending() && trouble.to_string().contains("refused") && !trouble.to_string().contains("y=z"),
            "{trouble}"
        );
    }

    #[test]
    fn a_server_that_stays_silent_is_given_up() {
        let (release, wait) = mpsc::channel::<()>();
        let (address, _told) = serve(move |_| {
            let _ = wait.recv();
        });
        let short = Deadlines { answer: Duration::from_millis(50), ..Deadlines::default() };
        assert_eq!(send(&address, short).trouble, Some(Trouble::Timeout));
        drop(release);
    }

    #[test]
    fn an_event_beyond_its_cap_is_refused() {
        let long = "x".repeat(limit::EVENT_BYTES + 1);
        let sent = sent(&format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {long}"));
        assert!(matches!(sent.trouble, Some(Trouble::TooLarge { .. })), "{:?}", sent.trouble);
    }

    #[test]
    fn a_host_that_is_not_allowed_is_not_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::parse(&format!("http://{}/v1", listener.local_addr().unwrap())).unwrap();
        let egress = Egress::open(Hosts::default(), Deadlines::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sent = runtime.block_on(egress.send(&address, &Outgoing { request: &Request::default(), body: None, secrets: &[] }));
        assert!(matches!(sent.trouble, Some(Trouble::Connect(_))));
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "nothing has connected");
    }
}
