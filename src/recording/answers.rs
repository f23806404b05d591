//! The answers that a run may give from recordings, and those that it got live and will keep.

use super::draft::{self, Draft, Header};
use super::{Borrowed, Matcher, Mode, difference, path, swaps_path};
use crate::case::Case;
use crate::disk::{Destination, Root, Writing};
use crate::fault::{Fault, Faults, Place};
use crate::inert;
use crate::limit;
use crate::project::Matching;
use crate::redact::Redactor;
use crate::wire::call::{Api, Attempt};
use crate::wire::{self, Exchange, Payload};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use std::collections::{HashMap, HashSet, VecDeque};

/// What a file of answers is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A recording, which this run may write anew.
    Own,
    /// A recording from elsewhere.
    Borrowed,
    /// A wire, or what the target was asked before something was restored.
    Evidence,
}

/// An answer of a file, and what it says.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The exchange.
    pub exchange: Exchange,
    /// What it was as an attempt of a model call, read once for all who look; none where it speaks another API.
    pub attempt: Option<Attempt>,
}

impl From<Exchange> for Recorded {
    fn from(exchange: Exchange) -> Self {
        Self { attempt: Attempt::of(&exchange), exchange }
    }
}

/// The answers of one file, by key, in order.
#[derive(Debug, Clone)]
struct Layer {
    file: Utf8PathBuf,
    origin: Origin,
    answers: Vec<Recorded>,
    /// Where each question is answered; a refresh looks nothing up.
    by_key: HashMap<String, VecDeque<usize>>,
}

impl Layer {
    /// The next exchange with this key that belongs to the trial; what names no trial belongs to the first.
    fn next(&mut self, key: &str, request: &Exchange) -> Option<&Recorded> {
        let waiting = self.by_key.get_mut(key)?;
        let fits = |index: &usize| self.answers.get(*index).is_some_and(|recorded| belongs(&recorded.exchange, request));
        let position = waiting.iter().position(fits)?;
        self.answers.get(waiting.remove(position)?)
    }

    fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.answers.iter().map(|recorded| &recorded.exchange)
    }
}

/// The places of answers by what was asked, in order.
fn by_key(answers: &[Recorded], matcher: Matcher<'_>) -> HashMap<String, VecDeque<usize>> {
    let mut by_key: HashMap<String, VecDeque<usize>> = HashMap::new();
    for (index, recorded) in answers.iter().enumerate() {
        by_key.entry(matcher.key(&recorded.exchange)).or_default().push_back(index);
    }
    by_key
}

/// Whether a recorded exchange is of the request's trial, and of its upstream where both name one.
fn belongs(recorded: &Exchange, request: &Exchange) -> bool {
    let upstream = recorded.upstream.as_ref().zip(request.upstream.as_ref()).is_none_or(|(one, other)| one == other);
    upstream && trial(recorded) == trial(request)
}

fn trial(exchange: &Exchange) -> u32 {
    exchange.trial.unwrap_or(1)
}

/// The answers that a run may give: the recording's, then the incident's wire, then the healthy one's. What it gets live
/// it [keeps](Answers::keep), and [saves](Answers::save) at the end.
#[derive(Debug, Clone)]
pub struct Answers {
    root: Root,
    case: String,
    target: String,
    matching: Matching,
    redactor: Redactor,
    mode: Mode,
    layers: Vec<Layer>,
    unread: VecDeque<Utf8PathBuf>,
    given: HashMap<(String, u32), usize>,
    draft: Draft,
    is_swap: bool,
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
    pub fn open(root: &Root, case: &Case, target: &str, matcher: Matcher<'_>, mode: Mode) -> Result<Self, Faults> {
        let wires = case.wire.incident.iter().chain(&case.wire.healthy);
        let mut answers = Self {
            root: root.clone(),
            case: case.id.clone(),
            target: target.to_string(),
            matching: matcher.matching.clone(),
            redactor: matcher.redactor.clone(),
            mode,
            layers: Vec::new(),
            unread: wires.map(|file| Utf8PathBuf::from(format!("postmortems/{}/{file}", case.id))).collect(),
            given: HashMap::new(),
            draft: Draft::default(),
            is_swap: false,
        };
        answers.read(Utf8PathBuf::from(path(&case.id, target)), Origin::Own)?;
        Ok(answers)
    }

    /// The same for a replay in which something is restored: it is answered by the recording of such replays, in which
    /// also is kept what it gets live, then by the target's own and by borrowed ones.
    ///
    /// # Errors
    /// A recording that cannot be read.
    pub fn for_swap(mut self, borrowed: &[Borrowed]) -> Result<Self, Faults> {
        self.is_swap = true;
        let before = std::mem::take(&mut self.layers);
        self.read(Utf8PathBuf::from(swaps_path(&self.case, &self.target)), Origin::Own)?;
        self.layers.extend(before.into_iter().map(|layer| Layer { origin: Origin::Evidence, ..layer }));
        for Borrowed { file, text } in borrowed {
            self.take(file.clone(), text, Origin::Borrowed)?;
        }
        Ok(self)
    }

