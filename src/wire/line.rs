//! The wire file: JSON lines, one exchange a line.

use super::{End, Event, Exchange, Payload, Request, Response, sse};
use crate::fault::{Fault, Faults, Place};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

#[derive(Deserialize)]
struct RawExchange {
    #[serde(default)]
    seq: u64,
    ms: Option<f64>,
    at: Option<String>,
    upstream: Option<String>,
    trial: Option<u32>,
    request: RawRequest,
    #[serde(default)]
    response: Option<RawResponse>,
}

#[derive(Deserialize)]
struct RawRequest {
    #[serde(default)]
    method: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    #[serde(default)]
    body: Value,
}

#[derive(Deserialize)]
struct RawResponse {
    #[serde(default)]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    body_base64: Option<String>,
    #[serde(default)]
    sse: Option<Vec<RawEvent>>,
    /// A stream that was kept as one text, as recorders of HTTP do.
    #[serde(default)]
    sse_text: Option<String>,
    #[serde(default)]
    cuts: Vec<usize>,
    #[serde(default)]
    end: Option<String>,
}

#[derive(Deserialize)]
struct RawEvent {
    #[serde(default)]
    t_ms: Option<f64>,
    #[serde(default)]
    event: Option<String>,
    data: String,
}

/// Reads a wire file; headers of recordings and blank lines are passed over, a torn last line is left out.
///
/// # Errors
/// Every line in the middle that is no exchange, with its place.
pub(super) fn read(text: &str, file: &str) -> Result<Vec<Exchange>, Faults> {
    let mut faults = Faults::new();
    let mut exchanges = Vec::new();
    let last = text.lines().count();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || (index == 0 && line.contains("\"relapse_recording\"")) {
            continue;
        }
        match read_line(line) {
            Ok(exchange) => exchanges.push(exchange),
            // A recorder that was killed leaves half a line.
            Err(error) if index + 1 == last && !text.ends_with('\n') && error.is_eof() => {}
            Err(error) => {
                let place = Place::at(file, index as u32 + 1, error.column() as u32);
                faults.push(
                    Fault::new(format!("not an exchange: {error}"))
                        .at(place)
                        .help("expected one {request, response} a line, a HAR archive, or a VCR cassette"),
                );
            }
        }
    }
    for (index, exchange) in exchanges.iter_mut().enumerate() {
        if exchange.seq == 0 {
            exchange.seq = index as u64 + 1;
        }
    }
    faults.into_result(exchanges)
}

/// Reads one line.
///
/// # Errors
/// What serde_json says; lone surrogates are mended first, because JavaScript writes them.
pub fn read_line(line: &str) -> Result<Exchange, serde_json::Error> {
    let raw: RawExchange = match serde_json::from_str(line) {
        Ok(raw) => raw,
        Err(error) => match without_lone_surrogates(line) {
            Some(mended) => serde_json::from_str(&mended)?,
            None => return Err(error),
        },
    };
    Ok(raw.into())
}

/// A text as JSON, lone surrogates mended; none when it is no JSON.
pub fn json(text: &str) -> Option<Value> {
    serde_json::from_str(&mended(text)).ok()
}

/// The text of a JSON document with lone surrogates mended, which are no JSON, though JavaScript writes them.
pub fn mended(text: &str) -> Cow<'_, str> {
    without_lone_surrogates(text).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Made once, because most texts that are looked through are short.
static ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\\u"));

/// The text with every lone `\uD8xx` escape replaced by U+FFFD; none when there is none.
fn without_lone_surrogates(text: &str) -> Option<String> {
    let mut mended = String::new();
    let mut kept = 0;
    let mut from = 0;
    while let Some(found) = ESCAPE.find(&text.as_bytes()[from..]) {
        let at = from + found;
        let escaped = text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
        let unit = unit(text, at);
        match unit {
            Some(high)
                if !escaped
                    && (0xd800..0xdc00).contains(&high)
                    && matches!(self::unit(text, at + 6), Some(low) if (0xdc00..0xe000).contains(&low)) =>
            {
                from = at + 12;
            }
            Some(lone) if !escaped && (0xd800..0xe000).contains(&lone) => {
                mended.push_str(&text[kept..at]);
                mended.push_str("\\ufffd");
                kept = at + 6;
                from = kept;
            }
            _ => from = at + 2,
        }
    }
    (kept > 0).then(|| mended + &text[kept..])
}

fn unit(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    u32::from_str_radix(digits, 16).ok()
}

impl From<RawExchange> for Exchange {
    fn from(raw: RawExchange) -> Self {
        let request =
            Request { method: raw.request.method, path: raw.request.path, headers: headers(raw.request.headers), body: raw.request.body };
        Self {
            seq: raw.seq,
            ms: raw.ms,
            at: raw.at,
            upstream: raw.upstream,
            trial: raw.trial,
            request,
            response: raw.response.map(response),
        }
    }
}

fn headers(raw: BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::String(text) => text,
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    raw.into_iter().map(|(name, value)| (name.to_lowercase(), text(value))).collect()
}

