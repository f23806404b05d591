//! The proxy from outside: what an application that speaks HTTP gets to see of it, byte for byte.

use camino::Utf8Path;
use relapse::case::Case;
use relapse::client::Purse;
use relapse::condition::{Condition, Conditions, Effect, Ending, Failure, Shape};
use relapse::disk::Root;
use relapse::egress::{Deadlines, Egress, Hosts};
use relapse::fault::Faults;
use relapse::project::Budget;
use relapse::proxy::{Door, Memory, Network, Proxy, Recall, Session, Upstream, Witness};
use relapse::recording::Miss;
use relapse::wire::{self, End, Exchange, Payload};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Answers from a list: equal requests in order, one more is a miss.
#[derive(Default)]
struct List(VecDeque<Exchange>);

impl Memory for List {
    fn key(&self, request: &Exchange) -> String {
        format!("{} {} {}", request.request.method, request.request.path, request.request.body)
    }

    fn recall(&mut self, request: &Exchange) -> Result<Recall, Faults> {
        let key = self.key(request);
        Ok(match self.0.iter().position(|known| self.key(known) == key) {
            Some(place) => Recall::Recorded(Box::new(self.0.remove(place).expect("it was found there"))),
            None => Recall::Missed(Miss { detail: "it is not recorded\nthe nearest is another".into() }),
        })
    }
}

/// A proxy with one session.
struct Play {
    runtime: Runtime,
    proxy: Proxy,
    door: Door,
}

const UPSTREAM: &str = "OPENAI_BASE_URL";

fn session(recorded: Vec<Exchange>, conditions: Conditions) -> Session {
    let upstreams = vec![Upstream { variable: UPSTREAM.into(), url: "https://api.example.com/v1".into() }];
    Session { upstreams, conditions, trial: None, memory: Box::new(List(recorded.into())), network: None }
}

fn of_model(model: Vec<Condition>) -> Conditions {
    Conditions { model, ..Conditions::default() }
}

fn play(recorded: Vec<Exchange>, model: Vec<Condition>) -> Play {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let proxy = runtime.block_on(Proxy::bind()).expect("a free port");
    let door = proxy.open(session(recorded, of_model(model))).expect("a door");
    Play { runtime, proxy, door }
}

impl Play {
    /// The path of the door, below which the application's requests go.
    fn base(&self) -> String {
        path_of(self.door.base_url(UPSTREAM).expect("its address"))
    }

    fn connect(&self) -> TcpStream {
        connect(self.proxy.address())
    }

    /// Sends the bytes on a connection of their own, and gives what came back and how it ended.
    fn send(&self, bytes: impl AsRef<[u8]>) -> Heard {
        let mut stream = self.connect();
        stream.write_all(bytes.as_ref()).expect("the proxy reads");
        hear(stream)
    }

    fn ask(&self, path: &str, body: &Value) -> Heard {
        self.send(post(&format!("{}{path}", self.base()), body, "connection: close\r\n"))
    }

    fn witness(self) -> Witness {
        self.runtime.block_on(self.door.close())
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the proxy accepts");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream
}

fn path_of(url: &str) -> String {
    url.splitn(4, '/').nth(3).map(|path| format!("/{path}")).expect("a URL with a path")
}

fn post(path: &str, body: &Value, headers: &str) -> String {
    let body = body.to_string();
    format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// What a client heard until the connection ended.
#[derive(Debug)]
struct Heard {
    bytes: Vec<u8>,
    was_reset: bool,
}

fn hear(mut stream: TcpStream) -> Heard {
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes);
    Heard { bytes, was_reset: ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset) }
}

impl Heard {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn status(&self) -> u16 {
        self.text().split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<String> {
        let text = self.text();
        let head = text.split("\r\n\r\n").next()?.to_string();
        head.lines().filter_map(|line| line.split_once(": ")).find(|(known, _)| *known == name).map(|(_, value)| value.to_string())
    }

