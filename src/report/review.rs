//! One pending snapshot as a person reviews it: prompt, behaviour and signals beside what was accepted.

use super::page::{Label, Page, Tone};
use super::terminal::Options;
use crate::inert;
use crate::limit;
use crate::signal;
use crate::snapshot::Snapshot;
use crate::snapshot::difference::{self, Fate};
use std::collections::BTreeSet;
use std::io::{self, Write};

/// What waits for a person.
#[derive(Debug, Clone)]
pub struct Item {
    /// The case and target, as in `empty-retrieval@support-prompt`.
    pub name: String,
    /// The postmortem's title.
    pub title: String,
    /// What was accepted; none when nothing was yet.
    pub accepted: Option<Snapshot>,
    /// What the candidate did.
    pub candidate: Snapshot,
}

/// Writes one item.
///
/// # Errors
/// A writer that fails.
pub fn write(item: &Item, (number, all): (usize, usize), options: Options, out: &mut impl Write) -> io::Result<()> {
    let mut page = Page::new(options.width.unwrap_or(80).max(20), options.colour);
    page.paragraph(0, &format!("{} ({number} of {all})", inert::one_line(&item.name)), Tone::Strong);
    page.paragraph(0, &inert::one_line(&item.title), Tone::Plain);
    let accepted = item.accepted.as_ref();
    let prompt = |snapshot: Option<&Snapshot>| snapshot.and_then(|snapshot| snapshot.prompt.clone()).unwrap_or_default();
    if accepted.is_some() {
        section(&mut page, "prompt", (&prompt(accepted), &prompt(Some(&item.candidate))));
    }
    let headline = if accepted.is_some() { "behaviour" } else { "behaviour (nothing was accepted yet)" };
    section(&mut page, headline, (accepted.map_or("", |accepted| &accepted.text), &item.candidate.text));
    signals(&mut page, item);
    out.write_all(page.into_text().as_bytes())
}

fn section(page: &mut Page, headline: &str, (accepted, candidate): (&str, &str)) {
    let lines = difference::lines(accepted, candidate);
    if lines.is_empty() {
        return;
    }
    page.gap();
    page.paragraph(0, headline, Tone::Strong);
    for line in lines {
        let tone = match line.fate {
            Fate::Removed => Tone::Bad,
            Fate::Added => Tone::Good,
            Fate::Kept | Fate::Skipped => Tone::Quiet,
        };
        let text = inert::visible(&inert::clip(&line.marked(), limit::SHOWN_VERBOSE_BYTES)).into_owned();
        page.entry(Label { indent: 2, word: line.fate.sign(), column: 2, tone }, &text, tone);
    }
}

/// The signals that differ, side by side; times differ from recording to recording, so that one quiet line tells them.
fn signals(page: &mut Page, item: &Item) {
    let Some(accepted) = &item.accepted else { return };
    let (old, new) = (&accepted.signals, &item.candidate.signals);
    let names: BTreeSet<&str> = old.known().chain(new.known()).map(|(name, _)| name).collect();
    let differing = names.into_iter().filter(|name| old.read(name) != new.read(name));
    let value = |name: &str| inert::one_line(&format!("{} -> {}", old.read(name).to_json(), new.read(name).to_json()));
    let (times, changes): (Vec<&str>, Vec<&str>) = differing.partition(|name| is_time(name));
    if !changes.is_empty() {
        page.gap();
        page.paragraph(0, "signals", Tone::Strong);
    }
    for name in changes {
        page.entry(Label { indent: 2, word: name, column: 26, tone: Tone::Quiet }, &value(name), Tone::Plain);
    }
    if !times.is_empty() {
        let told: Vec<String> = times.into_iter().map(|name| format!("{name} {}", value(name))).collect();
        page.gap();
        page.paragraph(0, &format!("times, which differ from recording to recording: {}", told.join(", ")), Tone::Quiet);
    }
}

/// Whether a signal is a duration: never a change by itself.
fn is_time(name: &str) -> bool {
    signal::definition(name).is_some_and(|definition| definition.unit == "s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Signals;

    fn snapshot(signals: &[(&'static str, f64)]) -> Snapshot {
        let mut set = Signals::new();
        signals.iter().for_each(|(name, value)| set.set_number(*name, Some(*value)));
        Snapshot { text: "the same\n".to_string(), signals: set, prompt: None }
    }

    fn shown(accepted: &[(&'static str, f64)], candidate: &[(&'static str, f64)]) -> String {
        let item = Item {
            name: "a@bot".to_string(),
            title: "A title".to_string(),
            accepted: Some(snapshot(accepted)),
            candidate: snapshot(candidate),
        };
        let mut bytes = Vec::new();
        write(&item, (1, 1), Options::default(), &mut bytes).expect("written to memory");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn times_that_differ_are_one_quiet_line_and_no_change() {
        let text = shown(
            &[("latency.model", 0.4), ("latency.total", 0.5), ("tokens.input", 9.0)],
            &[("latency.model", 0.6), ("latency.total", 0.5), ("tokens.input", 12.0)],
        );
        insta::assert_snapshot!(text, @"
        a@bot (1 of 1)
        A title

        signals
          tokens.input              9 -> 12

        times, which differ from recording to recording: latency.model 0.4 -> 0.6
        ");
    }

    #[test]
    fn where_only_times_differ_no_signal_changed() {
        let text = shown(&[("latency.gap", 0.01)], &[("latency.gap", 0.02), ("retries.wasted", 0.0)]);
        insta::assert_snapshot!(text, @"
        a@bot (1 of 1)
        A title

        times, which differ from recording to recording: latency.gap 0.01 -> 0.02,
        retries.wasted null -> 0
        ");
    }
}
