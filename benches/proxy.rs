//! The proxy: what it adds to an exchange that is not streamed, and how many replayed requests it answers a second.
//!
//! `cargo bench --bench proxy`. Every exchange goes over loopback, on a connection that stays open. The three ways take
//! turns, so that a busy machine is busy for all of them; compare differences of one run, not figures of two.

use relapse::client::Purse;
use relapse::condition::Conditions;
use relapse::egress::{Deadlines, Egress, Hosts};
use relapse::fault::Faults;
use relapse::project::Budget;
use relapse::project::Matching;
use relapse::proxy::{Blank, Door, Memory, Network, Proxy, Recall, Session, Upstream};
use relapse::recording::Matcher;
use relapse::redact::Redactor;
use relapse::wire::{self, Exchange};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 3_000;
const CONNECTIONS: usize = 8;
const REQUESTS_EACH: usize = 2_500;
const VARIABLE: &str = "OPENAI_BASE_URL";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let proxy = runtime.block_on(Proxy::bind()).expect("a free port");
    let server = server();
    let hosts = Hosts::new(&["127.0.0.1".to_string()], |_| None).expect("a host");
    let egress = Arc::new(Egress::open(hosts, Deadlines::default()));
    let network = Network { egress, purse: Arc::new(Purse::new(Budget::default())) };
    let url = format!("http://{server}/v1");
    let live = proxy.open(session(&url, Box::new(Blank), Some(network))).expect("a door");
    let replayed = proxy.open(session(&url, Box::new(Repeating::new()), None)).expect("a door");
    added(server, &live, &replayed);
    throughput(&proxy, &url);
}

/// Times of one exchange, each way in turn.
fn added(server: SocketAddr, live: &Door, replayed: &Door) {
    let address = |door: &Door| door.base_url(VARIABLE).map(|url| url.trim_start_matches("http://").to_string()).expect("its address");
    let mut ways = [
        ("directly to a server", Line::new(&format!("{server}/v1"))),
        ("through the proxy to the server", Line::new(&address(live))),
        ("replayed by the proxy", Line::new(&address(replayed))),
    ];
    let mut times = [const { Vec::new() }; 3];
    for round in 0..ROUNDS + ROUNDS / 10 {
        for ((_, line), times) in ways.iter_mut().zip(&mut times) {
            let time = line.exchange();
            // The first tenth warms up.
            if round >= ROUNDS / 10 {
                times.push(time);
            }
        }
    }
    say(format_args!("one exchange, {ROUNDS} each way in turn:"));
    let medians: Vec<Duration> = times.iter_mut().map(|times| quantile(times, 0.5)).collect();
    for ((name, _), (times, median)) in ways.iter().zip(times.iter_mut().zip(&medians)) {
        say(format_args!("  {name:<32} median {median:>9.1?}   95 % {:>9.1?}", quantile(times, 0.95)));
    }
    say(format_args!("  the proxy adds {:.1?} at the median", medians[1].saturating_sub(medians[0])));
}

fn say(line: std::fmt::Arguments<'_>) {
    writeln!(std::io::stdout(), "{line}").expect("a terminal");
}

fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort();
    times[((times.len() - 1) as f64 * share) as usize]
}

/// Requests a second on several connections, each of a session of its own.
fn throughput(proxy: &Proxy, url: &str) {
    let doors: Vec<Door> = (0..CONNECTIONS).map(|_| proxy.open(session(url, Box::new(Repeating::new()), None)).expect("a door")).collect();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for door in &doors {
            scope.spawn(|| {
                let mut line = Line::new(door.base_url(VARIABLE).expect("its address").trim_start_matches("http://"));
                (0..REQUESTS_EACH).map(|_| line.exchange()).sum::<Duration>()
            });
        }
    });
    let requests = CONNECTIONS * REQUESTS_EACH;
    let rate = requests as f64 / begun.elapsed().as_secs_f64();
    say(format_args!("{requests} replayed requests on {CONNECTIONS} connections: {rate:.0} a second, clients included"));
}

