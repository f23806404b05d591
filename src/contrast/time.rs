//! Time: each stage's share of the change, and how fast the attempt that counts was.

use super::{Ledger, Side};
use crate::signal::Signals;

/// The stages of a request and the signals that hold their exclusive times, which sum to the total.
const STAGES: [(&str, &str); 5] = [
    ("share.model", "latency.model"),
    ("share.retries", "latency.retries"),
    ("share.retrieval", "latency.retrieval"),
    ("share.tools", "latency.tools"),
    ("share.gap", "latency.gap"),
];
/// A request that is slower by less than this factor has no change to share out.
const SLOWER: f64 = 1.1;
/// Seconds below which a time to the first token, and a time per token, is noise.
const FIRST_TOKEN_FLOOR: f64 = 0.05;
const PACE_FLOOR: f64 = 0.005;

pub(super) fn measure(base: &Side<'_>, now: &Side<'_>, ledger: &mut Ledger) {
    let totals = base.number("latency.total").zip(now.number("latency.total"));
    let is_slower = |(before, after): (f64, f64)| after > before && after >= SLOWER * before;
    ledger.flag("slower", totals.map(is_slower));
    if let Some((before, after)) = totals.filter(|totals| is_slower(*totals)) {
        for (name, signal) in STAGES {
            let stage = base.number(signal).zip(now.number(signal));
            ledger.number(name, stage.and_then(|(base, now)| share(before, after, base, now)));
        }
    }
    ledger.number("first_token", ratio(first_token(base), first_token(now), FIRST_TOKEN_FLOOR));
    ledger.number("pace", ratio(pace(base), pace(now), PACE_FLOOR));
}

/// Takes the times of a machine in whole seconds: waiting stays, and noise goes.
pub(super) fn coarsen(signals: &mut Signals) {
    let whole = |signal: &str, signals: &Signals| signals.read(signal).number().map(f64::floor);
    let times = STAGES.iter().map(|(_, signal)| *signal).chain(["retries.wasted"]);
    for signal in times {
        let seconds = whole(signal, signals);
        signals.set_number(signal, seconds);
    }
    let total: Option<f64> = STAGES.iter().map(|(_, signal)| signals.read(signal).number()).sum();
    let total = total.or_else(|| whole("latency.total", signals));
    signals.set_number("latency.total", total);
}

/// A stage's share of the change: `(C_now - C_base) / (T_now - T_base)`.
pub(super) fn share(total_base: f64, total_now: f64, base: f64, now: f64) -> Option<f64> {
    let change = total_now - total_base;
    (change > 0.0).then(|| (now - base) / change)
}

fn ratio(base: Option<f64>, now: Option<f64>, floor: f64) -> Option<f64> {
    base.zip(now).map(|(base, now)| now.max(floor) / base.max(floor))
}

/// Seconds to the first token of the call that waited longest for it: of the attempts that count.
fn first_token(side: &Side<'_>) -> Option<f64> {
    let of_wire = side.request.wire.iter().flat_map(|wire| &wire.calls).filter_map(|call| call.last().first_token);
    let of_wire = of_wire.max_by(f64::total_cmp);
    of_wire.or_else(|| {
        let trace = side.request.trace.as_ref()?;
        let told = trace.model_calls.iter().filter_map(|call| trace.model_node(call).number("latency.first_token"));
        told.max_by(f64::total_cmp)
    })
}

/// Seconds for each token after the first, of the slowest call: `(end - first token) / max(1, tokens - 1)`.
fn pace(side: &Side<'_>) -> Option<f64> {
    let of_wire = side.request.wire.iter().flat_map(|wire| &wire.calls).filter_map(|call| {
        let last = call.last();
        Some(per_token(last.total? - last.first_token?, last.usage.output? as f64))
    });
    let of_wire = of_wire.max_by(f64::total_cmp);
    of_wire.or_else(|| {
        let trace = side.request.trace.as_ref()?;
        let told = trace.model_calls.iter().map(|call| trace.model_node(call)).filter_map(|node| {
            Some(per_token(node.duration()? - node.number("latency.first_token")?, node.number("usage.output_tokens")?))
        });
        told.max_by(f64::total_cmp)
    })
}

fn per_token(seconds: f64, tokens: f64) -> f64 {
    seconds.max(0.0) / (tokens - 1.0).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_of_stages_that_sum_to_the_total_sum_to_one(stages in proptest::collection::vec((0.0f64..50.0, 0.0f64..50.0), 1..8)) {
            let total = |now: bool| stages.iter().map(|(base, after)| if now { *after } else { *base }).sum::<f64>();
            prop_assume!(total(true) - total(false) > 0.01);
            let sum: f64 = stages.iter().filter_map(|(base, now)| share(total(false), total(true), *base, *now)).sum();
            prop_assert!((sum - 1.0).abs() < 1e-6, "{}", sum);
        }
    }

    #[test]
    fn whole_seconds_hold_waiting_and_no_noise() {
        let coarse = |times: [f64; 5]| {
            let mut signals = Signals::new();
            STAGES.iter().zip(times).for_each(|((_, signal), seconds)| signals.set_number(*signal, Some(seconds)));
            signals.set_number("latency.total", Some(times.iter().sum()));
            coarsen(&mut signals);
            ["latency.model", "latency.retries", "latency.gap", "latency.total"].map(|signal| signals.read(signal).number())
        };
        let waited = [0.4, 2.07, 0.1, 0.2, 0.9];
        assert_eq!(coarse(waited), [Some(0.0), Some(2.0), Some(0.0), Some(2.0)]);
        assert_eq!(coarse(waited), coarse(waited.map(|seconds| seconds + 0.05)));
    }

    #[test]
    fn the_worked_example_shares_out_the_slowdown() {
        let kappa = |base, now| (share(4.20, 21.34, base, now).unwrap() * 1000.0).round() / 1000.0;
        assert_eq!(kappa(0.0, 17.0), 0.992);
        assert_eq!(kappa(3.43, 3.55), 0.007);
        assert_eq!(kappa(3.43, 20.55), 0.999);
    }
}