    fn body(&self) -> String {
        self.text().split_once("\r\n\r\n").map(|(_, body)| body.to_string()).unwrap_or_default()
    }
}

fn chat(content: &str, stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": content}]})
}

fn answered(seq: u64, asked: &Value, response: Value) -> Exchange {
    let request = json!({"method": "POST", "path": "/v1/chat/completions", "headers": {}, "body": asked});
    wire::read_line(&json!({"seq": seq, "ms": 12.5, "request": request, "response": response}).to_string()).expect("an exchange")
}

fn delta(delta: Value, finish: Option<&str>) -> String {
    json!({"id": "chatcmpl-1", "model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).to_string()
}

/// A recorded stream: `Grüße` in two pieces, then its end.
fn stream(end: &str) -> Value {
    let data = [delta(json!({"role": "assistant"}), None), delta(json!({"content": "Grü"}), None), delta(json!({"content": "ße"}), None)];
    let mut events: Vec<Value> = data.iter().enumerate().map(|(index, data)| json!({"t_ms": 5.0 + index as f64, "data": data})).collect();
    if end == "complete" {
        events.push(json!({"t_ms": 9.0, "data": delta(json!({}), Some("stop"))}));
        events.push(json!({"t_ms": 9.5, "data": "[DONE]"}));
    }
    json!({"status": 200, "headers": {"content-type": "text/event-stream; charset=utf-8", "openai-version": "2020-10-01"}, "sse": events, "end": end})
}

/// The chunks of a recorded stream as they stand on the wire.
fn chunks(events: &[Value]) -> String {
    let frame = |event: &Value| {
        let name = event["event"].as_str().map(|name| format!("event: {name}\n")).unwrap_or_default();
        let text = format!("{name}data: {}\n\n", event["data"].as_str().expect("data"));
        format!("{:X}\r\n{text}\r\n", text.len())
    };
    events.iter().map(frame).collect()
}

fn whole(text: &str) -> Value {
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"});
    json!({"status": 200, "headers": {"content-type": "application/json"}, "body": {"id": "chatcmpl-1", "model": "m-1", "choices": [choice]}})
}

fn on(call: u32, times: u32, effect: Effect) -> Condition {
    Condition { call: Some(call), times, effect }
}

fn fail(status: u16, retry_after: u64) -> Effect {
    Effect::Fail(Failure { status, retry_after: Some(Duration::from_secs(retry_after)), after: Duration::ZERO })
}

fn end_of(witness: &Witness, place: usize) -> Option<End> {
    witness.exchanges[place].response.as_ref().map(|response| response.end)
}

/// What a server does with a connection whose request it has read.
type Script = Box<dyn FnOnce(&mut TcpStream) + Send>;

/// A server on loopback that answers one connection after the other, each as its script says, and tells what it read.
fn server(scripts: Vec<Script>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for script in scripts {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let _ = tell.send(request(&mut stream));
            script(&mut stream);
        }
    });
    (format!("http://{address}/v1"), told)
}

/// Reads one request with a `content-length`.
fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().filter_map(|line| line.split_once(": ")).find(|(name, _)| *name == "content-length");
            if body.len() >= length.and_then(|(_, length)| length.parse().ok()).unwrap_or(0) {
                return text;
            }
        }
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
            _ => return text,
        }
    }
}

fn says(text: impl Into<String>) -> Script {
    let text = text.into();
    // An application that has seen enough may be gone before everything is written.
    Box::new(move |stream| drop(stream.write_all(text.as_bytes())))
}

/// A session that goes live to a server on loopback for what is not recorded.
fn live(url: &str, recorded: Vec<Exchange>, model: Vec<Condition>) -> Play {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let proxy = runtime.block_on(Proxy::bind()).expect("a free port");
    let hosts = Hosts::new(&["127.0.0.1".to_string()], |name| (name == "OPENAI_API_KEY").then(|| "built-in-key".into())).expect("a host");
    let mut session = session(recorded, of_model(model));
    session.upstreams[0].url = url.into();
    session.network =
        Some(Network { egress: Arc::new(Egress::open(hosts, Deadlines::default())), purse: Arc::new(Purse::new(Budget::default())) });
    let door = proxy.open(session).expect("a door");
    Play { runtime, proxy, door }
}

const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req_1\r\ntransfer-encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

#[test]
fn a_live_stream_is_passed_on_before_its_end_is_known() {
    let (release, wait) = mpsc::channel::<()>();
    let first = format!("data: {}\n\n", delta(json!({"content": "hello"}), None));
    let last = format!("data: {}\n\ndata: [DONE]\n\n", delta(json!({}), Some("stop")));
    let (begin, end) = (chunk(&first), chunk(&last));
    let (url, told) = server(vec![Box::new(move |stream| {
        stream.write_all(format!("{STREAM_HEAD}{begin}").as_bytes()).unwrap();
        wait.recv().unwrap();
        stream.write_all(format!("{end}0\r\n\r\n").as_bytes()).unwrap();
    })]);
    let play = live(&url, vec![], vec![]);
    let mut stream = play.connect();
    let secret = "authorization: Bearer probe-key-1\r\nx-custom: 1\r\naccept-encoding: gzip\r\nkeep-alive: x\r\nconnection: close\r\n";
    stream.write_all(post(&format!("{}/chat/completions?a=b", play.base()), &chat("hi", true), secret).as_bytes()).unwrap();
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("hello") {
        let mut piece = [0; 1024];
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&piece[..count]);
    }
    release.send(()).unwrap();
    assert!(hear(stream).text().ends_with("0\r\n\r\n"));
    let asked = told.recv().unwrap();
    assert!(asked.starts_with("POST /v1/chat/completions?a=b HTTP/1.1\r\n") && asked.contains("Bearer probe-key-1"), "{asked}");
    assert!(asked.contains("x-custom: 1") && !asked.contains("accept-encoding") && !asked.contains("keep-alive"), "{asked}");
    let witness = play.witness();
    assert!(!format!("{witness:?}").contains("probe-key-1") && !format!("{witness:?}").contains("req_1"));
    let Some(response) = &witness.live[0].response else { panic!("answered") };
    assert!(matches!(&response.payload, Payload::Events(events) if events.len() == 3) && response.end == End::Complete);
    assert_eq!((&witness.exchanges, witness.troubles.len()), (&witness.live, 0));
}

