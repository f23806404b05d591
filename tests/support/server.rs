//! A scripted model server on loopback: real sockets, real HTTP, and no wait that a test does not ask for.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Path and query.
    pub path: String,
    /// Headers by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Value,
}

impl Asked {
    /// All text that the model gets, in one.
    pub(crate) fn text(&self) -> String {
        self.body.to_string()
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status, headers and a body.
    Whole(u16, Vec<(&'static str, String)>, String),
    /// A stream of events with their names, ended as HTTP says it should.
    Stream(Vec<(Option<&'static str>, String)>),
    /// The same, and then the connection is closed in the middle of the body.
    Cut(Vec<(Option<&'static str>, String)>),
    /// The connection is closed without an answer.
    Close,
    /// Nothing is said until the client goes away.
    Silence,
}

/// The server; its threads end with the process.
pub(crate) struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// A server that answers each request as the script says; the number counts requests from 1.
    pub(crate) fn start(script: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (Arc::clone(&asked), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                std::thread::spawn(move || serve(&stream, &log, &*script));
            }
        });
        Self { port, asked }
    }

    /// Its address, with `/v1` at the end.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panicked in it").clone()
    }
}

/// Requests of one connection, until either side is done with it.
fn serve(stream: &TcpStream, log: &Mutex<Vec<Asked>>, script: &dyn Fn(&Asked, usize) -> Reply) {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader) {
        let count = {
            let mut log = log.lock().expect("no test panicked in it");
            log.push(asked.clone());
            log.len()
        };
        if answer(stream, script(&asked, count)).is_none() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let path = line.split_whitespace().nth(1)?.to_string();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_string());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { path, headers, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
}

/// Writes a reply; none when the connection is over.
fn answer(mut stream: &TcpStream, reply: Reply) -> Option<()> {
    let (events, is_cut) = match reply {
        Reply::Whole(status, headers, body) => {
            let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let kind = if body.starts_with(['{', '[']) { "application/json" } else { "text/html" };
            let head = format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{headers}content-length: {}\r\n\r\n", body.len());
            return stream.write_all((head + &body).as_bytes()).ok();
        }
        Reply::Close => return None,
        Reply::Silence => {
            let _ = stream.read(&mut [0]);
            return None;
        }
        Reply::Stream(events) => (events, false),
        Reply::Cut(events) => (events, true),
    };
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n").ok()?;
    for (name, data) in events {
        let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
        let event = format!("{name}data: {data}\n\n");
        stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).ok()?;
    }
    if is_cut {
        return None;
    }
    stream.write_all(b"0\r\n\r\n").ok()
}

/// What a scripted model says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Say {
    /// Its text, in pieces.
    pub text: Vec<String>,
    /// Its refusal.
    pub refusal: Option<String>,
    /// The tools that it asks for: name and arguments.
    pub tools: Vec<(String, String)>,
    /// Why it stops: `stop`, `length` or `content_filter`.
    pub finish: &'static str,
}

impl Say {
    /// A text, said word by word.
    pub(crate) fn text(text: &str) -> Self {
        let text = text.split_inclusive(' ').map(str::to_string).collect();
        Self { text, finish: "stop", ..Self::default() }
    }

    /// A call of a tool.
    pub(crate) fn tool(name: &str, arguments: &str) -> Self {
        Self { tools: vec![(name.into(), arguments.into())], finish: "stop", ..Self::default() }
    }

    /// A refusal.
    pub(crate) fn refusal(text: &str) -> Self {
        Self { refusal: Some(text.into()), finish: "stop", ..Self::default() }
    }

    /// The reply in the API that was asked, streamed or not as was asked.
    pub(crate) fn to(&self, asked: &Asked) -> Reply {
        let streamed = asked.body["stream"] == true;
        let path = asked.path.split('?').next().unwrap_or_default();
        match (path.rsplit('/').next(), streamed) {
            (Some("responses"), true) => Reply::Stream(self.responses_events()),
            (Some("responses"), false) => whole(&self.response()),
            (Some("messages"), true) => Reply::Stream(self.anthropic_events()),
            (Some("messages"), false) => whole(&self.anthropic_message()),
            (_, true) => Reply::Stream(self.chat_events()),
            (_, false) => whole(&self.chat_completion()),
        }
    }

