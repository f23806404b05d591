//! The model and how it was called: models asked for and answering, parameters, attempts that failed, finish reasons.

use super::{Ledger, Side};
use crate::signal::Datum;
use crate::wire::End;
use crate::wire::call::Attempt;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Finish reasons in canonical words that are known to mean something.
const KNOWN_FINISHES: [&str; 8] = ["stop", "length", "tool_call", "content_filter", "refusal", "error", "pause", "interrupted"];

/// The share of the wait that was asked for from which on a next attempt is not early: clocks and rounding differ.
const PATIENT: f64 = 0.9;

pub(super) fn measure(base: &Side<'_>, now: &Side<'_>, ledger: &mut Ledger) {
    let requested = [models_requested(base), models_requested(now)];
    models("model.requested", (requested[0].clone(), requested[1].clone()), ledger);
    let responded = (models_responded(base), models_responded(now));
    if !is_repetition(&requested, &responded, (base.request.wire.is_none(), now.request.wire.is_none())) {
        models("model.responded", responded, ledger);
    }
    let fell_back = |side: &Side<'_>| fallbacks(side).map(|count| count > 0);
    ledger.flag("model.fallback", fell_back(base).zip(fell_back(now)).map(|(base, now)| now && !base));
    params(base, now, ledger);
    let beyond = |count: fn(&Side<'_>) -> Option<usize>| count(now).map(|after| after.saturating_sub(count(base).unwrap_or(0)));
    ledger.count("attempts.failed", beyond(failed));
    ledger.count("attempts.unanswered", beyond(unanswered));
    ledger.count("attempts.early", beyond(early));
    finishes(base, now, ledger);
}

/// Whether a difference of the models that answered tells nothing: telemetry that repeats the name asked for, where no answer
/// says one, tells of no change now; and in the baseline any snapshot of that name may have answered.
fn is_repetition(
    requested: &[BTreeSet<String>; 2],
    (before, after): &(BTreeSet<String>, BTreeSet<String>),
    (base_alone, now_alone): (bool, bool),
) -> bool {
    let fresh = || after.difference(before);
    let is_echo = |name: &String| requested.iter().any(|names| names.contains(name));
    let is_snapshot = |name: &String| requested[0].iter().any(|alias| name.starts_with(alias.as_str()));
    let now_repeats = now_alone && fresh().all(is_echo);
    let base_repeats = base_alone && before.is_subset(&requested[0]) && fresh().all(is_snapshot);
    fresh().next().is_some() && (now_repeats || base_repeats)
}

fn models(name: &'static str, (base, now): (BTreeSet<String>, BTreeSet<String>), ledger: &mut Ledger) {
    if base.is_empty() || now.is_empty() {
        return;
    }
    // Fewer calls may meet fewer models; one that was not there before is the change.
    let has_changed = !now.is_subset(&base);
    ledger.flag(name, Some(has_changed));
    if has_changed {
        let list = |models: BTreeSet<String>| Datum::Text(models.into_iter().collect::<Vec<_>>().join(", "));
        ledger.shift(name, list(base), list(now));
    }
}

fn told(side: &Side<'_>, field: &str) -> BTreeSet<String> {
    let Some(trace) = &side.request.trace else { return BTreeSet::new() };
    trace.model_calls.iter().filter_map(|call| trace.model_node(call).text(field)).map(str::to_string).collect()
}

fn models_requested(side: &Side<'_>) -> BTreeSet<String> {
    match &side.request.wire {
        Some(wire) => wire.calls.iter().filter_map(|call| call.last().model_requested.clone()).collect(),
        None => told(side, "model.requested"),
    }
}

fn models_responded(side: &Side<'_>) -> BTreeSet<String> {
    match &side.request.wire {
        Some(wire) => wire.calls.iter().filter_map(|call| call.last().model_responded.clone()).collect(),
        None => told(side, "model.responded"),
    }
}

/// Answers of a model that is not even a snapshot of the one asked for; none when no call says both.
fn fallbacks(side: &Side<'_>) -> Option<usize> {
    let wire = side.request.wire.as_ref()?;
    let pairs = wire.calls.iter().filter_map(|call| call.last().model_requested.as_ref().zip(call.last().model_responded.as_ref()));
    let foreign: Vec<bool> =
        pairs.map(|(asked, answered)| !answered.contains(asked.as_str()) && !asked.contains(answered.as_str())).collect();
    (!foreign.is_empty()).then(|| foreign.into_iter().filter(|foreign| *foreign).count())
}

fn params(base: &Side<'_>, now: &Side<'_>, ledger: &mut Ledger) {
    let first = |side: &Side<'_>| side.calls.as_ref().and_then(|calls| calls.first()?.params.clone());
    let Some((before, after)) = first(base).zip(first(now)) else { return };
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ: Vec<&String> = names.into_iter().filter(|name| canonical(&before, name) != canonical(&after, name)).collect();
    ledger.flag("params", Some(!differ.is_empty()));
    for name in differ {
        let datum = |map: &Map<String, Value>| map.get(name).map_or(Datum::Unknown, as_datum);
        ledger.shift(format!("params.{name}"), datum(&before), datum(&after));
    }
}

fn canonical(map: &Map<String, Value>, name: &str) -> Option<String> {
    map.get(name).map(crate::canonical::json)
}

fn as_datum(value: &Value) -> Datum {
    match value {
        Value::Object(_) | Value::Array(_) => Datum::Text(crate::canonical::json(value)),
        scalar => Datum::from_json(scalar),
    }
}

fn attempts<'a>(side: &'a Side<'_>) -> Option<Vec<&'a Attempt>> {
    side.request.wire.as_ref().map(|wire| wire.calls.iter().flat_map(|call| &call.attempts).collect())
}

/// Whether the client gave up on an attempt before anything came.
fn is_unanswered(attempt: &Attempt) -> bool {
    attempt.status.is_none() || (attempt.end == Some(End::ClientGone) && attempt.first_token.is_none())
}

/// Attempts that failed for reasons that are usually tried again: rate limits, overload, server errors, no answer.
fn failed(side: &Side<'_>) -> Option<usize> {
    if let Some(attempts) = attempts(side) {
        let again =
            |attempt: &&&Attempt| is_unanswered(attempt) || attempt.status.is_some_and(|status| matches!(status, 408 | 429 | 500..));
        return Some(attempts.iter().filter(again).count());
    }
    let told = side.number("retries.count").map(|count| count as usize);
    let words = ["ratelimit", "rate_limit", "rate limit", "429", "overloaded", "internalserver", "timeout", "timed out", "retryerror"];
    told.or_else(|| errors_with(side, &words))
}

fn unanswered(side: &Side<'_>) -> Option<usize> {
    match attempts(side) {
        Some(attempts) => Some(attempts.into_iter().filter(|attempt| is_unanswered(attempt)).count()),
        None => errors_with(side, &["timeout", "timed out", "timedout"]),
    }
}

/// Attempts that came before the wait that `Retry-After` asked for was nearly over; none when the wire tells no times of one.
fn early(side: &Side<'_>) -> Option<usize> {
    let wire = side.request.wire.as_ref()?;
    let pairs = wire.calls.iter().flat_map(|call| call.attempts.windows(2));
    let told = pairs.filter_map(|pair| Some((&pair[0], &pair[1], pair[0].retry_after.filter(|wait| *wait > 0.0)?)));
    let is_early = told.map(|(failed, next, wait)| {
        let ended = failed.began_ns? as f64 / 1e9 + failed.total?;
        Some((next.began_ns? as f64 / 1e9 - ended) / wait < PATIENT)
    });
    let is_early: Option<Vec<bool>> = is_early.collect();
    Some(is_early?.into_iter().filter(|early| *early).count())
}

/// Model calls whose error says one of some words; none when no error says any, for attempts may be hidden.
fn errors_with(side: &Side<'_>, words: &[&str]) -> Option<usize> {
    let trace = side.request.trace.as_ref()?;
    let errors = trace.model_calls.iter().filter_map(|call| trace.model_node(call).error.as_deref());
    let count = errors.map(str::to_lowercase).filter(|error| words.iter().any(|word| error.contains(word))).count();
    (count > 0).then_some(count)
}

fn finishes(base: &Side<'_>, now: &Side<'_>, ledger: &mut Ledger) {
    let (before, after) = (finish(base), finish(now));
    ledger.flag("finish", before.as_ref().zip(after.as_ref()).map(|(base, now)| base != now));
    if let Some((base, now)) = before.clone().zip(after.clone()).filter(|(base, now)| base != now) {
        ledger.shift("finish_reason", Datum::Text(base), Datum::Text(now));
    }
    let is_known = |reason: &String| KNOWN_FINISHES.contains(&reason.as_str());
    ledger.flag("finish.unknown", after.as_ref().map(|reason| !is_known(reason)));
    let at_limit = |reason: &Option<String>| reason.as_deref().map(|reason| reason == "length");
    ledger.flag("finish.at_limit", at_limit(&after).map(|now| now && at_limit(&before) != Some(true)));
    ledger.flag("stream.broken", broken(now).map(|after| after && broken(base) != Some(true)));
}

/// The last call's finish reason in canonical words.
fn finish(side: &Side<'_>) -> Option<String> {
    match &side.request.wire {
        Some(wire) => wire.last().and_then(crate::request::finish_of),
        None => {
            let trace = side.request.trace.as_ref()?;
            trace.model_calls.last().and_then(|call| trace.model_node(call).text("finish_reason")).map(str::to_string)
        }
    }
}

/// Whether an answer began and broke off: reset, closed without a finish reason, or ended by an error event.
fn broken(side: &Side<'_>) -> Option<bool> {
    if let Some(wire) = &side.request.wire {
        let broke = |attempt: &Attempt| {
            let begun = attempt.status.is_some_and(|status| status < 400) && !is_unanswered(attempt);
            begun && (attempt.finish.is_none() || matches!(attempt.end, Some(End::Close | End::Reset | End::ErrorEvent | End::ClientGone)))
        };
        return Some(wire.calls.iter().any(|call| broke(call.last())));
    }
    match finish(side)?.as_str() {
        "interrupted" => Some(true),
        // Instrumentations write `stop` for streams that broke off, and `error` for anything.
        "length" | "content_filter" | "refusal" => Some(false),
        _ => None,
    }
}