#[test]
fn a_character_that_was_cut_in_two_is_cut_again() {
    let text = format!("data: {}\n\ndata: {}\n\n", delta(json!({"content": "Grüße"}), None), delta(json!({}), Some("stop")));
    let within = text.find('ü').unwrap() + 1;
    let pieces = [text.as_bytes()[..within].to_vec(), text.as_bytes()[within..].to_vec()];
    let (heard, wait) = mpsc::channel::<()>();
    let (url, _told) = server(vec![Box::new(move |stream| {
        stream.write_all(STREAM_HEAD.as_bytes()).unwrap();
        for piece in pieces {
            write!(stream, "{:x}\r\n", piece.len()).unwrap();
            stream.write_all(&piece).and_then(|()| stream.write_all(b"\r\n")).unwrap();
            let _ = wait.recv();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    })]);
    let asked = chat("hi", true);
    let recorder = live(&url, vec![], vec![]);
    let mut stream = recorder.connect();
    stream.write_all(post(&format!("{}/chat/completions", recorder.base()), &asked, "connection: close\r\n").as_bytes()).unwrap();
    let mut first = vec![0; 4096];
    let mut count = 0;
    while !first[..count].ends_with(&[0xc3, b'\r', b'\n']) {
        count += stream.read(&mut first[count..]).unwrap();
    }
    drop(heard);
    hear(stream);
    let recorded = recorder.witness().live.remove(0);
    assert_eq!(recorded.response.as_ref().unwrap().cuts, [within]);
    let line = wire::to_line(&recorded);
    let play = play(vec![wire::read_line(&line).unwrap()], vec![]);
    let heard = play.ask("/chat/completions", &asked);
    let cut = heard.bytes.windows(3).position(|window| window == [0xc3, b'\r', b'\n']);
    assert!(cut.is_some(), "the first chunk ends within ü: {}", heard.text());
}

#[test]
fn what_is_recorded_does_not_go_live_and_the_rest_does() {
    let (known, new) = (chat("known", false), chat("new", false));
    let body = whole("live")["body"].to_string();
    let (url, told) =
        server(vec![says(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()))]);
    let play = live(&url, vec![answered(1, &known, whole("recorded"))], vec![]);
    assert!(play.ask("/chat/completions", &known).body().contains("recorded"));
    let heard = play.ask("/chat/completions", &new);
    assert_eq!((heard.body(), heard.header("content-length")), (body.clone(), Some(body.len().to_string())));
    drop(told);
    let witness = play.witness();
    assert_eq!((witness.exchanges.len(), witness.live.len(), witness.live[0].seq, witness.misses.len()), (2, 1, 2, 0));
    assert_eq!(end_of(&witness, 1), Some(End::Complete), "an answer is over when its length has been read");
}

#[test]
fn a_server_that_breaks_off_is_seen_to_and_told() {
    let first = format!("data: {}\n\n", delta(json!({"content": "hello"}), None));
    let (url, _told) = server(vec![says(format!("{STREAM_HEAD}{}", chunk(&first)))]);
    let play = live(&url, vec![], vec![]);
    let heard = play.ask("/chat/completions", &chat("hi", true));
    assert!(heard.text().contains("hello") && !heard.text().ends_with("0\r\n\r\n"), "{}", heard.text());
    let witness = play.witness();
    assert_eq!((end_of(&witness, 0), witness.troubles.len()), (Some(End::Close), 1));
}

#[test]
fn errors_and_redirects_of_a_server_are_passed_on() {
    let (url, _told) = server(vec![
        says("HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"),
        says("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"),
    ]);
    let play = live(&url, vec![], vec![]);
    let heard = play.ask("/chat/completions", &chat("hi", false));
    assert_eq!((heard.status(), heard.header("retry-after").as_deref()), (429, Some("7")));
    assert_eq!(play.ask("/chat/completions", &chat("hi", false)).status(), 302);
}

