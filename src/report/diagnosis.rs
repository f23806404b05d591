//! A diagnosis written down: where to look first, every hypothesis with its numbers, and what differs.

use super::page::{Label, Page, Tone};
use crate::diagnosis::{Diagnosis, Edit, Effect, Judgement, Level, Shift, Standing};
use crate::inert;
use crate::limit;
use crate::signal::Datum;
use std::io::{self, Write};

/// Lines of a prompt's difference that are shown.
const PROMPT_LINES: usize = 12;

/// How much of a diagnosis is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// What is refuted is only named.
    Short,
    /// Everything with its numbers.
    Whole,
}

/// Writes a diagnosis for a terminal of `width` columns.
pub fn write(diagnosis: &Diagnosis, width: usize, colour: bool, out: &mut impl Write) -> io::Result<()> {
    let mut page = Page::new(width, colour);
    section(&mut page, diagnosis, Detail::Whole);
    out.write_all(page.into_text().as_bytes())
}

/// Writes a diagnosis as JSON, for programs.
pub fn json(diagnosis: &Diagnosis, out: &mut impl Write) -> io::Result<()> {
    let text = serde_json::to_string_pretty(&serde_json::json!({"format": 1, "diagnosis": diagnosis}))?;
    out.write_all(inert::json(&text).as_bytes())?;
    out.write_all(b"\n")
}

fn label(word: &str, tone: Tone) -> Label<'_> {
    Label { indent: 4, word, column: 11, tone }
}

/// The section of a failing case.
pub(super) fn section(page: &mut Page, diagnosis: &Diagnosis, detail: Detail) {
    let class = diagnosis.class.as_deref().unwrap_or("no class");
    page.gap();
    page.paragraph(2, &format!("diagnosis: {} ({})", inert::one_line(class), diagnosis.standing.word()), Tone::Strong);
    page.entry(label("look first", tone(diagnosis.standing)), &shown(&diagnosis.look_first), Tone::Plain);
    let is_short = |standing: Standing| detail == Detail::Short && matches!(standing, Standing::Refuted | Standing::Unclear);
    for judged in diagnosis.hypotheses.iter().filter(|judged| !is_short(judged.standing)) {
        page.entry(label(judged.standing.word(), tone(judged.standing)), &hypothesis(judged), Tone::Plain);
    }
    for standing in [Standing::Unclear, Standing::Refuted].into_iter().filter(|standing| is_short(*standing)) {
        let named: Vec<&str> = diagnosis.of(standing).map(|judged| judged.hypothesis.as_str()).collect();
        if !named.is_empty() {
            page.entry(label(standing.word(), tone(standing)), &shown(&named.join(", ")), Tone::Plain);
        }
    }
    swaps(page, diagnosis);
    if !diagnosis.shares.is_empty() {
        let mut shares: Vec<(&String, &f64)> = diagnosis.shares.iter().collect();
        shares.sort_by(|one, other| other.1.total_cmp(one.1));
        let told: Vec<String> = shares.into_iter().map(|(stage, share)| format!("{stage} {}", hundredths(*share))).collect();
        page.entry(label("time", Tone::Quiet), &shown(&format!("share of the change: {}", told.join(" · "))), Tone::Plain);
    }
    for alarm in &diagnosis.signals {
        let tone = if alarm.level == Level::Page { Tone::Bad } else { Tone::Quiet };
        page.entry(label(alarm.level.word(), tone), &difference(&alarm.shift), Tone::Plain);
    }
    // A failing test shows the answer already.
    let changed = diagnosis.changed.iter().filter(|shift| detail == Detail::Whole || shift.name != "answer");
    changed.for_each(|shift| page.entry(label("changed", Tone::Quiet), &difference(shift), Tone::Plain));
    prompt(page, diagnosis);
}

/// What was restored, what that did, and the smallest set of the prompt's hunks that does it.
fn swaps(page: &mut Page, diagnosis: &Diagnosis) {
    let mut untried: Vec<(&str, Vec<&str>)> = Vec::new();
    for swap in &diagnosis.swaps {
        if swap.effect == Effect::Untried {
            let why = swap.why.as_deref().unwrap_or_default();
            match untried.iter_mut().find(|(known, _)| *known == why) {
                Some((_, factors)) => factors.push(swap.factor.restored()),
                None => untried.push((why, vec![swap.factor.restored()])),
            }
            continue;
        }
        let tone = if swap.effect == Effect::Flipped { Tone::Bad } else { Tone::Quiet };
        page.entry(label(swap.effect.words(), tone), &shown(&swap.sentence()), Tone::Plain);
        for edit in swap.hunks.iter().flat_map(|hunk| &hunk.edits) {
            page.entry(label("hunk", tone), &shown(&edit.marked()), Tone::Plain);
        }
    }
    for (why, factors) in untried {
        page.entry(label(Effect::Untried.words(), Tone::Quiet), &shown(&format!("{}: {why}", factors.join(", "))), Tone::Plain);
    }
}

