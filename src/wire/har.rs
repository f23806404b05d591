//! HAR: the archive that browsers, proxies and Polly.js write.

use super::Exchange;
use super::kept::Kept;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Archive {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    started_date_time: Option<String>,
    time: Option<f64>,
    request: Request,
    response: Option<Response>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[serde(default)]
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<Header>,
    post_data: Option<PostData>,
}

#[derive(Deserialize)]
struct PostData {
    text: Option<String>,
}

#[derive(Deserialize)]
struct Response {
    /// 0 or less when nothing was answered.
    #[serde(default)]
    status: i64,
    #[serde(default)]
    headers: Vec<Header>,
    content: Option<Content>,
}

#[derive(Deserialize)]
struct Content {
    text: Option<String>,
    encoding: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    #[serde(default)]
    value: String,
}

/// Whether a text begins as an archive does.
pub(super) fn is(text: &str) -> bool {
    text.trim_start().strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with("\"log\""))
}

/// Reads the exchanges of an archive.
///
/// # Errors
/// What serde_json says of a text that is none.
pub(super) fn read(text: &str) -> Result<Vec<Exchange>, serde_json::Error> {
    let archive: Archive = serde_json::from_str(text)?;
    Ok(archive.log.entries.into_iter().zip(1..).map(|(entry, seq)| kept(entry).into_exchange(seq)).collect())
}

fn kept(entry: Entry) -> Kept {
    let response = entry.response.filter(|response| response.status > 0);
    let (status, headers, content) = match response {
        Some(response) => (u16::try_from(response.status).ok(), response.headers, response.content),
        None => (None, Vec::new(), None),
    };
    Kept {
        method: entry.request.method,
        url: entry.request.url,
        request_headers: headers_of(entry.request.headers),
        request_body: entry.request.post_data.and_then(|data| data.text).unwrap_or_default().into_bytes(),
        status,
        response_headers: headers_of(headers),
        response_body: content.map(body).unwrap_or_default(),
        at: entry.started_date_time,
        ms: entry.time.filter(|ms| *ms > 0.0),
    }
}

fn headers_of(headers: Vec<Header>) -> BTreeMap<String, String> {
    headers.into_iter().map(|header| (header.name.to_lowercase(), header.value)).collect()
}

/// A body: base64 where it says so, and Polly.js keeps a compressed one as a list of parts in base64.
fn body(content: Content) -> Vec<u8> {
    let text = content.text.unwrap_or_default();
    if let Ok(parts) = serde_json::from_str::<Vec<String>>(&text) {
        let decoded: Option<Vec<Vec<u8>>> = parts.iter().map(|part| STANDARD.decode(part).ok()).collect();
        if let Some(decoded) = decoded.filter(|parts| !parts.is_empty()) {
            return decoded.concat();
        }
    }
    match content.encoding.as_deref() {
        Some("base64") => STANDARD.decode(text.trim()).unwrap_or_else(|_| text.into_bytes()),
        _ => text.into_bytes(),
    }
}