    /// The trials that are recorded; 1 at least, because a wire is one.
    pub fn trials(&self) -> u32 {
        let recordings = self.layers.iter().filter(|layer| layer.origin != Origin::Evidence);
        let recorded = recordings.flat_map(Layer::exchanges).filter_map(|exchange| exchange.trial);
        recorded.max().unwrap_or(1).max(1)
    }

    /// Reads a file's answers; what is not there has none.
    fn read(&mut self, file: Utf8PathBuf, origin: Origin) -> Result<(), Faults> {
        let text = self.root.read_text_if_there(&file, limit::TRACE_BYTES)?;
        text.map_or(Ok(()), |text| self.take(file, &text, origin))
    }

    fn take(&mut self, file: Utf8PathBuf, text: &str, origin: Origin) -> Result<(), Faults> {
        if origin != Origin::Evidence {
            check_header(text, &file)?;
        }
        let mut answers: Vec<Recorded> = wire::read(text, file.as_str())?.into_iter().map(Recorded::from).collect();
        let broken = |recorded: &Recorded| recorded.attempt.as_ref()?.broken_event;
        let broken = answers.iter().find_map(|recorded| Some((&recorded.exchange, broken(recorded)?)));
        if let Some((exchange, event)) = broken.filter(|_| origin != Origin::Evidence) {
            return Err(broken_event(exchange, event, text, &file).into());
        }
        // A recording holds completed answers only; in a wire, what failed is a condition and no answer.
        answers.retain(|recorded| recorded.attempt.as_ref().is_none_or(Attempt::is_content));
        let by_key = if self.mode == Mode::Refresh { HashMap::new() } else { by_key(&answers, self.matcher()) };
        self.layers.push(Layer { file, origin, answers, by_key });
        Ok(())
    }

    /// The next answer to a request; equal requests are answered in recorded order, and one more is a miss, as is
    /// everything in a refresh.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn next(&mut self, request: &Exchange) -> Result<Option<Recorded>, Faults> {
        if self.mode == Mode::Refresh {
            return Ok(None);
        }
        let key = self.matcher().key(request);
        loop {
            for layer in &mut self.layers {
                let is_kept = layer.origin == Origin::Own && self.mode == Mode::Record;
                if let Some(found) = layer.next(&key, request) {
                    let answer = found.clone();
                    if is_kept {
                        self.draft.replayed(answer.exchange.clone());
                    }
                    *self.given.entry((key, trial(request))).or_default() += 1;
                    return Ok(Some(answer));
                }
            }
            match self.unread.pop_front() {
                Some(file) => self.read(file, Origin::Evidence)?,
                None => return Ok(None),
            }
        }
    }

    /// How requests are compared.
    pub fn matcher(&self) -> Matcher<'_> {
        Matcher { matching: &self.matching, redactor: &self.redactor }
    }

    /// Keeps a live answer for the recording.
    pub fn keep(&mut self, exchange: Exchange) {
        self.draft.live(exchange);
    }

    /// Why nothing answers a request, and the difference to the nearest recording, over several lines.
    pub fn miss(&self, request: &Exchange) -> Miss {
        let asked = format!("{} {}", request.request.method, request.request.path);
        let key = self.matcher().key(request);
        let why = match (self.given.get(&(key.clone(), trial(request))), self.nearest(request)) {
            (Some(times), _) => format!("was asked once more than it is recorded ({times} times)"),
            (None, None) => format!("is not recorded, and {} has no recording of this API", self.case),
            (None, Some((_, nearest))) if self.matcher().key(&nearest.exchange) == key => {
                format!("is not recorded for trial {}", trial(request))
            }
            (None, Some((layer, nearest))) => {
                let nearest = &nearest.exchange;
                format!("is not recorded; nearest is {} #{}, {}", layer.file, nearest.seq, drift(nearest, request))
            }
        };
        Miss { detail: format!("{asked} {why}") }
    }

    /// Places in the recording whose answers nothing asked for, in the trials that were run; none in a wire, which is
    /// evidence of more than one conversation.
    pub fn unused(&self) -> Option<String> {
        let layer = self.layers.iter().find(|layer| layer.origin == Origin::Own)?;
        let run: HashSet<u32> = self.given.keys().map(|(_, trial)| *trial).collect();
        let waiting = layer.by_key.values().flatten().filter_map(|index| layer.answers.get(*index)).map(|recorded| &recorded.exchange);
        let mut places: Vec<u64> = waiting.filter(|exchange| run.contains(&trial(exchange))).map(|exchange| exchange.seq).collect();
        places.sort_unstable();
        let places: Vec<String> = places.iter().map(|place| format!("#{place}")).collect();
        (!places.is_empty()).then(|| format!("nothing asked for what is recorded in {} {}", layer.file, places.join(", ")))
    }

    /// What became different since the recording: the request, or, where it is the same, the answer.
    pub fn change(&self, answered: &Exchange, attempt: Option<&Attempt>) -> Option<String> {
        let (_, Recorded { exchange: nearest, attempt: recorded }) = self.nearest(answered)?;
        let is_same = nearest.request.body == answered.request.body || self.matcher().key(nearest) == self.matcher().key(answered);
        if !is_same {
            return Some(format!("asked live, {}", on_one_line(&drift(nearest, answered))));
        }
        let recorded = recorded.as_ref().map(difference::spoken).unwrap_or_default();
        let now = attempt.map(difference::spoken).unwrap_or_default();
        let words = || on_one_line(&difference::lines(&recorded, &now).join("\n"));
        (recorded != now).then(|| format!("the same request got another answer: {}", words()))
    }

    fn nearest(&self, request: &Exchange) -> Option<(&Layer, &Recorded)> {
        let known = self.layers.iter().flat_map(|layer| layer.answers.iter().map(move |recorded| (layer, recorded)));
        let same_api = known.filter(|(_, recorded)| Api::of(&recorded.exchange) == Api::of(request));
        same_api.min_by_key(|(_, recorded)| difference::distance(&recorded.exchange.request.body, &request.request.body))
    }

    /// Writes the recording anew if anything was asked live.
    ///
    /// Lines that this run did not ask for are dropped once `is_complete`, except trials that it did not run and that
    /// begin as one that it did; other swaps keep theirs. A refresh that did not come to its end leaves the recording as it is.
    ///
    /// # Errors
    /// What still looks like a secret; that the disk does not take it shows when the writing ends.
    pub fn save(self, is_complete: bool, header: &Header<'_>, destination: Destination<'_>) -> Result<Writing, Fault> {
        if self.draft.is_empty() || (self.mode == Mode::Refresh && !is_complete) || !destination.keeps() {
            return Ok(Writing::default());
        }
        let matcher = Matcher { matching: &self.matching, redactor: &self.redactor };
        let own = self.layers.into_iter().find(|layer| layer.origin == Origin::Own);
        let old: Vec<Exchange> = own.into_iter().flat_map(|layer| layer.answers).map(|recorded| recorded.exchange).collect();
        let kept = if is_complete && !self.is_swap { other_trials(old, &self.draft, matcher) } else { self.draft.unasked(old) };
        let text = self.draft.text(kept, header, &self.redactor);
        let path = if self.is_swap { swaps_path } else { path };
        let file = Utf8PathBuf::from(path(&self.case, &self.target));
        draft::check(&file, &text, &self.redactor)?;
        Ok(destination.write_aside(file, text.into_bytes()))
    }
}

