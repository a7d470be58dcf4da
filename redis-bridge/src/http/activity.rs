//! A connection that asks for nothing is closed: a client that sends slowly, or not at all, must
//! not hold a place.

use std::fmt::Display;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The activity of a connection.
#[derive(Debug)]
pub(crate) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Requests whose head has come and whose answer is not made yet; they have their own
    /// deadlines.
    under_way: usize,
    /// When there was one last.
    since: Instant,
}

/// A request is under way until this is dropped.
pub(crate) struct Busy<'a>(&'a Activity);

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new(State { under_way: 0, since: Instant::now() }))
    }
}

impl Activity {
    /// A request has come.
    pub(crate) fn busy(&self) -> Busy<'_> {
        self.change(|state| state.under_way = state.under_way.saturating_add(1));
        Busy(self)
    }

    /// How long the connection may still be without a request; the whole time while it has one.
    fn left(&self, idle: Duration) -> Duration {
        self.change(|state| if state.under_way > 0 { idle } else { idle.saturating_sub(state.since.elapsed()) })
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.under_way = state.under_way.saturating_sub(1);
            state.since = Instant::now();
        });
    }
}

/// Serves a connection until it ends, or has been without a request for so long.
pub(crate) async fn unless_idle<E: Display>(
    connection: impl Future<Output = Result<(), E>>,
    activity: &Activity,
    idle: Duration,
) {
    let mut connection = pin!(connection);
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = tokio::time::sleep(activity.left(idle)) => {
                if activity.left(idle).is_zero() {
                    tracing::debug!("a connection without a request is closed");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_without_a_request_gets_old() {
        let (activity, idle) = (Activity::default(), Duration::from_secs(60));
        activity.change(|state| state.since = state.since.checked_sub(Duration::from_secs(59)).unwrap());
        assert!(activity.left(idle) <= Duration::from_secs(1));
        let (first, second) = (activity.busy(), activity.busy());
        drop(first);
        assert_eq!(activity.left(idle), idle);
        drop(second);
        assert!(activity.left(idle) > Duration::from_secs(50));
        activity.change(|state| state.since = state.since.checked_sub(idle).unwrap());
        assert!(activity.left(idle).is_zero());
    }
}
