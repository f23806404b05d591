//! What the wire knows of one request: logical calls, retries, tokens, the answer and how it ended.

use super::Exchange;
use super::call::Attempt;
use crate::canonical;
use std::collections::HashMap;

/// One logical call: an attempt that counts, after those that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct LogicalCall {
    /// The attempts, in order; the last one is the call's answer.
    pub attempts: Vec<Attempt>,
}

impl LogicalCall {
    /// The attempt that counts.
    pub fn last(&self) -> &Attempt {
        self.attempts.last().expect("a call has at least one attempt")
    }
}

/// What the wire knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// Logical calls, in order of their first attempt.
    pub calls: Vec<LogicalCall>,
}

impl Summary {
    /// Groups attempts to calls: a retry asks the same again after a failure or a cut-off answer.
    pub fn of<'a>(exchanges: impl IntoIterator<Item = &'a Exchange>) -> Self {
        Self::of_attempts(exchanges.into_iter().filter_map(|exchange| Some((exchange, Attempt::of(exchange)?))))
    }

    /// The same of exchanges that were read already.
    pub fn of_attempts<'a>(attempts: impl IntoIterator<Item = (&'a Exchange, Attempt)>) -> Self {
        let mut calls: Vec<LogicalCall> = Vec::new();
        let mut open: HashMap<String, Vec<usize>> = HashMap::new();
        for (exchange, attempt) in attempts {
            let waiting = open.entry(canonical::json(&exchange.request.body)).or_default();
            let again = attempt.failed() || attempt.finish.is_none();
            let place = place(&calls, waiting, &attempt);
            let index = place.map_or(calls.len(), |place| waiting.remove(place));
            match place {
                Some(_) => calls[index].attempts.push(attempt),
                None => calls.push(LogicalCall { attempts: vec![attempt] }),
            }
            if again {
                waiting.push(index);
            }
        }
        Self { calls }
    }

    /// Attempts less logical calls.
    pub fn retries(&self) -> u64 {
        self.attempts() - self.calls.len() as u64
    }

    /// All attempts.
    pub fn attempts(&self) -> u64 {
        self.calls.iter().map(|call| call.attempts.len() as u64).sum()
    }

    /// Seconds spent on attempts that did not count; none when a duration is unknown.
    pub fn wasted(&self) -> Option<f64> {
        let failed = self.calls.iter().flat_map(|call| call.attempts.iter().rev().skip(1));
        failed.map(|attempt| attempt.total).sum()
    }

    /// Seconds to the first token of the first call that was streamed: of the attempt that counts.
    pub fn first_token(&self) -> Option<f64> {
        self.calls.iter().find_map(|call| call.last().first_token)
    }

    /// A count summed over calls that were answered; none when one of them says nothing, or none was answered.
    pub fn tokens(&self, count: impl Fn(&super::call::Usage) -> Option<u64>) -> Option<f64> {
        let answered: Vec<&Attempt> =
            self.calls.iter().map(LogicalCall::last).filter(|attempt| attempt.status.is_some_and(|status| status < 400)).collect();
        if answered.is_empty() {
            return None;
        }
        answered.into_iter().map(|attempt| count(&attempt.usage).map(|count| count as f64)).sum()
    }

    /// The attempt that gave the final answer.
    pub fn last(&self) -> Option<&Attempt> {
        self.calls.last().map(LogicalCall::last)
    }
}

/// Which of the failed calls that asked the same this attempt tries again: one that was over before it began; of several
/// the one whose attempts the SDK's own count names, else the one that has waited longest.
fn place(calls: &[LogicalCall], waiting: &[usize], attempt: &Attempt) -> Option<usize> {
    let could = |place: &usize| is_over(calls[waiting[*place]].last(), attempt);
    let counted = |place: &usize| attempt.retry_header == Some(calls[waiting[*place]].attempts.len() as u64);
    let places = || (0..waiting.len()).filter(could);
    places().find(counted).or_else(|| places().next())
}

/// Whether an attempt ended before another began; yes, where no times say otherwise.
fn is_over(earlier: &Attempt, later: &Attempt) -> bool {
    let (Some(from), Some(lasted), Some(began)) = (earlier.began_ns, earlier.total, later.began_ns) else { return true };
    // Recorders round to milliseconds.
    from + (lasted.max(0.0) * 1e9) as u64 <= began + 2_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::read_line;

    fn chat(seq: u64, content: &str, status: u16, finish: Option<&str>) -> Exchange {
        let body = if status == 200 {
            serde_json::json!({"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": finish}]})
        } else {
            serde_json::json!({"error": {"message": "slow down"}})
        };
        let line = serde_json::json!({"seq": seq, "ms": 10.0, "at": format!("2026-03-14T08:00:{:02}Z", seq), "request": {"method": "POST", "path": "/v1/chat/completions", "body": {"messages": [{"content": content}]}}, "response": {"status": status, "body": body}});
        read_line(&line.to_string()).unwrap()
    }

    #[test]
    fn a_retry_asks_the_same_after_a_failure() {
        let exchanges =
            [chat(1, "a", 429, None), chat(2, "a", 429, None), chat(3, "a", 200, Some("stop")), chat(4, "a", 200, Some("stop"))];
        let summary = Summary::of(&exchanges);
        assert_eq!((summary.calls.len(), summary.retries()), (2, 2));
        assert_eq!(summary.wasted(), Some(0.02));
    }

    #[test]
    fn calls_that_run_at_once_are_kept_apart() {
        let exchanges =
            [chat(1, "a", 500, None), chat(2, "b", 500, None), chat(3, "b", 200, Some("stop")), chat(4, "a", 200, Some("stop"))];
        let summary = Summary::of(&exchanges);
        assert_eq!((summary.calls.len(), summary.retries()), (2, 2));
    }

    fn at(mut exchange: Exchange, at: &str, retry: &str) -> Exchange {
        exchange.at = Some(at.into());
        exchange.request.headers.insert("x-stainless-retry-count".into(), retry.into());
        exchange
    }

    #[test]
    fn two_users_who_ask_the_same_at_once_are_two_calls() {
        let exchanges = [
            at(chat(1, "a", 429, None), "2026-03-14T08:00:00.000Z", "0"),
            at(chat(2, "a", 429, None), "2026-03-14T08:00:00.004Z", "0"),
            at(chat(3, "a", 429, None), "2026-03-14T08:00:01.000Z", "1"),
            at(chat(4, "a", 200, Some("stop")), "2026-03-14T08:00:01.004Z", "1"),
            at(chat(5, "a", 200, Some("stop")), "2026-03-14T08:00:02.000Z", "2"),
        ];
        let summary = Summary::of(&exchanges);
        let attempts: Vec<usize> = summary.calls.iter().map(|call| call.attempts.len()).collect();
        assert_eq!((attempts, summary.retries()), (vec![3, 2], 3));
    }

    #[test]
    fn an_answer_that_was_cut_off_is_asked_for_again() {
        let exchanges = [chat(1, "a", 200, None), chat(2, "a", 200, Some("stop"))];
        assert_eq!(Summary::of(&exchanges).retries(), 1);
    }
}