#[test]
fn a_server_that_is_not_there_or_not_allowed_is_told() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, status) in [(format!("http://{nobody}/v1"), 502), ("https://llm.example.com/v1".into(), 403)] {
        let play = live(&url, vec![], vec![]);
        assert_eq!(play.ask("/chat/completions", &chat("hi", false)).status(), status, "{url}");
        let witness = play.witness();
        assert_eq!((witness.unsent[0].seq, witness.live.len()), (1, 0));
    }
}

#[test]
fn a_built_in_key_never_goes_to_loopback() {
    let (url, told) = server(vec![says("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")]);
    let play = live(&url, vec![], vec![]);
    for header in ["authorization: Bearer built-in-key\r\n", "x-api-key: built-in-key\r\n"] {
        let headers = format!("{header}connection: close\r\n");
        assert_eq!(play.send(post(&format!("{}/chat/completions", play.base()), &chat("hi", false), &headers)).status(), 403);
    }
    assert!(told.try_recv().is_err(), "nothing was sent");
}

#[test]
fn a_live_answer_that_a_condition_breaks_off_is_recorded_whole_and_asked_for_once() {
    let text: String =
        [delta(json!({"content": "one"}), None), delta(json!({"content": "two"}), None), delta(json!({}), Some("stop")), "[DONE]".into()]
            .iter()
            .map(|data| format!("data: {data}\n\n"))
            .collect();
    let (url, told) = server(vec![says(format!("{STREAM_HEAD}{}0\r\n\r\n", chunk(&text)))]);
    let shape = Shape { end: Some(Ending::Reset), ..Shape::default() };
    let play = live(&url, vec![], vec![on(1, 1, Effect::Shape(shape))]);
    let broken = play.ask("/chat/completions", &chat("hi", true));
    assert!(broken.was_reset && broken.text().contains("one") && !broken.text().contains("stop"));
    assert!(play.ask("/chat/completions", &chat("hi", true)).text().contains("[DONE]"));
    assert_eq!(told.iter().count(), 1);
    let witness = play.witness();
    assert_eq!((witness.exchanges.len(), witness.live.len()), (2, 1));
    assert_eq!(witness.live[0].response.as_ref().map(|response| response.end), Some(End::Complete));
}