/// A note has one line.
fn on_one_line(lines: &str) -> String {
    lines.split('\n').map(str::trim).collect::<Vec<_>>().join("; ").replacen(":; ", ": ", 1)
}

/// What sort of change a request is, and its words.
fn drift(recorded: &Exchange, asked: &Exchange) -> String {
    let (one, other) = (&recorded.request.body, &asked.request.body);
    format!("{}:\n{}", difference::class(one, other), difference::lines(one, other).join("\n"))
}

/// Old trials that were not run now, and whose first request was.
fn other_trials(old: Vec<Exchange>, draft: &Draft, matcher: Matcher<'_>) -> Vec<Exchange> {
    let asked: HashSet<String> = draft.exchanges().map(|exchange| matcher.key(exchange)).collect();
    let run: HashSet<u32> = draft.exchanges().map(trial).collect();
    let mut first: HashMap<u32, bool> = HashMap::new();
    let mut kept = old;
    kept.retain(|exchange| {
        let begins_alike = *first.entry(trial(exchange)).or_insert_with(|| asked.contains(&matcher.key(exchange)));
        begins_alike && !run.contains(&trial(exchange))
    });
    kept
}

/// An answer with a hole in it is refused: judged, it would lack what nobody took out of it.
fn broken_event(exchange: &Exchange, event: usize, text: &str, file: &Utf8Path) -> Fault {
    let data = match exchange.response.as_ref().map(|response| &response.payload) {
        Some(Payload::Events(events)) => events.get(event - 1).map(|event| event.data.as_str()).unwrap_or_default(),
        _ => "",
    };
    let line = text.lines().position(|line| wire::read_line(line).is_ok_and(|read| read.response == exchange.response)).unwrap_or_default();
    let found = inert::one_line(&inert::clip(data, limit::SHOWN_BYTES));
    let fault = Fault::new(format!("event {event} of the answer is no JSON: found `{found}`, expected what a provider streams"));
    fault.at(Place::at(file, line as u32 + 1, 1)).help("restore the file, or delete it and run with `--mode record`")
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
