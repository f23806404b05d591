//! Patience: how long a run waits for a provider that asks for time.

use crate::limit;
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

/// How long the provider asks to wait: `retry-after-ms`, else `retry-after` in seconds or as a date.
///
/// What is no number, negative or past is as if nothing was said.
pub(super) fn retry_after(headers: &BTreeMap<String, String>, now: SystemTime) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.trim().parse::<f64>().ok();
    let seconds = number("retry-after-ms").map(|ms| ms / 1e3).or_else(|| number("retry-after"));
    let seconds = seconds.or_else(|| {
        let date = chrono::DateTime::parse_from_rfc2822(headers.get("retry-after")?.trim()).ok()?;
        SystemTime::from(date).duration_since(now).ok().map(|wait| wait.as_secs_f64())
    });
    seconds.filter(|seconds| *seconds > 0.0).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// How long to wait where the provider does not say: half a second, doubled each time up to eight, less up to a quarter.
pub(super) fn backoff(tries: u32) -> Duration {
    let seconds = (0.5 * f64::from(1_u32 << tries.min(4))).min(8.0);
    // Requests that failed together must not come back together.
    let random = RandomState::new().hash_one(tries) as f64 / u64::MAX as f64;
    Duration::from_secs_f64(seconds * (1.0 - random / 4.0))
}

/// What a run may still wait, all in all.
#[derive(Debug)]
pub(super) struct Patience {
    left: Mutex<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { left: Mutex::new(Duration::from_secs(limit::WAIT_RUN_SECONDS)) }
    }
}

impl Patience {
    /// Takes a wait from what is left; false when there is not enough.
    pub(super) fn spend(&self, wait: Duration) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        match left.checked_sub(wait) {
            Some(less) => {
                *left = less;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(name: &str, value: &str) -> Option<Duration> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_792_000_000);
        retry_after(&BTreeMap::from([(name.to_string(), value.to_string())]), now)
    }

    #[test]
    fn a_wait_is_read_in_seconds_milliseconds_and_as_a_date() {
        assert_eq!(after("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(after("retry-after", " 1.5 "), Some(Duration::from_millis(1500)));
        assert_eq!(after("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(after("retry-after", "Wed, 14 Oct 2026 17:46:45 GMT"), Some(Duration::from_secs(5)));
    }

    #[test]
    fn nonsense_is_as_if_nothing_was_said() {
        for value in ["", "soon", "NaN", "-1", "0", "inf", "1e400", "Wed, 14 Oct 2015 07:28:00 GMT", "99999999999999999999999999999"] {
            assert_eq!(after("retry-after", value), None, "{value}");
        }
    }

    #[test]
    fn a_backoff_doubles_up_to_eight_seconds() {
        for (tries, seconds) in [(0, 0.5), (1, 1.0), (4, 8.0), (40, 8.0)] {
            let wait = backoff(tries).as_secs_f64();
            assert!(wait <= seconds && wait >= seconds * 0.75, "{tries}: {wait}");
        }
    }

    #[test]
    fn a_run_waits_only_so_long() {
        let patience = Patience::default();
        assert!(patience.spend(Duration::from_secs(limit::WAIT_RUN_SECONDS)));
        assert!(!patience.spend(Duration::from_millis(1)));
    }
}
