//! Which model call of the telemetry tells of which call on the wire.

use crate::trace::{Node, Trace};
use crate::wire::summary::{LogicalCall, Summary};

/// Clocks of one machine differ by less than this, in nanoseconds.
const SKEW: u64 = 50_000_000;

/// For every call on the wire the place of its model call: by response id, then by order where as many are left on both
/// sides, else by time.
pub(super) fn pairs(trace: &Trace, wire: &Summary) -> Vec<Option<usize>> {
    let mut pairs: Vec<Option<usize>> = wire.calls.iter().map(|call| by_response(trace, call)).collect();
    let mut free = vec![true; trace.model_calls.len()];
    pairs.iter().flatten().for_each(|told| free[*told] = false);
    let mut told: Vec<usize> = (0..free.len()).filter(|told| free[*told]).collect();
    let open: Vec<usize> = (0..pairs.len()).filter(|call| pairs[*call].is_none()).collect();
    if told.len() == open.len() {
        open.into_iter().zip(told).for_each(|(call, told)| pairs[call] = Some(told));
        return pairs;
    }
    for call in open {
        let found = told.iter().position(|told| ran_during(trace, *told, &wire.calls[call]));
        pairs[call] = found.map(|place| told.remove(place));
    }
    pairs
}

fn by_response(trace: &Trace, call: &LogicalCall) -> Option<usize> {
    let id = call.last().response_id.as_deref()?;
    trace.model_calls.iter().position(|told| trace.model_node(told).text("response.id") == Some(id))
}

fn ran_during(trace: &Trace, told: usize, call: &LogicalCall) -> bool {
    let node = trace.model_node(&trace.model_calls[told]);
    call.attempts.first().and_then(|attempt| attempt.began_ns).is_some_and(|at| runs_at(node, at))
}

/// Whether a span runs at a moment of the wire's clock.
pub(super) fn runs_at(node: &Node, at: u64) -> bool {
    node.start_ns <= at + SKEW && at <= node.end_ns + SKEW
}
