//! One request on one screen, and many in a list.

use super::page::{Label, Page, Tone};
use crate::field::{self, State};
use crate::inert;
use crate::request::{Request, Stage};
use crate::wire::call::Attempt;
use crate::wire::summary::Summary;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, Write};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How a screen looks.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether styles are written; words say the same.
    pub colour: bool,
    /// Columns.
    pub width: usize,
}

/// Requests beyond which they are listed, one a line.
pub const SCREENS: usize = 5;
/// Stages beyond which a waterfall leaves out those in the middle.
const STAGES: usize = 24;
/// Seconds below which a part of the time is shown as nothing.
const SHOWN: f64 = 0.000_05;
/// Columns of a stage's kind, its name and its duration.
const COLUMNS: (usize, usize, usize) = (10, 20, 9);
/// Columns below which a waterfall has no bars.
const NARROW: usize = 60;

/// Writes one request: who asked what, where the time went, what it took, how it ended, and what the telemetry hides.
pub fn write(request: &Request, options: Options, out: &mut impl Write) -> io::Result<()> {
    let mut screen = Screen { page: Page::new(options.width.max(20), options.colour), width: options.width, request };
    screen.identity();
    screen.waterfall();
    screen.totals();
    screen.gaps();
    out.write_all(screen.page.into_text().as_bytes())
}

/// Writes many requests, one a line, and how to see one.
pub fn list(requests: &[Request], options: Options, out: &mut impl Write) -> io::Result<()> {
    let mut page = Page::new(options.width.max(20), options.colour);
    page.paragraph(0, &format!("{:<32} {:<9} {:>8} {:>5} {:>8} {:>5}", "trace", "outcome", "time", "calls", "tokens", "gaps"), Tone::Quiet);
    out.write_all(page.into_text().as_bytes())?;
    requests.iter().try_for_each(|request| row(request, options, out))?;
    let wrong = requests.iter().filter(|request| !request.contradictions.is_empty()).count();
    let said = if wrong == 0 { String::new() } else { format!(", {wrong} with telemetry that is wrong") };
    let mut page = Page::new(options.width.max(20), options.colour);
    page.paragraph(0, &format!("{} requests{said}; --trace-id ID shows one, and its gaps", requests.len()), Tone::Quiet);
    out.write_all(b"\n")?;
    out.write_all(page.into_text().as_bytes())
}

/// Writes one request in a line: its trace, how it ended, and what it took.
pub fn row(request: &Request, options: Options, out: &mut impl Write) -> io::Result<()> {
    let id = request.trace.as_ref().map_or("no telemetry", |trace| trace.id.as_str());
    let outcome = request.signals.read("outcome").text().unwrap_or("unknown");
    let total = request.signals.read("latency.total").number().map_or_else(|| "?".into(), seconds);
    let (calls, tokens) = (number(request, "calls.model"), number(request, "tokens.total"));
    let gaps = states(request).filter(|(_, state)| state.is_lacking()).count();
    let mut page = Page::new(options.width.max(20), options.colour);
    page.paragraph(0, &format!("{id:<32} {outcome:<9} {total:>8} {calls:>5} {tokens:>8} {gaps:>5}"), Tone::Plain);
    out.write_all(page.into_text().as_bytes())
}

struct Screen<'a> {
    page: Page,
    width: usize,
    request: &'a Request,
}

fn label(word: &str) -> Label<'_> {
    Label { indent: 2, word, column: 11, tone: Tone::Quiet }
}

/// A label of the last part, where the words are longer.
fn gap_label(word: &str, tone: Tone) -> Label<'_> {
    Label { indent: 2, word, column: 15, tone }
}

