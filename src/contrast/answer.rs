//! The answer: blocked, refused, no longer grounded in what was found, or out of its format.

use super::{Ledger, Side, form};
use crate::signal::Datum;
use crate::wire::call::Attempt;
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// A refusal in plain text, at the beginning of an answer; a list of phrases, so reports call it a marker.
static REFUSAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?xi) ^ \W* (?: (?: i(?:'|’)?m | i\ am | we(?:'|’)?re )? \s* (?: very\ | really\ | so\ )? (?: sorry | afraid ) [^.!?]{0,60}? )?
            (?: i | we )?\W* (?: ca(?:n(?:'|’)?t|nnot) | can\ not | (?: am | (?:'|’)m )?\ ?(?: unable | not\ able | not\ allowed )\ to | won(?:'|’)?t | must\ decline\ to )
            \s+ (?: be\ able\ to\ )? (?: help | assist | comply | fulfil+ | answer\ that | do\ that | discuss | provide\ that | support\ (?:this|that) | continue\ with )
          | ^ \W* (?: es\ tut\ mir\ leid | leider ) [^.!?]{0,60} (?: nicht | keine )\ [^.!?]{0,20} helfen
          | ^ \W* (?: je\ suis\ désolé | désolé ) [^.!?]{0,40} ne\ (?: peux | puis )\ pas\ [^.!?]{0,20} aider
          | ^ \W* lo\ siento [^.!?]{0,40} no\ puedo\ ayudar",
    )
    .expect("the pattern is tested")
});
/// A passage's id in square brackets; links in Markdown are none.
static CITATION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\[([A-Za-z0-9][A-Za-z0-9_.:/#-]*)\](?:[^(]|$)").expect("the pattern is tested"));
/// A number with its fraction; ids such as `A-1001` are none.
static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?:^|[\s(€$£])(\d+(?:[.,]\d+)*)").expect("the pattern is tested"));

pub(super) fn measure(base: &Side<'_>, now: &Side<'_>, ledger: &mut Ledger) {
    let flips = |flag: fn(&Side<'_>) -> Option<bool>| flag(now).map(|after| after && flag(base) != Some(true));
    ledger.flag("policy.flipped", flips(blocked));
    ledger.flag("refusal.flipped", flips(refused));
    let json = |side: &Side<'_>| side.flag("output.json");
    ledger.flag("answer.json_broken", json(base).zip(json(now)).map(|(base, now)| base && !now));
    let Some((before, after)) = answer(base).zip(answer(now)) else { return };
    ledger.flag("answer", Some(before.trim() != after.trim()));
    ledger.number("answer.similarity", (!before.trim().is_empty() && !after.trim().is_empty()).then(|| similarity(before, after)));
    if before.trim() != after.trim() {
        ledger.shift("answer", Datum::Text(before.to_string()), Datum::Text(after.to_string()));
    }
    let asked = now.request.input();
    let known: Vec<&str> = [before].into_iter().chain(asked.as_deref()).collect();
    ledger.number("answer.foreign", Some(form::foreign(after, &known)));
    ledger.number("answer.repetition", Some((form::repetition(after) - form::repetition(before)).max(0.0)));
    ledger.flag("answer.uncited", Some(!citations(before).is_empty() && citations(after).is_empty() && !after.trim().is_empty()));
    let strays = |side: &Side<'_>, text: &str| side.documents.as_ref().map(|found| stray(text, found));
    ledger.count("answer.stray_citations", strays(now, after).map(|now| now.saturating_sub(strays(base, before).unwrap_or(0))));
    let unsupported = |side: &Side<'_>, text: &str| context(side).map(|context| unsupported(text, &context));
    let numbers = unsupported(base, before).zip(unsupported(now, after));
    ledger.count("answer.unsupported_numbers", numbers.map(|(base, now)| now.saturating_sub(base)));
}

fn answer<'a>(side: &Side<'a>) -> Option<&'a str> {
    side.request.answer.as_deref()
}

/// Whether a guardrail or the provider's filter stopped the request; none when only an ambiguous finish reason says so.
fn blocked(side: &Side<'_>) -> Option<bool> {
    let trace = side.request.trace.as_ref();
    let has_verdict = trace.is_some_and(|trace| trace.nodes.iter().any(|node| node.findings.contains_key("policy.verdict")));
    if has_verdict {
        return side.flag("policy.blocked");
    }
    if let Some(wire) = &side.request.wire {
        // A refusal that cuts off an answer that had begun is a classifier's, not the model's.
        let cut_off =
            |attempt: &Attempt| attempt.finish.as_deref() == Some("refusal") && attempt.text.as_ref().is_some_and(|text| !text.is_empty());
        return Some(wire.calls.iter().any(|call| call.last().blocked() || cut_off(call.last())));
    }
    let last = trace?.model_calls.last()?;
    let is_captured = last.output.is_some() || !last.input.is_empty();
    let text = is_captured.then(|| last.output.as_ref().map_or("", |output| output.text.trim()));
    match trace?.model_node(last).text("finish_reason") {
        // Some SDKs write a refusal as a filter's stop: only an answer that had begun tells the two apart.
        Some("content_filter") => text.is_none_or(|text| !text.is_empty() && !REFUSAL.is_match(text)).then_some(true),
        Some("refusal") => text.map(|text| !text.is_empty()),
        _ => side.flag("policy.blocked"),
    }
}

/// A field says so, or the answer opens like a refusal.
fn refused(side: &Side<'_>) -> Option<bool> {
    if side.flag("output.refused") == Some(true) {
        return Some(true);
    }
    match answer(side) {
        Some(text) if !text.trim().is_empty() => Some(REFUSAL.is_match(text)),
        _ => side.flag("output.refused"),
    }
}

fn citations(text: &str) -> BTreeSet<&str> {
    CITATION.captures_iter(text).filter_map(|found| found.get(1)).map(|id| id.as_str()).collect()
}

fn stray(text: &str, found: &[crate::trace::Document]) -> usize {
    citations(text).into_iter().filter(|id| !found.iter().any(|document| document.id == **id)).count()
}

/// The words that two texts share, of all that either has.
fn similarity(one: &str, other: &str) -> f64 {
    let words = |text: &str| text.split_whitespace().map(str::to_lowercase).collect::<BTreeSet<_>>();
    let (one, other) = (words(one), words(other));
    let union = one.union(&other).count();
    if union == 0 { 1.0 } else { one.intersection(&other).count() as f64 / union as f64 }
}

/// Everything that the model was given; none when nothing says.
fn context(side: &Side<'_>) -> Option<String> {
    let calls = side.calls.as_ref()?;
    let turns = calls.iter().flat_map(|call| call.turns.iter().map(|turn| turn.text.as_str()).chain([call.system.as_str()]));
    Some(turns.collect::<Vec<_>>().join("\n"))
}

/// Numbers of an answer that stand nowhere in what the model was given.
fn unsupported(text: &str, context: &str) -> usize {
    let value = |written: &str| written.replace(',', "").parse::<f64>().ok();
    static ANY: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\d+(?:[.,]\d+)*").expect("the pattern is tested"));
    let given: Vec<f64> = ANY.find_iter(context).filter_map(|found| value(found.as_str())).collect();
    let told = NUMBER.captures_iter(text).filter_map(|found| value(&found[1]));
    told.filter(|number| !given.iter().any(|other| (other - number).abs() < 1e-9)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_in_plain_text_is_told_from_a_failure() {
        for refusal in [
            "I'm sorry, but I can't assist with that.",
            "Sorry, I cannot help with that.",
            "I am unable to help with this request.",
            "I can’t help with that request.",
            "I'm afraid I can't do that, Dave.",
            "Es tut mir leid, dabei kann ich nicht helfen.",
        ] {
            assert!(REFUSAL.is_match(refusal), "{refusal}");
        }
        for answer in [
            "I am sorry, I cannot reach our order system right now. Please try again later.",
            "I could not look that order up.",
            "You can't return it after 30 days.",
            "Sorry, I could not finish that.",
            "I do not know, but I can open a ticket.",
        ] {
            assert!(!REFUSAL.is_match(answer), "{answer}");
        }
    }

    #[test]
    fn numbers_that_stand_nowhere_are_counted() {
        let context = "[kb-1] Within 30 days. Total 79.0 EUR, order A-1001";
        assert_eq!(unsupported("Your 79 € are back in 30 days, order A-1001.", context), 0);
        assert_eq!(unsupported("I refunded 790.00 EUR in 5 days.", context), 2);
    }

    #[test]
    fn citations_are_ids_in_brackets_and_links_are_none() {
        assert_eq!(citations("See [kb-1]. And [this](https://x.test) [kb-2]").into_iter().collect::<Vec<_>>(), ["kb-1", "kb-2"]);
    }
}
