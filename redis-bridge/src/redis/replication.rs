//! How many replicas must have a durable write.
//!
//! One is not enough. When a replica is promoted while its master lives (`SENTINEL FAILOVER`, or a
//! master that the sentinels lost and we did not), the sentinels say so only a second or more
//! later. Until then the former master goes on with the replicas that are left, and one of them
//! would confirm writes that are thrown away with it. So a write waits for every replica that there
//! was. One that has been missed for longer than the sentinels take to name its successor as master
//! is really gone, and then the others will do.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The replicas of one master, by their number.
#[derive(Debug)]
pub(crate) struct Followers(Mutex<Known>);

#[derive(Debug)]
struct Known {
    /// How many must have a write.
    needed: u64,
    /// How many were in step with the master when it was last asked: not more than there are.
    connected: u64,
    /// Since when fewer than needed have confirmed.
    short_since: Option<Instant>,
    /// When it was last tried whether more would confirm.
    tried: Instant,
}

/// What to ask of WAIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question {
    /// The number of replicas.
    pub(crate) replicas: u64,
    /// How long to wait for them.
    pub(crate) patience: Duration,
}

impl Followers {
    /// Those that are in step with a master that was just found.
    pub(crate) fn new(connected: u64) -> Self {
        let known = Known { needed: connected.max(1), connected, short_since: None, tried: Instant::now() };
        Self(Mutex::new(known))
    }

    /// Takes note of how many are in step now.
    pub(crate) fn connected(&self, count: u64) {
        self.known().connected = count;
    }

    /// What the next durable write asks. Once a second it is tried whether a replica more confirms,
    /// so that one that came or came back is needed from then on.
    pub(crate) fn question(&self) -> Question {
        let mut known = self.known();
        if known.connected > known.needed && known.tried.elapsed() >= TRY_EVERY {
            known.tried = Instant::now();
            return Question { replicas: known.needed.saturating_add(1), patience: TRY };
        }
        Question { replicas: known.needed, patience: WAIT }
    }

    /// Whether a write is durable that so many replicas have.
    pub(crate) fn suffice(&self, count: u64) -> bool {
        let mut known = self.known();
        if count >= known.needed {
            (known.needed, known.short_since) = (count, None);
            return true;
        }
        let since = *known.short_since.get_or_insert_with(Instant::now);
        if count == 0 || since.elapsed() < MISSED {
            return false;
        }
        (known.needed, known.short_since) = (count, None);
        tracing::warn!(replicas = count, "a redis replica is gone; durable writes wait for the others");
        true
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // Numbers cannot be left half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a durable write waits, at most.
const WAIT: Duration = Duration::from_millis(500);
/// How long it waits where a replica more than needed is asked for.
const TRY: Duration = Duration::from_millis(100);
const TRY_EVERY: Duration = Duration::from_secs(1);
/// After this a replica is gone and was not promoted. The sentinel that leads a failover looks
/// every second whether the replica is promoted and then names it; the others follow within two.
const MISSED: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_replica_that_there_was_is_needed() {
        let followers = Followers::new(2);
        assert_eq!(followers.question(), Question { replicas: 2, patience: WAIT });
        assert!(followers.suffice(2));
        assert!(!followers.suffice(1));
        tokio::time::advance(MISSED / 2).await;
        assert!(!followers.suffice(1));
        assert!(followers.suffice(2), "it was only slow");
        tokio::time::advance(MISSED).await;
        assert!(!followers.suffice(1), "it is missed from now on");
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_is_gone_for_long_is_needed_no_more() {
        let followers = Followers::new(2);
        followers.connected(1);
        assert!(!followers.suffice(1));
        tokio::time::advance(MISSED).await;
        assert!(followers.suffice(1));
        assert_eq!(followers.question().replicas, 1);
        tokio::time::advance(MISSED).await;
        assert!(!followers.suffice(0), "nobody has it");
        tokio::time::advance(MISSED).await;
        assert!(!followers.suffice(0), "and nobody will do");
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_comes_back_is_needed_once_it_confirms() {
        let followers = Followers::new(0);
        assert_eq!(followers.question(), Question { replicas: 1, patience: WAIT });
        assert!(followers.suffice(1));
        followers.connected(2);
        tokio::time::advance(TRY_EVERY).await;
        assert_eq!(followers.question(), Question { replicas: 2, patience: TRY });
        assert!(followers.suffice(1), "it is connected and does not answer");
        assert_eq!(followers.question(), Question { replicas: 1, patience: WAIT });
        tokio::time::advance(TRY_EVERY).await;
        assert_eq!(followers.question().replicas, 2);
        assert!(followers.suffice(2));
        assert!(!followers.suffice(1));
    }
}
