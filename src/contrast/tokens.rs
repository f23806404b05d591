//! Tokens: which part of the prompt grew, what was cut off on the way, and whether the cache still holds.

use super::asked::Call;
use super::{Ledger, Side, prompt};
use crate::trace::Message;

/// A cache break: the share read from it drops by more than this, and by more than this many tokens.
const BREAK_SHARE: f64 = 0.05;
const BREAK_TOKENS: u64 = 10_000;
/// An input that grew by less than this factor has no growth to share out.
const GREW: f64 = 1.1;

/// Characters of a request's prompts, by part.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Parts {
    system: f64,
    tools: f64,
    history: f64,
    retrieved: f64,
    user: f64,
    tool_results: f64,
}

impl Parts {
    fn each(&self) -> [(&'static str, f64); 6] {
        [
            ("growth.system", self.system),
            ("growth.tools", self.tools),
            ("growth.history", self.history),
            ("growth.retrieved", self.retrieved),
            ("growth.user", self.user),
            ("growth.tool_results", self.tool_results),
        ]
    }

    /// Whether both show a system prompt and tools, or neither: telemetry that leaves them out has too few characters.
    fn is_told_like(&self, other: &Self) -> bool {
        (self.system > 0.0) == (other.system > 0.0) && (self.tools > 0.0) == (other.tools > 0.0)
    }

    fn sum(&self) -> f64 {
        self.each().iter().map(|(_, characters)| characters).sum()
    }
}

pub(super) fn measure(base: &Side<'_>, now: &Side<'_>, ledger: &mut Ledger) {
    if let Some((before, after)) = parts(base).zip(parts(now)) {
        // Of the request whose characters are counted, and not the medians of several.
        let input = |side: &Side<'_>| side.request.signals.read("tokens.input").number();
        let tokens = |side: &Side<'_>, parts: &Parts| input(side).unwrap_or(parts.sum() / 4.0);
        let (tokens_base, tokens_now) = (tokens(base, &before), tokens(now, &after));
        if tokens_now >= GREW * tokens_base {
            for ((name, chars_base), (_, chars_now)) in before.each().into_iter().zip(after.each()) {
                let (base, now) = (estimate(tokens_base, chars_base, before.sum()), estimate(tokens_now, chars_now, after.sum()));
                ledger.number(name, Some((now - base) / (tokens_now - tokens_base)));
            }
        }
        let per_character = |side: &Side<'_>, parts: &Parts| Some(input(side)? / parts.sum()).filter(|_| parts.sum() > 0.0);
        let ratio = per_character(base, &before).zip(per_character(now, &after)).map(|(base, now)| now / base);
        ledger.number("truncation", ratio.filter(|_| before.is_told_like(&after)));
    }
    ledger.count("cache.broken", cache_breaks(now).zip(cache_breaks(base)).map(|(now, base)| now.saturating_sub(base)));
    ledger.number("prefix", prefix(base).zip(prefix(now)).map(|(base, now)| now / base));
}

/// A part's tokens, by its share of the characters: `t_in * chars_p / sum chars`.
fn estimate(tokens: f64, characters: f64, all: f64) -> f64 {
    if all > 0.0 { tokens * characters / all } else { 0.0 }
}

fn parts(side: &Side<'_>) -> Option<Parts> {
    let mut parts = Parts::default();
    for call in side.calls.as_ref()? {
        add(call, side, &mut parts);
    }
    Some(parts)
}

fn add(call: &Call, side: &Side<'_>, parts: &mut Parts) {
    let retrieved = |text: &str| {
        let rendered = prompt::take_apart(text, side.documents.as_deref().unwrap_or_default(), None);
        text.len().saturating_sub(rendered.template.len()) as f64
    };
    let in_system = retrieved(&call.system);
    parts.retrieved += in_system;
    parts.system += call.system.len() as f64 - in_system;
    let tools = call.tools.iter().flatten().map(|tool| tool.to_json().to_string().len()).sum::<usize>();
    parts.tools += tools as f64;
    let last_user = call.turns.iter().rposition(|turn| turn.role == "user");
    for (index, turn) in call.turns.iter().enumerate() {
        if turn.role == "tool" {
            parts.tool_results += turn.text.len() as f64;
        } else if Some(index) == last_user {
            let in_turn = retrieved(&turn.text);
            parts.retrieved += in_turn;
            parts.user += turn.text.len() as f64 - in_turn;
        } else {
            parts.history += length(turn);
        }
    }
}

fn length(turn: &Message) -> f64 {
    let asked = turn.tool_requests.iter().map(|request| request.name.len() + request.arguments.len()).sum::<usize>();
    (turn.text.len() + asked) as f64
}

/// Calls that read much less from the cache than the call before.
fn cache_breaks(side: &Side<'_>) -> Option<usize> {
    let wire = side.request.wire.as_ref()?;
    let read: Option<Vec<u64>> = wire.calls.iter().map(|call| call.last().usage.cached).collect();
    let read = read.filter(|read| !read.is_empty())?;
    Some(read.windows(2).filter(|pair| breaks(pair[0], pair[1])).count())
}

fn breaks(before: u64, after: u64) -> bool {
    let dropped = before.saturating_sub(after);
    dropped > BREAK_TOKENS && dropped as f64 > BREAK_SHARE * before as f64
}

/// The smallest share of a prompt that the next call repeats from its beginning; none with fewer than two calls.
fn prefix(side: &Side<'_>) -> Option<f64> {
    let whole = |call: &Call| call.turns.iter().fold(call.system.clone(), |text, turn| text + "\n" + &turn.text);
    let texts: Vec<String> = side.calls.as_ref()?.iter().map(whole).filter(|text| !text.is_empty()).collect();
    texts.windows(2).map(|pair| common_prefix(&pair[0], &pair[1])).min_by(f64::total_cmp).filter(|share| *share > 0.0)
}

/// The longest common prefix as a share of the first text.
fn common_prefix(one: &str, other: &str) -> f64 {
    let common = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    common as f64 / one.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_worked_example_finds_the_part_that_grew() {
        // incidents: input 7,660 -> 67,360; history and tool results share the growth.
        let growth = |base: f64, now: f64| (((now - base) / (67_360.0 - 7_660.0)) * 1000.0_f64).round() / 1000.0;
        assert_eq!(growth(1_000.0, 41_895.0), 0.685);
    }

    #[test]
    fn a_cache_breaks_only_when_much_is_no_longer_read() {
        assert!(breaks(40_000, 0));
        assert!(!breaks(8_000, 0) && !breaks(400_000, 385_000) && !breaks(10, 20_000));
    }

    #[test]
    fn a_prompt_that_begins_with_the_clock_repeats_nothing() {
        assert!(common_prefix("12:00 You are", "12:01 You are") < 0.5);
        assert!((common_prefix("You are", "You are kind") - 1.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn estimates_of_all_parts_sum_to_the_tokens(tokens in 1.0f64..1e6, parts in proptest::collection::vec(0.0f64..1e5, 1..7)) {
            let all: f64 = parts.iter().sum();
            prop_assume!(all > 0.0);
            let sum: f64 = parts.iter().map(|characters| estimate(tokens, *characters, all)).sum();
            prop_assert!((sum - tokens).abs() < 1e-6 * tokens);
        }
    }
}
