//! When the store could be used: every try, with its begin and its end.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// All tries of one run.
pub struct Attempts {
    began: Instant,
    tried: Mutex<Vec<Attempt>>,
}

#[derive(Clone, Debug)]
struct Attempt {
    what: &'static str,
    ended: Duration,
    failed: Option<String>,
}

impl Attempts {
    /// None yet; the clock starts.
    #[must_use]
    pub fn new() -> Self {
        Self { began: Instant::now(), tried: Mutex::default() }
    }

    /// Since the clock started.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Keeps a try that has just ended, and why it failed if it did.
    pub fn ended(&self, what: &'static str, failed: Option<String>) {
        let attempt = Attempt { what, ended: self.now(), failed };
        self.tried.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
    }

    /// How long after `fault` the last failure before `end` was followed by a success of the same
    /// kind, for the kind that took longest; zero when nothing failed. `None` when a kind never
    /// came back.
    #[must_use]
    pub fn recovery(&self, fault: Duration, end: Duration) -> Option<Duration> {
        let tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kinds: Vec<&str> = tried.iter().map(|attempt| attempt.what).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let backs = kinds.into_iter().map(|kind| {
            let within = || tried.iter().filter(|one| one.what == kind && one.ended >= fault);
            let last = within().filter(|one| one.failed.is_some() && one.ended <= end).map(|one| one.ended).max();
            let Some(last) = last else { return Some(Duration::ZERO) };
            let back = within().filter(|one| one.failed.is_none() && one.ended > last).map(|one| one.ended).min();
            back.map(|back| back.saturating_sub(fault))
        });
        backs.collect::<Option<Vec<_>>>().map(|backs| backs.into_iter().max().unwrap_or_default())
    }

    /// How many failed in a span of time, and the first of each kind.
    #[must_use]
    pub fn failures(&self, from: Duration, to: Duration) -> (usize, Vec<String>) {
        let tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let within = tried.iter().filter(|one| one.ended >= from && one.ended < to);
        let failed: Vec<String> =
            within.filter_map(|one| Some(format!("{}: {}", one.what, one.failed.as_ref()?))).collect();
        let count = failed.len();
        let mut kinds = failed;
        kinds.sort();
        kinds.dedup();
        kinds.truncate(5);
        (count, kinds)
    }
}

impl Default for Attempts {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_is_the_first_success_after_the_last_failure_of_the_slowest_kind() {
        let attempts = Attempts::new();
        let failed = || Some("503".to_owned());
        let tries =
            [("a", 1, None), ("a", 3, failed()), ("a", 5, None), ("b", 4, failed()), ("b", 7, None), ("b", 9, None)];
        for (what, at, failed) in tries {
            attempts.tried.lock().unwrap().push(Attempt { what, ended: seconds(at), failed });
        }
        assert_eq!(attempts.recovery(seconds(2), seconds(20)), Some(seconds(5)));
        assert_eq!(attempts.recovery(seconds(8), seconds(20)), Some(Duration::ZERO));
        assert_eq!(attempts.failures(seconds(0), seconds(4)).0, 1);
        attempts.tried.lock().unwrap().push(Attempt { what: "b", ended: seconds(10), failed: failed() });
        assert_eq!(attempts.recovery(seconds(2), seconds(20)), None, "it never came back");
    }

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }
}