fn prompt(page: &mut Page, diagnosis: &Diagnosis) {
    let lines: Vec<String> = diagnosis.prompt.iter().flat_map(|hunk| &hunk.edits).map(Edit::marked).collect();
    for line in lines.iter().take(PROMPT_LINES) {
        page.entry(label("prompt", Tone::Quiet), &shown(line), Tone::Plain);
    }
    if lines.len() > PROMPT_LINES {
        page.entry(label("prompt", Tone::Quiet), &format!("… {} more lines", lines.len() - PROMPT_LINES), Tone::Plain);
    }
}

fn tone(standing: Standing) -> Tone {
    match standing {
        Standing::Confirmed | Standing::Supported => Tone::Bad,
        Standing::Refuted => Tone::Quiet,
        Standing::Unclear | Standing::Blind => Tone::Doubtful,
    }
}

/// A hypothesis with its share, its numbers, and why it cannot be told.
pub(super) fn hypothesis(judged: &Judgement) -> String {
    let mut parts = vec![judged.hypothesis.clone()];
    parts.extend(judged.share.map(|share| format!("{} of the change", hundredths(share))));
    if judged.standing == Standing::Blind {
        parts.extend(judged.add.iter().map(|missing| format!("nothing tells {}: add {}", missing.field, missing.add)));
    } else {
        let known = judged.values.iter().filter(|(_, datum)| !datum.is_unknown());
        parts.extend(known.map(|(name, datum)| format!("{name} = {}", value(datum))));
        parts.extend(judged.why.clone());
    }
    shown(&parts.join(" · "))
}

/// A share with two digits, and no sign before zero.
fn hundredths(share: f64) -> String {
    format!("{:.2}", (share * 100.0).round() / 100.0 + 0.0)
}

fn difference(shift: &Shift) -> String {
    shown(&format!("{}: {} → {}", shift.name, value(&shift.base), value(&shift.now)))
}

fn value(datum: &Datum) -> String {
    match datum {
        Datum::Unknown => "unknown".to_string(),
        Datum::Number(number) => Datum::Number((number * 1e3).round() / 1e3).to_json().to_string(),
        other => other.to_json().to_string(),
    }
}

fn shown(text: &str) -> String {
    inert::one_line(&inert::clip(text, limit::SHOWN_BYTES))
}

/// What JUnit has room for: the standing of every hypothesis, and where to look first.
pub(super) fn short(diagnosis: &Diagnosis) -> String {
    let judged = diagnosis.hypotheses.iter().map(|judged| format!("{} {}", judged.hypothesis, judged.standing.word()));
    let class = diagnosis.class.as_deref().unwrap_or("no class");
    format!("\ndiagnosis: {class}\n  look first: {}\n  {}\n", diagnosis.look_first, judged.collect::<Vec<_>>().join(", "))
}

/// Diagnoses for the tests of every report.
#[cfg(test)]
pub(super) mod sample {
    use super::*;
    use crate::diagnosis::{Alarm, Factor, Hunk, Missing, Swap};
    use std::collections::BTreeMap;

    /// One text wherever recorded text can be.
    pub(in crate::report) fn hostile(text: &str) -> Diagnosis {
        let text = || text.to_string();
        let shift = Shift { name: text(), base: Datum::Text(text()), now: Datum::Unknown };
        Diagnosis {
            class: Some(text()),
            standing: Standing::Supported,
            look_first: text(),
            hypotheses: vec![Judgement {
                hypothesis: text(),
                standing: Standing::Blind,
                values: BTreeMap::from([(text(), Datum::Text(text()))]),
                share: Some(0.5),
                why: Some(text()),
                add: vec![Missing { field: text(), add: text() }],
                next: text(),
            }],
            shares: BTreeMap::from([(text(), 1.0)]),
            signals: vec![Alarm { shift: shift.clone(), level: Level::Warn }],
            changed: vec![shift],
            prompt: vec![Hunk { edits: vec![Edit::Removed(text()), Edit::Added(text())] }],
            swaps: vec![Swap {
                factor: Factor::Prompt,
                effect: Effect::Flipped,
                flipped: vec![text()],
                hunks: vec![Hunk { edits: vec![Edit::Added(text())] }],
                of_hunks: 2,
                why: Some(text()),
            }],
        }
    }
}