fn session(url: &str, memory: Box<dyn Memory>, network: Option<Network>) -> Session {
    let upstreams = vec![Upstream { variable: VARIABLE.into(), url: url.into() }];
    Session { upstreams, conditions: Conditions::default(), trial: None, memory, network }
}

/// A recording that never ends: every request is looked up by its key, as in a replay.
struct Repeating {
    matching: Matching,
    redactor: Redactor,
    key: String,
    exchange: Exchange,
}

impl Repeating {
    fn new() -> Self {
        let request = json!({"method": "POST", "path": "/v1/chat/completions", "headers": {}, "body": body()});
        let response = json!({"status": 200, "headers": {"content-type": "application/json"}, "body": answer()});
        let line = json!({"seq": 1, "ms": 12.5, "request": request, "response": response});
        let exchange = wire::read_line(&line.to_string()).expect("an exchange");
        let (matching, redactor) = (Matching::default(), Redactor::default());
        let key = Matcher { matching: &matching, redactor: &redactor }.key(&exchange);
        Self { matching, redactor, key, exchange }
    }
}

impl Memory for Repeating {
    fn key(&self, request: &Exchange) -> String {
        Matcher { matching: &self.matching, redactor: &self.redactor }.key(request)
    }

    fn recall(&mut self, request: &Exchange) -> Result<Recall, Faults> {
        assert_eq!(self.key(request), self.key, "the same is asked");
        Ok(Recall::Recorded(Box::new(self.exchange.clone())))
    }
}

/// A request of usual size: a system prompt with passages, a question, one tool.
fn body() -> serde_json::Value {
    let passages = "Items can be returned within 30 days of delivery. Opened software and gift cards are not returnable. ".repeat(12);
    let parameters = json!({"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]});
    json!({"model": "gpt-4o-mini", "temperature": 0.2, "messages": [{"role": "system", "content": passages},
        {"role": "user", "content": "Can I return my kettle from order A-1001?"}],
        "tools": [{"type": "function", "function": {"name": "lookup_order", "description": "Look up an order.", "parameters": parameters}}]})
}

fn answer() -> serde_json::Value {
    let message = json!({"role": "assistant", "content": "Your kettle was delivered on 4 January, so you can return it until 3 February."});
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 350, "completion_tokens": 23}})
}

/// A client's connection that stays open.
struct Line {
    stream: TcpStream,
    request: Vec<u8>,
}

impl Line {
    /// A connection to `HOST:PORT/PATH`.
    fn new(address: &str) -> Self {
        let (host, path) = address.split_once('/').expect("host and path");
        let stream = TcpStream::connect(host).expect("it listens");
        stream.set_nodelay(true).expect("no delay");
        let body = body().to_string();
        let head = format!("POST /{path}/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n");
        Self { stream, request: format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes() }
    }

    /// Asks, and reads the whole answer.
    fn exchange(&mut self) -> Duration {
        let begun = Instant::now();
        self.stream.write_all(&self.request).expect("it reads");
        assert!(read_message(&mut self.stream).starts_with(b"HTTP/1.1 200"), "it answers");
        begun.elapsed()
    }
}

/// Reads one message with a `content-length`; what is empty is the end.
fn read_message(stream: &mut TcpStream) -> Vec<u8> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 16 << 10]);
    loop {
        if let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
            let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok()).unwrap_or(0);
            if bytes.len() >= head + 4 + length {
                return bytes;
            }
        }
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
            _ => return Vec::new(),
        }
    }
}

/// A server that always gives the same answer.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let body = answer().to_string();
    let response = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let response = response.clone();
            std::thread::spawn(move || {
                stream.set_nodelay(true).expect("no delay");
                while !read_message(&mut stream).is_empty() {
                    if stream.write_all(response.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}
