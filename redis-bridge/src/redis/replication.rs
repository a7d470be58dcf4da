//! The number of replicas that must acknowledge a durable write.
//!
//! One replica is not enough. When a replica is promoted while its master lives (`SENTINEL
//! FAILOVER`, or a master that is cut off from the sentinels but not from the bridge), the
//! sentinels announce the switch only a second or more later. Until then the former master keeps
//! the remaining replicas, and one of them would acknowledge writes that are lost with the former
//! master. A write therefore waits for every replica known so far. A replica that has been missing
//! for longer than the sentinels take to name a promoted one as master was not promoted; from then
//! on the remaining replicas are enough.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The replicas of one master, by their number.
#[derive(Debug)]
pub(crate) struct Replication(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The number of replicas that must acknowledge a write; at least 1.
    required: u64,
    /// The number of replicas that were in sync at the last probe; a lower bound.
    connected: u64,
    /// Start of the current run of writes with fewer acknowledgements than required.
    short_since: Option<Instant>,
    /// Time of the last request for one replica more than required.
    last_growth: Instant,
}

/// The arguments of one `WAIT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WaitRequest {
    /// `numreplicas`.
    pub(crate) replicas: u64,
    /// `timeout`.
    pub(crate) timeout: Duration,
}

impl Replication {
    /// Starts with the number of replicas in sync at the first probe of a master.
    pub(crate) fn new(connected: u64) -> Self {
        let state = State { required: connected.max(1), connected, short_since: None, last_growth: Instant::now() };
        Self(Mutex::new(state))
    }

    /// Records the number of replicas in sync at the latest probe.
    pub(crate) fn set_connected(&self, count: u64) {
        self.state().connected = count;
    }

    /// Returns the `WAIT` of the next durable write. Once a second it asks for one replica more
    /// than required if more are connected, so that a new or returned replica becomes required.
    pub(crate) fn next_wait(&self) -> WaitRequest {
        let mut state = self.state();
        if state.connected > state.required && state.last_growth.elapsed() >= GROWTH_INTERVAL {
            state.last_growth = Instant::now();
            return WaitRequest { replicas: state.required.saturating_add(1), timeout: GROWTH_TIMEOUT };
        }
        WaitRequest { replicas: state.required, timeout: WAIT_TIMEOUT }
    }

    /// Returns `true` if a write acknowledged by `count` replicas is durable.
    pub(crate) fn is_durable(&self, count: u64) -> bool {
        let mut state = self.state();
        if count >= state.required {
            (state.required, state.short_since) = (count, None);
            return true;
        }
        let since = *state.short_since.get_or_insert_with(Instant::now);
        if count == 0 || since.elapsed() < MISSING_TIMEOUT {
            return false;
        }
        (state.required, state.short_since) = (count, None);
        tracing::warn!(replicas = count, "redis replica lost; durable writes wait for the remaining replicas");
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave the numbers half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const WAIT_TIMEOUT: Duration = Duration::from_millis(500);
const GROWTH_TIMEOUT: Duration = Duration::from_millis(100);
const GROWTH_INTERVAL: Duration = Duration::from_secs(1);
/// A replica missing for this long was not promoted: the sentinel that leads a failover checks the
/// promotion every second and then announces it; the other sentinels follow within two.
const MISSING_TIMEOUT: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_known_replica_is_required() {
        let replication = Replication::new(2);
        assert_eq!(replication.next_wait(), WaitRequest { replicas: 2, timeout: WAIT_TIMEOUT });
        assert!(replication.is_durable(2));
        assert!(!replication.is_durable(1));
        tokio::time::advance(MISSING_TIMEOUT / 2).await;
        assert!(!replication.is_durable(1));
        assert!(replication.is_durable(2), "the replica was only slow");
        tokio::time::advance(MISSING_TIMEOUT).await;
        assert!(!replication.is_durable(1), "the time without it starts with this write");
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_missing_for_long_is_no_longer_required() {
        let replication = Replication::new(2);
        replication.set_connected(1);
        assert!(!replication.is_durable(1));
        tokio::time::advance(MISSING_TIMEOUT).await;
        assert!(replication.is_durable(1));
        assert_eq!(replication.next_wait().replicas, 1);
        tokio::time::advance(MISSING_TIMEOUT).await;
        assert!(!replication.is_durable(0), "no replica has it");
        tokio::time::advance(MISSING_TIMEOUT).await;
        assert!(!replication.is_durable(0), "however long it lasts");
    }

    #[tokio::test(start_paused = true)]
    async fn a_returned_replica_is_required_after_its_first_acknowledgement() {
        let replication = Replication::new(0);
        assert_eq!(replication.next_wait(), WaitRequest { replicas: 1, timeout: WAIT_TIMEOUT });
        assert!(replication.is_durable(1));
        replication.set_connected(2);
        tokio::time::advance(GROWTH_INTERVAL).await;
        assert_eq!(replication.next_wait(), WaitRequest { replicas: 2, timeout: GROWTH_TIMEOUT });
        assert!(replication.is_durable(1), "it is connected and does not acknowledge");
        assert_eq!(replication.next_wait(), WaitRequest { replicas: 1, timeout: WAIT_TIMEOUT });
        tokio::time::advance(GROWTH_INTERVAL).await;
        assert_eq!(replication.next_wait().replicas, 2);
        assert!(replication.is_durable(2));
        assert!(!replication.is_durable(1));
    }
}
