//! One pending snapshot as a person reviews it: prompt, behaviour and signals beside what was accepted.

use super::page::{Label, Page, Tone};
use super::terminal::Options;
use crate::inert;
use crate::limit;
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

/// The signals that differ, side by side.
fn signals(page: &mut Page, item: &Item) {
    let Some(accepted) = &item.accepted else { return };
    let (old, new) = (&accepted.signals, &item.candidate.signals);
    let names: BTreeSet<&str> = old.known().chain(new.known()).map(|(name, _)| name).collect();
    let differing: Vec<&str> = names.into_iter().filter(|name| old.read(name) != new.read(name)).collect();
    if differing.is_empty() {
        return;
    }
    page.gap();
    page.paragraph(0, "signals", Tone::Strong);
    for name in differing {
        let value = format!("{} -> {}", old.read(name).to_json(), new.read(name).to_json());
        page.entry(Label { indent: 2, word: name, column: 26, tone: Tone::Quiet }, &inert::one_line(&value), Tone::Plain);
    }
}
