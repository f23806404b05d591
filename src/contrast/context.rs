//! Context: whether what the model needed reached it: windows, dropped and orphaned turns, fields that were lost.

use super::asked::Call;
use super::{Ledger, Side};
use crate::field::State;
use std::collections::BTreeSet;

/// Fields that an application sets itself, so that only a change of its telemetry loses them.
const OWN_FIELDS: [&str; 5] = ["request.id", "session.id", "user.id", "feature", "prompt.version"];
/// Fields that every answered call has.
const ANSWERED_FIELDS: [&str; 2] = ["usage.input_tokens", "usage.output_tokens"];
/// What providers say when a prompt does not fit.
const OVERFLOWS: [&str; 7] =
    ["context_length", "context length", "context window", "context size", "context_window", "prompt is too long", "too many tokens"];

pub(super) fn measure(base: &Side<'_>, now: &Side<'_>, same_question: Option<bool>, ledger: &mut Ledger) {
    ledger.flag("window.exceeded", exceeded(base, now).map(|after| after && exceeded(base, base) != Some(true)));
    let dropped = |side: &Side<'_>| side.calls.as_deref().map(dropped_between_calls);
    let fewer = same_question.filter(|same| *same).map_or(0, |_| turns(base).saturating_sub(turns(now)));
    ledger.count("history.dropped", dropped(base).zip(dropped(now)).map(|(base, now)| now.saturating_sub(base) + fewer));
    let orphans = |side: &Side<'_>| side.calls.as_deref().map(|calls| calls.iter().map(orphans).sum::<usize>());
    ledger.count("history.orphans", orphans(base).zip(orphans(now)).map(|(base, now)| now.saturating_sub(base)));
    ledger.count("fields.lost", lost(base, now));
}

/// Whether the prompt did not fit: the provider says so, or an answer of success holds nothing after a far longer prompt.
fn exceeded(base: &Side<'_>, now: &Side<'_>) -> Option<bool> {
    if let Some(wire) = &now.request.wire {
        let attempts = wire.calls.iter().flat_map(|call| &call.attempts);
        let told = attempts.clone().any(|attempt| {
            let text = attempt.error.as_ref().map(|error| format!("{} {}", error.kind, error.message).to_lowercase()).unwrap_or_default();
            OVERFLOWS.iter().any(|words| text.contains(words)) || attempt.finish.as_deref() == Some("model_context_window_exceeded")
        });
        let is_empty = wire.last().is_some_and(|last| {
            last.status == Some(200) && last.finish.is_none() && last.text.is_none() && last.tool_calls.is_empty() && last.error.is_none()
        });
        let size = |side: &Side<'_>| side.calls.iter().flatten().map(|call| call.system.len()).max().unwrap_or(0);
        return Some(told || (is_empty && size(now) >= 4 * size(base).max(1)));
    }
    let trace = now.request.trace.as_ref()?;
    let errors: Vec<String> = trace.nodes.iter().filter_map(|node| node.error.as_deref()).map(str::to_lowercase).collect();
    if errors.is_empty() {
        return Some(false);
    }
    // The error's type rarely tells why a request was refused.
    errors.iter().any(|error| OVERFLOWS.iter().any(|words| error.contains(words))).then_some(true)
}

fn turns(side: &Side<'_>) -> usize {
    side.calls.as_ref().and_then(|calls| calls.first()).map_or(0, |call| call.turns.len())
}

/// Turns that a call had and the next call of the same conversation no longer has.
fn dropped_between_calls(calls: &[Call]) -> usize {
    let text = |call: &Call| call.turns.iter().map(|turn| (turn.role.clone(), turn.text.clone())).collect::<Vec<_>>();
    let pairs = calls.windows(2).filter(|pair| pair[0].system == pair[1].system && pair.iter().all(|call| call.is_whole));
    pairs
        .filter(|pair| text(&pair[0]).first() == text(&pair[1]).first() || pair[0].turns.len() > pair[1].turns.len())
        .map(|pair| text(&pair[0]).iter().filter(|turn| !text(&pair[1]).contains(turn)).count())
        .sum()
}

/// Tool results without their call, and calls without their result; none are told where turns are missing.
fn orphans(call: &Call) -> usize {
    if !call.is_whole {
        return 0;
    }
    let asked: BTreeSet<&str> =
        call.turns.iter().flat_map(|turn| &turn.tool_requests).map(|request| request.id.as_str()).filter(|id| !id.is_empty()).collect();
    let answered: BTreeSet<&str> = call.turns.iter().filter_map(|turn| turn.answers.as_deref()).collect();
    asked.symmetric_difference(&answered).count()
}

/// Fields that the baseline carries and this request does not; none without telemetry on both sides.
fn lost(base: &Side<'_>, now: &Side<'_>) -> Option<usize> {
    if base.request.trace.is_none() || now.request.trace.is_none() {
        return None;
    }
    let present = |side: &Side<'_>, field: &str| side.request.fields.get(field).is_some_and(State::is_present);
    let succeeded = now.signals.read("outcome").text() == Some("success");
    let wanted = OWN_FIELDS.iter().chain(ANSWERED_FIELDS.iter().filter(|_| succeeded));
    Some(wanted.filter(|field| present(base, field) && !present(now, field)).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Message, ToolRequest};

    fn turn(role: &str, text: &str) -> Message {
        Message { role: role.into(), text: text.into(), ..Message::default() }
    }

    #[test]
    fn a_conversation_that_only_grows_drops_nothing() {
        let first = Call { turns: vec![turn("user", "a")], is_whole: true, ..Call::default() };
        let second = Call { turns: vec![turn("user", "a"), turn("assistant", "b"), turn("user", "c")], ..first.clone() };
        assert_eq!(dropped_between_calls(&[first.clone(), second.clone()]), 0);
        assert_eq!(dropped_between_calls(&[second, first]), 2);
    }

    #[test]
    fn a_tool_result_without_its_call_is_an_orphan() {
        let mut asks = turn("assistant", "");
        asks.tool_requests.push(ToolRequest { id: "1".into(), name: "look".into(), arguments: "{}".into() });
        let mut answers = turn("tool", "here");
        answers.answers = Some("1".into());
        assert_eq!(orphans(&Call { turns: vec![asks, answers.clone()], is_whole: true, ..Call::default() }), 0);
        assert_eq!(orphans(&Call { turns: vec![answers], is_whole: true, ..Call::default() }), 1);
    }
}
