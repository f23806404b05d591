//! Retrieval: how far the passages of two requests overlap, and whether there were any.

use super::asked::Call;
use super::{Ledger, Side, prompt};
use crate::field::State;
use crate::request::Request;
use crate::signal::Datum;
use crate::trace::Document;
use std::collections::BTreeSet;

/// How much rank-biased overlap looks beyond the top: the usual persistence.
const PERSISTENCE: f64 = 0.9;

/// The passages of a request: those that telemetry tells, else those that are seen in the first call's prompt.
pub(super) fn documents(request: &Request, calls: Option<&[Call]>) -> Option<Vec<Document>> {
    request.documents.clone().or_else(|| {
        let call = calls?.first()?;
        let user = call.turns.iter().rfind(|turn| turn.role == "user").map(|turn| turn.text.as_str()).unwrap_or_default();
        let texts = [call.system.as_str(), user];
        let seen: Vec<Document> = texts.iter().flat_map(|text| prompt::take_apart(text, &[], None).passages).collect();
        // A prompt without passages says nothing of a search, unless the telemetry says that there was one.
        let searched = request.trace.as_ref().is_some_and(|trace| !trace.retrievals.is_empty());
        (!seen.is_empty() || (searched && request.wire.is_some())).then_some(seen)
    })
}

pub(super) fn measure(base: &Side<'_>, now: &Side<'_>, same_question: Option<bool>, ledger: &mut Ledger) {
    let found = |side: &Side<'_>| side.documents.as_ref().map(Vec::len);
    let emptied = match (found(base), found(now)) {
        // Another question may rightly find nothing.
        _ if same_question != Some(true) => None,
        (Some(0), Some(_)) => Some(false),
        (Some(_), Some(after)) => Some(after == 0),
        // What the baseline's prompt shows and this one's does not is gone, search span or none.
        (Some(1..), None) if now.calls.is_some() => Some(true),
        _ => None,
    };
    ledger.flag("retrieval.emptied", emptied);
    let failed = |side: &Side<'_>| side.flag("retrieval.error");
    ledger.flag("retrieval.failed", failed(now).map(|after| after && failed(base) != Some(true)));
    index(base, now, ledger);
    let Some((before, after)) = base.documents.as_ref().zip(now.documents.as_ref()) else { return };
    ledger.number("retrieval.duplicates", Some(duplicates(&ids(after))));
    ledger.number("retrieval.score", top(before).zip(top(after)).filter(|(base, _)| *base > 0.0).map(|(base, now)| now / base));
    // Other questions find other passages: overlap says something of the same question only.
    if same_question == Some(true) && !before.is_empty() {
        let (before, after) = (ids(before), ids(after));
        ledger.number("retrieval.overlap", jaccard(&before, &after));
        ledger.number("retrieval.kept", kept(&before, &after));
        ledger.number("retrieval.rbo", rbo(&before, &after));
        ledger.number("retrieval.fill", Some(after.len() as f64 / before.len() as f64));
    }
}

fn index(base: &Side<'_>, now: &Side<'_>, ledger: &mut Ledger) {
    let version = |side: &Side<'_>| side.request.fields.get("index.version").and_then(State::value).cloned();
    let Some((before, after)) = version(base).zip(version(now)) else { return };
    ledger.flag("index", Some(before != after));
    if before != after {
        ledger.shift("index.version", Datum::from_json(&before), Datum::from_json(&after));
    }
}

fn ids(documents: &[Document]) -> Vec<&str> {
    documents
        .iter()
        .map(|document| if document.id.is_empty() { document.text.as_deref().unwrap_or_default() } else { &document.id })
        .collect()
}

fn top(documents: &[Document]) -> Option<f64> {
    documents.iter().filter_map(|document| document.score).max_by(f64::total_cmp)
}

/// `|A ∩ B| / |A ∪ B|`; none for two empty sets.
fn jaccard(one: &[&str], other: &[&str]) -> Option<f64> {
    let (one, other): (BTreeSet<&str>, BTreeSet<&str>) = (one.iter().copied().collect(), other.iter().copied().collect());
    let union = one.union(&other).count();
    (union > 0).then(|| one.intersection(&other).count() as f64 / union as f64)
}

/// The share of the first list's passages that are in the second: `|A ∩ B| / |A|`.
fn kept(one: &[&str], other: &[&str]) -> Option<f64> {
    let one: BTreeSet<&str> = one.iter().copied().collect();
    (!one.is_empty()).then(|| one.iter().filter(|id| other.contains(id)).count() as f64 / one.len() as f64)
}

/// Extrapolated rank-biased overlap of two lists cut to the same length k:
/// `(1-p) Σ_{d=1..k} p^(d-1) |A_d ∩ B_d| / d + p^k |A ∩ B| / k`.
fn rbo(one: &[&str], other: &[&str]) -> Option<f64> {
    let depth = one.len().min(other.len());
    if depth == 0 {
        return None;
    }
    let common = |d: usize| {
        let other: BTreeSet<&str> = other[..d].iter().copied().collect();
        one[..d].iter().copied().collect::<BTreeSet<&str>>().intersection(&other).count() as f64
    };
    let sum: f64 = (1..=depth).map(|d| PERSISTENCE.powi(d as i32 - 1) * common(d) / d as f64).sum();
    Some((1.0 - PERSISTENCE) * sum + PERSISTENCE.powi(depth as i32) * common(depth) / depth as f64)
}

/// The share of passages that repeat another one.
fn duplicates(ids: &[&str]) -> f64 {
    let distinct: BTreeSet<&str> = ids.iter().copied().collect();
    if ids.is_empty() { 0.0 } else { 1.0 - distinct.len() as f64 / ids.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rounded(number: Option<f64>) -> f64 {
        (number.unwrap() * 100.0).round() / 100.0
    }

    #[test]
    fn the_worked_example_overlaps_little() {
        let (one, other) = (["d1", "d2", "d3", "d4", "d5"], ["d9", "d2", "d8", "d7", "d6"]);
        assert_eq!(rounded(jaccard(&one, &other)), 0.11);
        assert_eq!(rounded(rbo(&one, &other)), 0.22);
        assert_eq!(rounded(kept(&one, &other)), 0.2);
    }

    proptest! {
        #[test]
        fn overlaps_are_symmetric_and_between_0_and_1(one in proptest::collection::vec("[a-f]", 1..8), other in proptest::collection::vec("[a-f]", 1..8)) {
            let one: BTreeSet<String> = one.into_iter().collect();
            let other: BTreeSet<String> = other.into_iter().collect();
            let (one, other): (Vec<&str>, Vec<&str>) = (one.iter().map(String::as_str).collect(), other.iter().map(String::as_str).collect());
            for measure in [jaccard, rbo] {
                let value = measure(&one, &other).unwrap();
                prop_assert!((-1e-9..=1.0 + 1e-9).contains(&value));
                prop_assert!((value - measure(&other, &one).unwrap()).abs() < 1e-9);
                prop_assert!((measure(&one, &one).unwrap() - 1.0).abs() < 1e-9);
            }
        }
    }
}