impl Screen<'_> {
    fn identity(&mut self) {
        match &self.request.trace {
            Some(trace) => self.page.paragraph(0, &format!("trace {}  {}", trace.id, trace.conventions.join(", ")), Tone::Strong),
            None => self.page.paragraph(0, "no telemetry, the wire only", Tone::Strong),
        }
        let names = [
            ("request", "request.id"),
            ("session", "session.id"),
            ("user", "user.id"),
            ("feature", "feature"),
            ("prompt", "prompt.version"),
        ];
        for (word, field) in names {
            if let Some(value) = self.value(field) {
                self.page.entry(label(word), &value, Tone::Plain);
            }
        }
        let wire = self.request.wire.as_ref().and_then(Summary::last);
        let of_wire = |model: fn(&Attempt) -> &Option<String>| wire.and_then(|attempt| model(attempt).clone());
        let models = [
            self.value("model.requested").or_else(|| of_wire(|attempt| &attempt.model_requested)),
            self.value("model.responded").or_else(|| of_wire(|attempt| &attempt.model_responded)),
        ];
        if models.iter().any(Option::is_some) {
            let [asked, answered] = models.map(|model| model.unwrap_or_else(|| "?".into()));
            self.page.entry(label("model"), &format!("{asked} → {answered}"), Tone::Plain);
        }
        for (word, said) in [("asked", self.request.input().as_deref()), ("said", self.request.answer.as_deref())] {
            if let Some(said) = said {
                self.page.entry(label(word), &inert::clip(&inert::one_line(said), 400), Tone::Plain);
            }
        }
        self.page.gap();
    }

    fn value(&self, field: &str) -> Option<String> {
        let value = self.request.fields.get(field)?.value()?;
        Some(inert::one_line(&value.as_str().map_or_else(|| value.to_string(), str::to_string)))
    }

    fn waterfall(&mut self) {
        let stages = self.request.stages();
        let end = stages.iter().map(|stage| stage.start + stage.duration.unwrap_or(0.0)).fold(0.0, f64::max);
        let total = self.request.signals.read("latency.total").number().unwrap_or(end).max(end);
        let half = STAGES / 2;
        for (place, stage) in stages.iter().enumerate() {
            if stages.len() <= STAGES || place < half || place >= stages.len() - half {
                self.stage(stage, total);
            } else if place == half {
                self.page.paragraph(2, &format!("… {} more", stages.len() - STAGES), Tone::Quiet);
            }
        }
        self.page.gap();
    }

    fn stage(&mut self, stage: &Stage, total: f64) {
        let (kind, name, lasted) = COLUMNS;
        let duration = stage.duration.map_or_else(|| "no end".to_string(), seconds);
        let bar = if self.width < NARROW { String::new() } else { bar(stage, total, self.width.min(120) - 4 - kind - name - lasted) };
        let line = format!("{:<kind$}{} {bar}{duration:>lasted$}", stage.kind, fitted(&inert::one_line(&stage.name), name));
        let failed = stage.error.is_some();
        self.page.paragraph(2, &line, if failed { Tone::Bad } else { Tone::Plain });
        if let Some(error) = &stage.error {
            self.page.paragraph(2 + kind, &format!("failed: {}", inert::clip(&inert::one_line(error), 200)), Tone::Bad);
        }
    }

    fn totals(&mut self) {
        let request = self.request;
        let time = |name: &str| request.signals.read(name).number().map_or_else(|| "?".to_string(), seconds);
        let word = request.signals.read("outcome").text().unwrap_or("unknown");
        let tone = if word == "success" { Tone::Good } else { Tone::Bad };
        self.page.entry(label("outcome"), word, tone);
        let parts = [
            ("model", "latency.model"),
            ("tools", "latency.tools"),
            ("retrieval", "latency.retrieval"),
            ("retries", "latency.retries"),
            ("gap", "latency.gap"),
        ];
        let known = parts.iter().filter(|(_, name)| request.signals.read(name).number().is_some_and(|time| time >= SHOWN));
        let shares: Vec<String> = known.map(|(word, name)| format!("{word} {}", time(name))).collect();
        let of_what = if shares.is_empty() { String::new() } else { format!(" = {}", shares.join(" + ")) };
        self.page.entry(
            label("time"),
            &format!("{}{of_what}; first token {}", time("latency.total"), time("latency.first_token")),
            Tone::Plain,
        );
        let count = |name: &str, one: &str, many: &str| {
            format!("{} {}", number(request, name), if number(request, name) == "1" { one } else { many })
        };
        let counts = [
            count("calls.model", "model call", "model calls"),
            count("retries.count", "retry", "retries"),
            count("calls.tool", "tool call", "tool calls"),
            count("retrieval.documents", "document", "documents"),
        ];
        self.page.entry(label("calls"), &counts.join(", "), Tone::Plain);
        let cost = request.signals.read("cost.usd").number().map_or_else(|| "?".into(), |cost| format!("${cost:.6}"));
        let tokens = format!("{} in, {} out; cost {cost}", number(request, "tokens.input"), number(request, "tokens.output"));
        self.page.entry(label("tokens"), &tokens, Tone::Plain);
        self.page.gap();
    }

    fn gaps(&mut self) {
        let request = self.request;
        if request.trace.is_some() {
            let required = states(request).filter(|(_, state)| !matches!(state, State::ConditionNotMet)).count();
            let there = states(request).filter(|(_, state)| state.is_present()).count();
            self.page.entry(label("telemetry"), &format!("{there} of {required} fields of the minimum"), Tone::Plain);
        }
        let hidden: BTreeMap<&str, &Value> = request.hidden.iter().map(|hidden| (hidden.field.as_str(), &hidden.wire)).collect();
        for (name, state) in states(request) {
            let (word, tone, why) = match state {
                State::Absent { .. } => ("missing", Tone::Doubtful, String::new()),
                State::Indeterminate { reason, .. } => ("indeterminate", Tone::Doubtful, reason_of(reason)),
                State::Present { .. } | State::ConditionNotMet => continue,
            };
            let (State::Absent { add, .. } | State::Indeterminate { add, .. }) = state else { continue };
            match hidden.get(name) {
                Some(wire) => self.gap("hidden", Tone::Bad, &format!("{name}: the wire says {}; add {add}", shown(name, wire))),
                None => self.gap(word, tone, &format!("{name}{why}: add {add}")),
            }
        }
        let told = |name: &str| states(request).any(|(field, state)| field == name && state.is_lacking());
        for (name, wire) in hidden.iter().filter(|(name, _)| !told(name)) {
            let add = crate::mapping::attribute_to_add(name);
            self.gap("hidden", Tone::Bad, &format!("{name}: the wire says {}; add {add}", shown(name, wire)));
        }
        self.contradictions();
        let oddities = request.trace.iter().flat_map(|trace| trace.oddities());
        oddities.for_each(|oddity| self.gap("odd", Tone::Doubtful, &oddity));
    }

    fn contradictions(&mut self) {
        let mut by_field: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for found in &self.request.contradictions {
            let said = format!("told {}, the wire says {}", shown(&found.field, &found.told), shown(&found.field, &found.wire));
            by_field.entry(&found.field).or_default().push(said);
        }
        for (field, said) in by_field {
            self.gap("contradicted", Tone::Bad, &format!("{field}: {}", said.join("; ")));
        }
    }

    fn gap(&mut self, word: &str, tone: Tone, text: &str) {
        self.page.entry(gap_label(word, tone), &inert::one_line(text), Tone::Plain);
    }
}

