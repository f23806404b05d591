//! A recording: the answers of one case on one target, found again by what was asked.

mod answers;
mod difference;
mod draft;
mod leaf;
mod stream;

pub use answers::{Answers, Miss, Recorded};
pub use draft::{Header, stored, write};

use crate::canonical;
use crate::project::Matching;
use crate::redact::Redactor;
use crate::wire::Exchange;
use crate::wire::call::Api;
use camino::Utf8PathBuf;
use serde_json::Value;

/// Where answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// From recordings; no socket is opened.
    Replay,
    /// From recordings, and live where they have none.
    Record,
    /// Live, whatever is recorded.
    Refresh,
}

/// The path of a case's recording on a target, from the repository's root.
pub fn path(case: &str, target: &str) -> String {
    format!("cases/{case}/recordings/{target}.jsonl")
}

/// The path of the answers of swaps of a case on a target: of replays in which something is restored from what worked.
pub fn swaps_path(case: &str, target: &str) -> String {
    format!("cases/{case}/recordings/{target}{SWAPS}")
}

/// How the name of a file with answers of swaps ends, after the target.
pub const SWAPS: &str = ".swaps.jsonl";

/// A recording from elsewhere: another target's, or a revision's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Borrowed {
    /// Where it is from, for people.
    pub file: Utf8PathBuf,
    /// Its text.
    pub text: String,
}

/// How requests are compared: the body after redaction, ignored places and replaced patterns.
#[derive(Debug, Clone, Copy)]
pub struct Matcher<'a> {
    /// The project's rules.
    pub matching: &'a Matching,
    /// The redactor that recordings were written with.
    pub redactor: &'a Redactor,
}

impl Matcher<'_> {
    /// The key of a request: its API or path, and its body as canonical JSON.
    pub fn key(&self, exchange: &Exchange) -> String {
        let api = match Api::of(exchange) {
            // Every base URL has its own prefix; what is asked is the same.
            Api::OpenAiChat => "chat".to_string(),
            Api::OpenAiCompletions => "completions".to_string(),
            Api::OpenAiResponses => "responses".to_string(),
            Api::Anthropic => "messages".to_string(),
            Api::Other(_) => format!("{} {}", exchange.request.method, exchange.request.path),
        };
        format!("{api} {}", self.body(&exchange.request.body))
    }

    fn body(&self, body: &Value) -> String {
        let text = if self.matching.ignore.is_empty() { canonical::json(body) } else { canonical::json(&self.without_ignored(body)) };
        let mut text = match self.redactor.redact(&text) {
            std::borrow::Cow::Borrowed(_) => text,
            std::borrow::Cow::Owned(redacted) => redacted,
        };
        for replacement in &self.matching.replace {
            text = replacement.pattern.replace_all(&text, replacement.with.as_str()).into_owned();
        }
        text
    }

    fn without_ignored(&self, body: &Value) -> Value {
        let mut body = body.clone();
        for pointer in &self.matching.ignore {
            remove(&mut body, &pointer.value);
        }
        body
    }
}

fn remove(body: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return };
    let last = last.replace("~1", "/").replace("~0", "~");
    match body.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.shift_remove(&last);
        }
        Some(Value::Array(items)) => {
            if let Some(index) = last.parse::<usize>().ok().filter(|index| *index < items.len()) {
                items.remove(index);
            }
        }
        _ => {}
    }
}