#[test]
fn what_a_live_request_names_of_a_recorded_turn_is_sent_in_full() {
    let asked = json!({"model": "m", "input": [{"role": "user", "content": "where?"}]});
    let call = json!({"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "lookup", "arguments": "{}"});
    let mut turn =
        answered(1, &asked, json!({"status": 200, "headers": {}, "body": {"id": "resp_1", "status": "completed", "output": [call]}}));
    turn.request.path = "/v1/responses".into();
    let (url, told) = server(vec![says("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")]);
    let play = live(&url, vec![turn], vec![]);
    assert_eq!(play.ask("/responses", &asked).status(), 200);
    let output = json!({"type": "function_call_output", "call_id": "call_1", "output": "there"});
    let next = json!({"model": "m", "input": [{"role": "user", "content": "where?"}, {"type": "item_reference", "id": "fc_1"}, output]});
    assert_eq!(play.ask("/responses", &next).status(), 200);
    let sent = told.recv().unwrap();
    assert!(sent.contains("\"name\":\"lookup\"") && !sent.contains("fc_1"), "{sent}");
    let witness = play.witness();
    assert_eq!(witness.exchanges[1].request.body, next, "the exchange holds what the application asked");
}

#[test]
fn a_whole_answer_comes_with_its_length_and_its_recorded_id() {
    let asked = chat("hi", false);
    let play = play(vec![answered(1, &asked, whole("hello"))], vec![]);
    let heard = play.ask("/chat/completions", &asked);
    let Value::Object(body) = serde_json::from_str(&heard.body()).unwrap() else { panic!("{heard:?}") };
    assert_eq!((heard.status(), body["id"].as_str()), (200, Some("chatcmpl-1")));
    assert_eq!(heard.header("content-length"), Some(heard.body().len().to_string()));
    let witness = play.witness();
    assert_eq!((witness.exchanges.len(), witness.exchanges[0].ms, witness.misses.len()), (1, Some(12.5), 0));
    assert_eq!(
        (witness.exchanges[0].upstream.as_deref(), witness.exchanges[0].request.path.as_str()),
        (Some(UPSTREAM), "/v1/chat/completions")
    );
}

#[test]
fn a_stream_comes_event_by_event_and_ends_as_it_did() {
    let asked = chat("hi", true);
    for (end, kind) in [("complete", End::Complete), ("close", End::Close), ("error_event", End::ErrorEvent)] {
        let recorded = stream(end);
        let play = play(vec![answered(1, &asked, recorded.clone())], vec![]);
        let heard = play.ask("/chat/completions", &asked);
        assert_eq!(heard.body(), format!("{}0\r\n\r\n", chunks(recorded["sse"].as_array().unwrap())), "{end}");
        assert_eq!(heard.header("transfer-encoding").as_deref(), Some("chunked"));
        assert_eq!(heard.header("openai-version").as_deref(), Some("2020-10-01"));
        assert!(!heard.was_reset);
        assert_eq!(end_of(&play.witness(), 0), Some(kind));
    }
}

#[test]
fn a_reset_stream_gives_its_events_and_then_a_reset() {
    let asked = chat("hi", true);
    let recorded = stream("reset");
    let play = play(vec![answered(1, &asked, recorded.clone())], vec![]);
    let heard = play.ask("/chat/completions", &asked);
    assert_eq!(heard.body(), chunks(recorded["sse"].as_array().unwrap()));
    assert!(heard.was_reset);
    assert_eq!(end_of(&play.witness(), 0), Some(End::Reset));
}

#[test]
fn names_of_events_and_data_of_several_lines_are_framed() {
    let asked = json!({"model": "m", "input": "hi", "stream": true});
    let events = json!([{"t_ms": 1.0, "event": "response.created", "data": "{}"}, {"t_ms": 2.0, "event": null, "data": "a\nb"}]);
    let mut recorded = answered(1, &asked, json!({"status": 200, "headers": {}, "sse": events, "end": "close"}));
    recorded.request.path = "/v1/responses".into();
    let play = play(vec![recorded], vec![]);
    let heard = play.ask("/responses", &asked);
    assert!(heard.body().contains("event: response.created\ndata: {}\n\n"), "{heard:?}");
    assert!(heard.body().contains("data: a\ndata: b\n\n"), "{heard:?}");
    assert_eq!(heard.header("content-type").as_deref(), Some("text/event-stream; charset=utf-8"));
}

#[test]
fn eight_errors_are_met_by_eight_attempts_and_the_ninth_is_answered() {
    let asked = chat("hi", false);
    let play = play(vec![answered(1, &asked, whole("hello"))], vec![on(1, 8, fail(429, 2))]);
    for attempt in 1..=8 {
        let heard = play.ask("/chat/completions", &asked);
        assert_eq!((heard.status(), heard.header("retry-after").as_deref()), (429, Some("2")), "{attempt}");
        let body: Value = serde_json::from_str(&heard.body()).unwrap();
        assert_eq!(body["error"]["code"], "rate_limit_exceeded");
    }
    assert_eq!(play.ask("/chat/completions", &asked).status(), 200);
    let witness = play.witness();
    let summary = wire::summary::Summary::of(&witness.exchanges);
    assert_eq!((summary.calls.len(), summary.retries(), witness.unmet.len()), (1, 8, 0));
}

#[test]
fn a_condition_meets_the_request_that_it_names_and_one_that_nothing_met_is_told() {
    let (first, second) = (chat("one", false), chat("two", false));
    let recorded = vec![answered(1, &first, whole("1")), answered(2, &second, whole("2"))];
    let play = play(recorded, vec![on(2, 1, fail(503, 1)), on(3, 1, fail(500, 1))]);
    let statuses: Vec<u16> = [&first, &second, &second].iter().map(|asked| play.ask("/chat/completions", asked).status()).collect();
    assert_eq!(statuses, [200, 503, 200]);
    assert_eq!(play.witness().unmet, ["call 3: status 500"]);
}

#[test]
fn an_answer_that_broke_off_by_condition_is_whole_at_the_next_attempt() {
    let asked = chat("hi", true);
    let shape = Shape { end: Some(Ending::Reset), ..Shape::default() };
    let play = play(vec![answered(1, &asked, stream("complete"))], vec![on(1, 1, Effect::Shape(shape))]);
    let broken = play.ask("/chat/completions", &asked);
    assert!(broken.was_reset && broken.text().contains("Grü") && !broken.text().contains("stop"), "{}", broken.text());
    let whole = play.ask("/chat/completions", &asked);
    assert!(!whole.was_reset && whole.text().contains("[DONE]"));
    let witness = play.witness();
    assert_eq!((end_of(&witness, 0), end_of(&witness, 1)), (Some(End::Reset), Some(End::Complete)));
}

#[test]
fn conditioned_endings_of_a_stream() {
    let asked = chat("hi", true);
    for (ending, has, has_not) in [
        (Ending::Close, "0\r\n\r\n", "[DONE]"),
        (Ending::ErrorEvent, "server_error", "[DONE]"),
        (Ending::Empty, "\r\n\r\n0\r\n\r\n", "data:"),
    ] {
        let shape = Shape { end: Some(ending), ..Shape::default() };
        let play = play(vec![answered(1, &asked, stream("complete"))], vec![on(1, 1, Effect::Shape(shape))]);
        let text = play.ask("/chat/completions", &asked).text();
        assert!(text.contains(has) && !text.contains(has_not), "{ending:?}: {text}");
    }
}

#[test]
fn a_whole_answer_that_is_closed_early_has_no_end() {
    let asked = chat("hi", false);
    let shape = Shape { end: Some(Ending::Close), ..Shape::default() };
    let play = play(vec![answered(1, &asked, whole("hello"))], vec![on(1, 1, Effect::Shape(shape))]);
    let heard = play.ask("/chat/completions", &asked);
    assert!(!heard.was_reset && heard.body().contains("chatcmpl-1") && !heard.body().ends_with("0\r\n\r\n"), "{heard:?}");
}

#[test]
fn a_refusal_needs_no_recording() {
    let asked = chat("hi", true);
    let shape = Shape { finish: Some("refusal".into()), ..Shape::default() };
    let play = play(vec![], vec![on(1, 1, Effect::Shape(shape))]);
    assert!(play.ask("/chat/completions", &asked).text().contains("\"refusal\":\"I'm sorry"));
    let witness = play.witness();
    assert!(wire::call::Attempt::of(&witness.exchanges[0]).unwrap().refused() && witness.misses.is_empty());
}

#[test]
fn a_client_that_gives_up_on_a_slow_answer_is_seen_to_go() {
    let asked = chat("hi", true);
    let late = Shape { first_token: Some(Duration::from_secs(3600)), ..Shape::default() };
    let slow = Shape { chunk_delay: Some(Duration::from_secs(3600)), ..Shape::default() };
    let recorded = vec![answered(1, &asked, stream("complete"))];
    let play = play(recorded, vec![on(1, 1, Effect::Shape(late)), on(1, 1, Effect::Shape(slow))]);
    let mut silent = play.connect();
    silent.write_all(post(&format!("{}/chat/completions", play.base()), &asked, "").as_bytes()).unwrap();
    while play.door.arrived() < 1 {
        std::thread::yield_now();
    }
    silent.shutdown(Shutdown::Both).unwrap();
    let mut slowly = play.connect();
    slowly.write_all(post(&format!("{}/chat/completions", play.base()), &asked, "").as_bytes()).unwrap();
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("assistant") {
        let mut piece = [0; 1024];
        let count = slowly.read(&mut piece).unwrap();
        heard.extend_from_slice(&piece[..count]);
    }
    drop(slowly);
    let witness = play.witness();
    assert!(witness.exchanges[0].response.is_none(), "nothing had come");
    let seen = witness.exchanges[1].response.as_ref().unwrap();
    assert_eq!(seen.end, End::ClientGone);
    assert!(matches!(&seen.payload, Payload::Events(events) if events.len() == 1), "{seen:?}");
}

#[test]
fn what_is_not_recorded_is_an_error_that_no_sdk_retries() {
    let asked = chat("hi", false);
    let play = play(vec![answered(1, &asked, whole("hello"))], vec![]);
    assert_eq!(play.ask("/chat/completions", &asked).status(), 200);
    let heard = play.ask("/chat/completions", &asked);
    assert_eq!((heard.status(), heard.header("x-should-retry").as_deref()), (422, Some("false")));
    let body: Value = serde_json::from_str(&heard.body()).unwrap();
    assert!(body["error"]["message"].as_str().unwrap().contains("it is not recorded"), "{body}");
    let witness = play.witness();
    assert_eq!((witness.misses.len(), witness.misses[0].seq), (1, 2));
    assert!(witness.misses[0].detail.contains("nearest"));
}

#[test]
fn what_the_incidents_wire_shows_happens_again() {
    let root = Root::at(Utf8Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let id = "retry-storm-hidden-by-sdk";
    let text = root.read_text(Utf8Path::new(&Case::path(id)), relapse::limit::TRACE_BYTES).unwrap();
    let conditions = Conditions::of(&root, &Case::parse(id, &text).unwrap()).unwrap();
    let asked = chat("hi", true);
    let play = play(vec![answered(1, &asked, stream("complete"))], conditions.model);
    let heard: Vec<Heard> = (0..3).map(|_| play.ask("/chat/completions", &asked)).collect();
    assert_eq!(heard.iter().map(Heard::status).collect::<Vec<_>>(), [429, 429, 200]);
    assert_eq!(heard[0].header("retry-after").as_deref(), Some("1"));
    assert!(heard[0].body().contains("Rate limit reached"), "{}", heard[0].body());
}

#[test]
fn a_request_that_earned_its_error_gets_it_again_and_another_does_not() {
    let asked = chat("far too long", false);
    let error = json!({"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"});
    let rejected = answered(1, &asked, json!({"status": 400, "headers": {}, "body": {"error": error}}));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let proxy = runtime.block_on(Proxy::bind()).unwrap();
    let door = proxy.open(session(vec![], Conditions { rejected: vec![rejected], ..Conditions::default() })).unwrap();
    let play = Play { runtime, proxy, door };
    for _ in 0..2 {
        let heard = play.ask("/chat/completions", &asked);
        assert!(heard.status() == 400 && heard.body().contains("context_length_exceeded"), "{heard:?}");
    }
    assert_eq!(play.ask("/chat/completions", &chat("short", false)).status(), 422);
    assert_eq!(play.witness().misses.len(), 1);
}

#[test]
fn an_upstream_with_a_written_answer_is_never_asked() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let proxy = runtime.block_on(Proxy::bind()).unwrap();
    let empty = wire::Response {
        status: 200,
        headers: [].into(),
        payload: Payload::Json(json!({"hits": []})),
        cuts: Vec::new(),
        end: End::Complete,
    };
    let mut session = session(vec![], Conditions { upstream: [("SEARCH_URL".into(), empty)].into(), ..Conditions::default() });
    session.upstreams.push(Upstream { variable: "SEARCH_URL".into(), url: "http://search.internal:8080".into() });
    let door = proxy.open(session).unwrap();
    let mut stream = connect(proxy.address());
    let path = path_of(door.base_url("SEARCH_URL").unwrap());
    write!(stream, "GET {path}/find?q=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    assert!(hear(stream).body().contains("hits"));
    let witness = runtime.block_on(door.close());
    assert_eq!((witness.exchanges[0].request.path.as_str(), witness.misses.len()), ("/find?q=1", 0));
}

#[test]
fn a_connection_serves_several_requests_in_every_framing() {
    let asked = chat("hi", false);
    let recorded = (1..=5).map(|seq| answered(seq, &asked, whole("hello"))).collect();
    let play = play(recorded, vec![]);
    let path = format!("{}/chat/completions", play.base());
    let text = asked.to_string();
    let packed = {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(text.as_bytes()).unwrap();
        packer.finish().unwrap()
    };
    let mut bytes = post(&path, &asked, "").into_bytes();
    write!(bytes, "POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n0\r\n\r\n", text.len()).unwrap();
    write!(bytes, "POST http://127.0.0.1{path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{text}", text.len()).unwrap();
    write!(bytes, "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len()).unwrap();
    bytes.extend_from_slice(&packed);
    bytes.extend_from_slice(post(&path, &asked, "expect: 100-continue\r\nconnection: close\r\n").as_bytes());
    let heard = play.send(bytes);
    assert_eq!(heard.text().matches("HTTP/1.1 200 OK").count(), 5, "{}", heard.text());
    assert_eq!(play.witness().exchanges.len(), 5);
}

#[test]
fn an_answer_to_head_has_no_body() {
    let mut recorded = answered(1, &Value::Null, whole("hello"));
    (recorded.request.method, recorded.request.path) = ("HEAD".into(), "/v1/models".into());
    let play = play(vec![recorded], vec![]);
    let heard = play.send(format!("HEAD {}/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", play.base()));
    assert_eq!((heard.status(), heard.body().as_str()), (200, ""));
    assert_eq!(end_of(&play.witness(), 0), Some(End::Complete));
}

#[test]
fn a_path_that_nobody_was_given_leads_nowhere() {
    let asked = chat("hi", false);
    let play = play(vec![answered(1, &asked, whole("hello"))], vec![]);
    let base = play.base();
    for path in
        ["/".to_string(), "/v1/chat/completions".into(), base[..20].to_string(), format!("{base}/../../x"), format!("{base}/%2e%2E/x")]
    {
        assert_eq!(play.send(post(&path, &asked, "connection: close\r\n")).status(), 404, "{path}");
    }
    assert_eq!(play.witness().exchanges.len(), 0);
}

#[test]
fn a_door_that_was_closed_stays_closed() {
    let asked = chat("hi", false);
    let Play { runtime, proxy, door } = play(vec![answered(1, &asked, whole("hello"))], vec![]);
    let path = format!("{}/chat/completions", path_of(door.base_url(UPSTREAM).unwrap()));
    runtime.block_on(door.close());
    let mut stream = connect(proxy.address());
    stream.write_all(post(&path, &asked, "connection: close\r\n").as_bytes()).unwrap();
    assert_eq!(hear(stream).status(), 404);
}

#[test]
fn a_memory_is_its_owners_again_when_the_door_is_closed() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let proxy = runtime.block_on(Proxy::bind()).unwrap();
    let memory = Arc::new(Mutex::new(List::default()));
    let door = proxy.open(Session { memory: Box::new(Arc::clone(&memory)), ..session(vec![], Conditions::default()) }).unwrap();
    let mut idle = connect(proxy.address());
    let path = format!("{}/chat/completions", path_of(door.base_url(UPSTREAM).unwrap()));
    idle.write_all(post(&path, &chat("hi", false), "").as_bytes()).unwrap();
    assert!(idle.read(&mut [0; 64]).unwrap() > 0);
    assert_eq!(runtime.block_on(door.close()).misses.len(), 1);
    assert!(Arc::into_inner(memory).is_some(), "though the connection is still there");
}

#[test]
fn a_request_of_two_lengths_is_refused_and_smuggles_nothing() {
    let asked = chat("hi", false);
    let play = play(vec![answered(1, &asked, whole("hello"))], vec![]);
    let path = format!("{}/chat/completions", play.base());
    let hidden = format!("GET {}/models HTTP/1.1\r\nhost: x\r\n\r\n", play.base());
    for headers in [
        "content-length: 0\r\ncontent-length: 5\r\n",
        "content-length: -1\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "content-length : 4\r\n",
    ] {
        let heard = play.send(format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n{hidden}"));
        assert_eq!((heard.status(), heard.text().matches("HTTP/1.1 ").count()), (400, 1), "{headers}: {}", heard.text());
    }
    assert_eq!(play.witness().exchanges.len(), 0);
}

#[test]
fn a_body_beyond_the_cap_is_refused() {
    let play = play(vec![], vec![]);
    let path = format!("{}/chat/completions", play.base());
    let size = relapse::limit::BODY_BYTES + 1;
    let mut stream = play.connect();
    write!(stream, "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n").unwrap();
    let mut sending = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let piece = vec![b' '; 1 << 20];
        let mut left = size;
        while left > 0 && sending.write_all(&piece[..left.min(piece.len())]).is_ok() {
            left -= left.min(piece.len());
        }
    });
    assert_eq!(hear(stream).status(), 413);
    sender.join().unwrap();
    let witness = play.witness();
    assert!(witness.exchanges.is_empty() && witness.refused[0].contains("more than"), "{witness:?}");
}

#[test]
fn sessions_at_once_never_see_each_other() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let proxy = runtime.block_on(Proxy::bind()).unwrap();
    let asked = chat("hi", true);
    let doors: Vec<Door> = (0..8)
        .map(|index| {
            let mut recorded = stream("complete");
            recorded["sse"][1]["data"] = delta(json!({"content": format!("session {index}")}), None).into();
            proxy.open(session((1..=20).map(|seq| answered(seq, &asked, recorded.clone())).collect(), Conditions::default())).unwrap()
        })
        .collect();
    std::thread::scope(|scope| {
        for (index, door) in doors.iter().enumerate() {
            let (asked, address) = (&asked, proxy.address());
            scope.spawn(move || {
                for _ in 0..20 {
                    let mut stream = connect(address);
                    let path = format!("{}/chat/completions", path_of(door.base_url(UPSTREAM).unwrap()));
                    stream.write_all(post(&path, asked, "connection: close\r\n").as_bytes()).unwrap();
                    assert!(hear(stream).text().contains(&format!("session {index}\"")));
                }
            });
        }
    });
    for door in doors {
        let witness = runtime.block_on(door.close());
        assert_eq!((witness.exchanges.len(), witness.misses.len()), (20, 0));
    }
}

#[test]
fn a_lobby_tells_sessions_apart_by_their_traces() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let proxy = runtime.block_on(Proxy::bind()).unwrap();
    let asked = chat("hi", false);
    let one = || session(vec![answered(1, &asked, whole("one"))], Conditions::default());
    let lobby = proxy.lobby(&one().upstreams).unwrap();
    let path = format!("{}/chat/completions", path_of(lobby.base_url(UPSTREAM).unwrap()));
    let status = |trace: &str| {
        let mut stream = connect(proxy.address());
        let header = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\nconnection: close\r\n");
        stream.write_all(post(&path, &asked, &header).as_bytes()).unwrap();
        hear(stream).status()
    };
    let (first, second) = ("4bf92f3577b34da6a3ce929d0e0e4736", "5bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((status(first), lobby.strays()), (404, 1));
    let (mut left, mut right) = (proxy.open(one()).unwrap(), proxy.open(one()).unwrap());
    left.take(&lobby, Some(first));
    right.take(&lobby, Some(second));
    assert_eq!((status(first), status(second), status(second)), (200, 200, 422));
    let (left, right) = (runtime.block_on(left.close()), runtime.block_on(right.close()));
    assert_eq!((left.exchanges.len(), right.exchanges.len()), (1, 2));
    assert_eq!(status(first), 404);
}