fn response(raw: RawResponse) -> Response {
    let headers = headers(raw.headers);
    let streamed = headers.get("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
    let events = raw.sse.map(|events| events.into_iter().map(event).collect()).or_else(|| raw.sse_text.as_deref().map(sse::split));
    let payload = match (events, raw.body, raw.body_base64) {
        (Some(events), _, _) => Payload::Events(events),
        (None, Some(Value::String(text)), _) if streamed || text.starts_with("data:") || text.starts_with("event:") => {
            Payload::Events(sse::split(&text))
        }
        (None, Some(Value::String(text)), _) => Payload::Text(text),
        (None, Some(Value::Null) | None, Some(encoded)) => STANDARD.decode(encoded.trim()).map_or(Payload::Text(encoded), Payload::Bytes),
        (None, Some(Value::Null) | None, None) if streamed => Payload::Events(Vec::new()),
        (None, Some(Value::Null) | None, None) => Payload::Empty,
        (None, Some(json), _) => Payload::Json(json),
    };
    let end = raw.end.and_then(|word| End::ALL.iter().find(|(name, _)| *name == word).map(|(_, end)| *end)).unwrap_or(End::Complete);
    Response { status: raw.status, headers, payload, cuts: raw.cuts, end }
}

fn event(raw: RawEvent) -> Event {
    Event { t_ms: raw.t_ms.unwrap_or(0.0), event: raw.event, data: raw.data }
}

#[derive(Serialize)]
struct LineOut<'a> {
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trial: Option<u32>,
    request: RequestOut<'a>,
    response: Option<ResponseOut<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unanswered: bool,
}

#[derive(Serialize)]
struct RequestOut<'a> {
    method: &'a str,
    path: &'a str,
    headers: &'a BTreeMap<String, String>,
    body: &'a Value,
}

#[derive(Serialize)]
struct ResponseOut<'a> {
    status: u16,
    headers: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sse: Option<Vec<EventOut<'a>>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    cuts: &'a [usize],
    end: &'static str,
}

#[derive(Serialize)]
struct EventOut<'a> {
    t_ms: f64,
    event: Option<&'a str>,
    data: &'a str,
}

/// Writes one exchange as [`read_line`] reads it, without a line end.
pub fn to_line(exchange: &Exchange) -> String {
    let request = RequestOut {
        method: &exchange.request.method,
        path: &exchange.request.path,
        headers: &exchange.request.headers,
        body: &exchange.request.body,
    };
    let line = LineOut {
        seq: exchange.seq,
        ms: exchange.ms,
        at: exchange.at.as_deref(),
        upstream: exchange.upstream.as_deref(),
        trial: exchange.trial,
        request,
        response: exchange.response.as_ref().map(response_out),
        unanswered: exchange.response.is_none(),
    };
    serde_json::to_string(&line).expect("exchanges have string keys")
}

fn response_out(response: &Response) -> ResponseOut<'_> {
    let mut out = ResponseOut {
        status: response.status,
        headers: &response.headers,
        body: None,
        body_base64: None,
        sse: None,
        cuts: &response.cuts,
        end: response.end.word(),
    };
    match &response.payload {
        Payload::Empty => {}
        Payload::Json(json) => out.body = Some(json.clone()),
        Payload::Text(text) => out.body = Some(text.as_str().into()),
        Payload::Bytes(bytes) => out.body_base64 = Some(STANDARD.encode(bytes)),
        Payload::Events(events) => {
            out.sse =
                Some(events.iter().map(|event| EventOut { t_ms: event.t_ms, event: event.event.as_deref(), data: &event.data }).collect());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_survives_its_own_line() {
        let line = r#"{"seq":1,"ms":2.5,"request":{"method":"POST","path":"/v1/x","headers":{"A":"b"},"body":{"k":1}},"response":{"status":200,"headers":{"content-type":"text/event-stream"},"sse":[{"t_ms":1.0,"event":null,"data":"[DONE]"}],"cuts":[7],"end":"close"}}"#;
        let exchange = read_line(line).unwrap();
        assert_eq!(exchange.response.as_ref().unwrap().end, End::Close);
        assert_eq!(read_line(&to_line(&exchange)).unwrap(), exchange);
        let bytes = Exchange {
            response: Some(Response {
                status: 200,
                headers: BTreeMap::new(),
                payload: Payload::Bytes(vec![0, 255, 7, 1]),
                cuts: Vec::new(),
                end: End::Complete,
            }),
            ..exchange
        };
        assert_eq!(read_line(&to_line(&bytes)).unwrap(), bytes);
        let unanswered = Exchange { response: None, ..bytes };
        assert_eq!(read_line(&to_line(&unanswered)).unwrap(), unanswered);
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_a_broken_one_is_named() {
        let good = r#"{"request":{"method":"GET","path":"/","headers":{},"body":null},"response":null,"unanswered":true}"#;
        assert_eq!(read(&format!("{good}\n{{\"request\":{{\"met"), "w").unwrap().len(), 1);
        let faults = read(&format!("{good}\nnonsense\n{good}\n"), "w.jsonl").unwrap_err();
        assert_eq!(faults.iter().next().unwrap().place.as_ref().unwrap().line, 2);
    }

    #[test]
    fn a_lone_surrogate_is_mended() {
        let line = r#"{"request":{"method":"GET","path":"/","body":"a\ud83d b\ud83d\ude00 c\\ud800"}}"#;
        assert_eq!(read_line(line).unwrap().request.body, "a\u{fffd} b😀 c\\ud800");
    }
}