fn states(request: &Request) -> impl Iterator<Item = (&'static str, &State)> {
    field::minimum().filter_map(|definition| Some((definition.name, request.fields.get(definition.name)?)))
}

fn reason_of(reason: &str) -> String {
    let said = match reason {
        "events-dropped" => "events were dropped",
        "attributes-dropped" => "attributes were dropped",
        "content-not-captured" => "content is not captured",
        "instrumentation-cannot-carry-it" => "this instrumentation cannot carry it",
        other => other,
    };
    format!(" ({said})")
}

fn shown(field: &str, value: &Value) -> String {
    match value {
        Value::Number(number) if field.starts_with("latency.") => seconds(number.as_f64().unwrap_or_default()),
        Value::Null => "nothing".into(),
        Value::String(text) => format!("\"{}\"", inert::clip(&inert::one_line(text), 120)),
        other => other.to_string(),
    }
}

fn number(request: &Request, name: &str) -> String {
    request.signals.read(name).number().map_or_else(|| "?".to_string(), |number| number.to_string())
}

fn seconds(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

/// A bar where in the request's time a stage ran.
fn bar(stage: &Stage, total: f64, columns: usize) -> String {
    let column = |seconds: f64| if total > 0.0 { ((seconds / total) * columns as f64).round() as usize } else { 0 };
    let from = column(stage.start).min(columns - 1);
    let length = column(stage.duration.unwrap_or(0.0)).clamp(1, columns - from);
    format!("{}{}{}", " ".repeat(from), "█".repeat(length), " ".repeat(columns - from - length))
}

/// A text in exactly so many columns: filled up, or cut with a mark.
fn fitted(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return format!("{text}{}", " ".repeat(columns - text.width()));
    }
    let mut kept = String::new();
    let mut used = 0;
    for character in text.chars() {
        used += character.width().unwrap_or(0);
        if used >= columns {
            break;
        }
        kept.push(character);
    }
    let rest = columns - kept.width();
    format!("{kept}…{}", " ".repeat(rest - 1))
}
