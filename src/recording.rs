//! A recording: the answers of one case on one target, found again by what was asked.

mod difference;

use crate::canonical;
use crate::case::Case;
use crate::disk::Root;
use crate::fault::{Fault, Faults};
use crate::limit;
use crate::project::Matching;
use crate::redact::Redactor;
use crate::wire::call::{Api, Attempt};
use crate::wire::{self, Exchange};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use std::collections::{HashMap, VecDeque};

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

/// The answers of one file, by key, in order.
#[derive(Debug, Default)]
struct Layer {
    file: Utf8PathBuf,
    exchanges: Vec<Exchange>,
    by_key: HashMap<String, VecDeque<usize>>,
}

impl Layer {
    fn new(file: Utf8PathBuf, exchanges: Vec<Exchange>, matcher: Matcher<'_>) -> Self {
        let mut by_key: HashMap<String, VecDeque<usize>> = HashMap::new();
        for (index, exchange) in exchanges.iter().enumerate() {
            by_key.entry(matcher.key(exchange)).or_default().push_back(index);
        }
        Self { file, exchanges, by_key }
    }

    /// The next exchange with this key that belongs to the trial; what names no trial belongs to the first.
    fn next(&mut self, key: &str, trial: u32) -> Option<&Exchange> {
        let waiting = self.by_key.get_mut(key)?;
        let position = waiting.iter().position(|index| self.exchanges[*index].trial.unwrap_or(1) == trial)?;
        self.exchanges.get(waiting.remove(position)?)
    }
}

/// The answers that a replay may give: the recording's, then the incident's wire, then the healthy one's.
#[derive(Debug)]
pub struct Answers {
    root: Root,
    case: String,
    matching: Matching,
    redactor: Redactor,
    layers: Vec<Layer>,
    unread: VecDeque<Utf8PathBuf>,
    given: HashMap<String, usize>,
}

/// A request that nothing answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// Why, and the difference to the nearest recording, over several lines.
    pub detail: String,
}

impl Answers {
    /// Opens the recording of a case on a target; the wires are read only when it does not answer.
    ///
    /// # Errors
    /// A recording that cannot be read: it is never taken for a missing one.
    pub fn open(root: &Root, case: &Case, target: &str, matcher: Matcher<'_>) -> Result<Self, Faults> {
        let wires = case.wire.incident.iter().chain(&case.wire.healthy);
        let unread = wires.map(|file| Utf8PathBuf::from(format!("postmortems/{}/{file}", case.id))).collect();
        let mut answers = Self {
            root: root.clone(),
            case: case.id.clone(),
            matching: matcher.matching.clone(),
            redactor: matcher.redactor.clone(),
            layers: Vec::new(),
            unread,
            given: HashMap::new(),
        };
        answers.read(Utf8PathBuf::from(path(&case.id, target)), false)?;
        Ok(answers)
    }

    /// The trials that are recorded; 1 at least, because a wire is one.
    pub fn trials(&self) -> u32 {
        let recorded = self.layers.iter().flat_map(|layer| &layer.exchanges).filter_map(|exchange| exchange.trial);
        recorded.max().unwrap_or(1).max(1)
    }

    /// Reads a file's answers; what is not there has none.
    fn read(&mut self, file: Utf8PathBuf, wire: bool) -> Result<(), Faults> {
        let Some(text) = self.root.read_text_if_there(&file, limit::TRACE_BYTES)? else { return Ok(()) };
        if !wire {
            check_header(&text, &file)?;
        }
        let mut exchanges = wire::read(&text, file.as_str())?;
        // A recording holds completed answers only; in a wire, what failed is a condition and no answer.
        exchanges.retain(|exchange| Attempt::of(exchange).is_none_or(|attempt| attempt.finished()));
        let layer = Layer::new(file, exchanges, self.matcher());
        self.layers.push(layer);
        Ok(())
    }

    /// The next answer to a request; equal requests are answered in recorded order, and one more is a miss.
    ///
    /// # Errors
    /// A file that cannot be read. A miss is no error of the files, and comes as the inner result.
    pub fn next(&mut self, request: &Exchange) -> Result<Result<Exchange, Miss>, Faults> {
        let key = self.matcher().key(request);
        loop {
            for layer in &mut self.layers {
                if let Some(found) = layer.next(&key, request.trial.unwrap_or(1)) {
                    *self.given.entry(key).or_default() += 1;
                    return Ok(Ok(found.clone()));
                }
            }
            match self.unread.pop_front() {
                Some(file) => self.read(file, true)?,
                None => return Ok(Err(self.miss(request, &key))),
            }
        }
    }

    /// How requests are compared.
    pub fn matcher(&self) -> Matcher<'_> {
        Matcher { matching: &self.matching, redactor: &self.redactor }
    }

    fn miss(&self, request: &Exchange, key: &str) -> Miss {
        let asked = format!("{} {}", request.request.method, request.request.path);
        if let Some(times) = self.given.get(key) {
            return Miss { detail: format!("{asked} was asked once more than it is recorded ({times} times)") };
        }
        let known = self.layers.iter().flat_map(|layer| layer.exchanges.iter().map(move |exchange| (layer, exchange)));
        let same_api = known.filter(|(_, exchange)| Api::of(exchange) == Api::of(request));
        let nearest = same_api.min_by_key(|(_, exchange)| difference::distance(&exchange.request.body, &request.request.body));
        let Some((layer, nearest)) = nearest else {
            return Miss { detail: format!("{asked} is not recorded, and {} has no recording of this API", self.case) };
        };
        let lines = difference::lines(&nearest.request.body, &request.request.body);
        Miss { detail: format!("{asked} is not recorded; nearest is {} #{}:\n{}", layer.file, nearest.seq, lines.join("\n")) }
    }
}

fn check_header(text: &str, file: &Utf8Path) -> Result<(), Fault> {
    let first = text.lines().next().unwrap_or_default();
    let header: Option<Value> = serde_json::from_str(first).ok();
    match header.as_ref().and_then(|header| header.get("relapse_recording")).and_then(Value::as_u64) {
        Some(1) => Ok(()),
        Some(version) => {
            Err(Fault::new(format!("recording of format {version}, expected 1")).in_file(file).help("update relapse, or record again"))
        }
        None => {
            Err(Fault::new("the first line is no header of a recording").in_file(file).help("it must hold {\"relapse_recording\": 1, …}"))
        }
    }
}
