//! The rate limits of fetches: per host and in total.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Two rate limits, both of which apply. A host is forgotten after a minute without a fetch, when
/// its budget is full again; since every fetch counts against the total, the number of remembered
/// hosts is bounded by two minutes of it.
pub(super) struct Budget {
    all: Rate,
    per_host: Rate,
    spent: Mutex<Spent>,
}

#[derive(Default)]
struct Spent {
    all: Option<Instant>,
    hosts: HashMap<String, Instant>,
}

/// A number of fetches a minute, with a burst of the same size.
#[derive(Clone, Copy)]
struct Rate {
    interval: Duration,
}

impl Rate {
    fn new(per_minute: u32) -> Self {
        Self { interval: MINUTE.checked_div(per_minute).unwrap_or(MINUTE) }
    }

    /// Returns when the budget is full again after one more fetch, or `None` if it is spent.
    fn spend(self, spent_until: Option<Instant>, now: Instant) -> Option<Instant> {
        let until = spent_until.map_or(now, |until| until.max(now)).checked_add(self.interval)?;
        (until.saturating_duration_since(now) <= MINUTE).then_some(until)
    }
}

impl Budget {
    pub(super) fn new(per_host_per_minute: u32, per_minute: u32) -> Self {
        Self { all: Rate::new(per_minute), per_host: Rate::new(per_host_per_minute), spent: Mutex::default() }
    }

    /// Takes one fetch of a host. Returns `false`, and takes none, if either budget is spent.
    pub(super) fn take(&self, host: &str, now: Instant) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.hosts.retain(|_, until| *until > now);
        let of_host = self.per_host.spend(spent.hosts.get(host).copied(), now);
        let of_all = self.all.spend(spent.all, now);
        let (Some(of_host), Some(of_all)) = (of_host, of_all) else { return false };
        spent.hosts.insert(host.to_owned(), of_host);
        spent.all = Some(of_all);
        true
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start.checked_add(Duration::from_secs(seconds)).unwrap()
    }

    #[test]
    fn a_host_has_a_budget_a_minute_of_its_own() {
        let (budget, start) = (Budget::new(3, 60), Instant::now());
        assert!((0..3).all(|_| budget.take("a", start)));
        assert!(!budget.take("a", start) && budget.take("b", start));
        assert!(!budget.take("a", after(start, 19)));
        assert!(budget.take("a", after(start, 20)) && !budget.take("a", after(start, 20)));
        assert!((0..3).all(|_| budget.take("a", after(start, 90))));
        assert!(!budget.take("a", after(start, 90)));
    }

    #[test]
    fn all_hosts_together_have_a_budget_a_minute() {
        let (budget, start) = (Budget::new(10, 6), Instant::now());
        assert!((0..6).all(|host| budget.take(&host.to_string(), start)));
        assert!(!budget.take("another", start) && !budget.take("another", after(start, 9)));
        // What was refused for the sake of all was not taken from the host.
        assert!(budget.take("another", after(start, 10)) && !budget.take("another", after(start, 10)));
    }

    #[test]
    fn a_flood_of_hosts_is_not_remembered_for_long() {
        let (budget, start) = (Budget::new(10, 60), Instant::now());
        for second in 0..600 {
            for host in 0..10 {
                budget.take(&format!("{second}-{host}"), after(start, second));
            }
        }
        let remembered = budget.spent.lock().unwrap().hosts.len();
        assert!(remembered <= 120, "{remembered} hosts are remembered");
    }
}