    /// The events of an OpenAI chat completion.
    pub(crate) fn chat_events(&self) -> Vec<(Option<&'static str>, String)> {
        let event = |delta: Value, finish: Value| {
            (None, json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).to_string())
        };
        let mut events = vec![event(json!({"role": "assistant", "content": ""}), Value::Null)];
        events.extend(self.text.iter().map(|piece| event(json!({"content": piece}), Value::Null)));
        events.extend(self.refusal.iter().map(|refusal| event(json!({"refusal": refusal}), Value::Null)));
        for (index, (name, arguments)) in self.tools.iter().enumerate() {
            let call =
                json!({"index": index, "id": format!("call_{index}"), "type": "function", "function": {"name": name, "arguments": ""}});
            events.push(event(json!({"tool_calls": [call]}), Value::Null));
            events.push(event(json!({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}), Value::Null));
        }
        let finish = if self.tools.is_empty() || self.finish != "stop" { self.finish } else { "tool_calls" };
        events.push(event(json!({}), finish.into()));
        events.push((
            None,
            json!({"id": "chatcmpl-1", "model": "m-1", "choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 100}})
                .to_string(),
        ));
        events.push((None, "[DONE]".into()));
        events
    }

    fn chat_completion(&self) -> Value {
        let calls = self.tools.iter().enumerate().map(|(index, (name, arguments))| json!({"id": format!("call_{index}"), "type": "function", "function": {"name": name, "arguments": arguments}}));
        let message =
            json!({"role": "assistant", "content": self.text.concat(), "refusal": self.refusal, "tool_calls": calls.collect::<Vec<_>>()});
        json!({"id": "chatcmpl-1", "model": "m-1", "choices": [{"index": 0, "message": message, "finish_reason": self.finish}], "usage": {"prompt_tokens": 1000, "completion_tokens": 100}})
    }

    fn response(&self) -> Value {
        let mut output: Vec<Value> = Vec::new();
        if !self.text.is_empty() {
            output.push(json!({"type": "message", "content": [{"type": "output_text", "text": self.text.concat()}]}));
        }
        output.extend(self.refusal.iter().map(|refusal| json!({"type": "message", "content": [{"type": "refusal", "refusal": refusal}]})));
        output.extend(self.tools.iter().enumerate().map(|(index, (name, arguments))| json!({"type": "function_call", "call_id": format!("call_{index}"), "name": name, "arguments": arguments})));
        json!({"id": "resp_1", "model": "m-1", "status": "completed", "output": output, "usage": {"input_tokens": 1000, "output_tokens": 100}})
    }

    fn responses_events(&self) -> Vec<(Option<&'static str>, String)> {
        let created = json!({"type": "response.created", "response": {"id": "resp_1", "model": "m-1", "status": "in_progress"}});
        let mut events = vec![(Some("response.created"), created.to_string())];
        for piece in &self.text {
            events.push((Some("response.output_text.delta"), json!({"type": "response.output_text.delta", "delta": piece}).to_string()));
        }
        events.push((Some("response.completed"), json!({"type": "response.completed", "response": self.response()}).to_string()));
        events
    }

    fn anthropic_blocks(&self) -> Vec<Value> {
        let text = self.text.concat();
        let text = (!text.is_empty()).then(|| json!({"type": "text", "text": text}));
        let tools = self.tools.iter().enumerate().map(|(index, (name, arguments))| {
            json!({"type": "tool_use", "id": format!("call_{index}"), "name": name, "input": serde_json::from_str::<Value>(arguments).expect("JSON")})
        });
        text.into_iter().chain(tools).collect()
    }

    fn anthropic_stop(&self) -> &'static str {
        match (self.refusal.is_some(), self.tools.is_empty(), self.finish) {
            (true, _, _) => "refusal",
            (_, _, "length") => "max_tokens",
            (_, false, _) => "tool_use",
            _ => "end_turn",
        }
    }

    fn anthropic_message(&self) -> Value {
        json!({"id": "msg_1", "type": "message", "model": "m-1", "content": self.anthropic_blocks(), "stop_reason": self.anthropic_stop(), "usage": {"input_tokens": 1000, "output_tokens": 100}})
    }

    fn anthropic_events(&self) -> Vec<(Option<&'static str>, String)> {
        let start = json!({"type": "message_start", "message": {"id": "msg_1", "model": "m-1", "usage": {"input_tokens": 1000, "output_tokens": 1}}});
        let mut events = vec![(Some("message_start"), start), (Some("ping"), json!({"type": "ping"}))];
        for (index, block) in self.anthropic_blocks().into_iter().enumerate() {
            let (empty, deltas) = match block["type"].as_str() {
                Some("text") => (
                    json!({"type": "text", "text": ""}),
                    self.text.iter().map(|piece| json!({"type": "text_delta", "text": piece})).collect(),
                ),
                _ => {
                    let whole = block["input"].to_string();
                    let (one, other) = whole.split_at(whole.len() / 2);
                    let empty = json!({"type": "tool_use", "id": block["id"], "name": block["name"], "input": {}});
                    (empty, [one, other].map(|piece| json!({"type": "input_json_delta", "partial_json": piece})).to_vec())
                }
            };
            let deltas: Vec<Value> = deltas;
            events.push((Some("content_block_start"), json!({"type": "content_block_start", "index": index, "content_block": empty})));
            events.extend(
                deltas
                    .into_iter()
                    .map(|delta| (Some("content_block_delta"), json!({"type": "content_block_delta", "index": index, "delta": delta}))),
            );
            events.push((Some("content_block_stop"), json!({"type": "content_block_stop", "index": index})));
        }
        let delta = json!({"type": "message_delta", "delta": {"stop_reason": self.anthropic_stop()}, "usage": {"output_tokens": 100}});
        events.push((Some("message_delta"), delta));
        events.push((Some("message_stop"), json!({"type": "message_stop"})));
        events.into_iter().map(|(name, json)| (name, json.to_string())).collect()
    }
}

fn whole(body: &Value) -> Reply {
    Reply::Whole(200, Vec::new(), body.to_string())
}

/// A provider's error in the form that most share.
pub(crate) fn error(status: u16, code: &str, headers: Vec<(&'static str, String)>) -> Reply {
    Reply::Whole(status, headers, json!({"error": {"type": code, "code": code, "message": format!("{code} happened")}}).to_string())
}
