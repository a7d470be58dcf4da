//! The idle timeout of a connection: a caller that sends slowly, or not at all, must not hold one
//! of the limited connections.

use std::fmt::Display;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The requests of one connection.
#[derive(Debug)]
pub(crate) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Requests whose head was received and whose response is not ready; they have deadlines of
    /// their own.
    under_way: usize,
    /// The end of the last request, or the start of the connection.
    idle_since: Instant,
}

/// Marks a request as under way until it is dropped.
pub(crate) struct Busy<'a>(&'a Activity);

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new(State { under_way: 0, idle_since: Instant::now() }))
    }
}

impl Activity {
    /// Marks the start of a request.
    pub(crate) fn busy(&self) -> Busy<'_> {
        self.change(|state| state.under_way = state.under_way.saturating_add(1));
        Busy(self)
    }

    /// Returns the time left of the idle timeout; all of it during a request.
    fn remaining(&self, idle: Duration) -> Duration {
        self.change(|state| if state.under_way > 0 { idle } else { idle.saturating_sub(state.idle_since.elapsed()) })
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.under_way = state.under_way.saturating_sub(1);
            state.idle_since = Instant::now();
        });
    }
}

/// Serves a connection until it ends or was without a request for `idle`.
pub(crate) async fn idle_timeout<E: Display>(
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
                    tracing::debug!(%error, "connection ended early");
                }
                return;
            }
            () = tokio::time::sleep(activity.remaining(idle)) => {
                if activity.remaining(idle).is_zero() {
                    tracing::debug!("closing an idle connection");
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
    fn only_a_connection_without_a_request_times_out() {
        let (activity, idle) = (Activity::default(), Duration::from_secs(60));
        activity.change(|state| state.idle_since = state.idle_since.checked_sub(Duration::from_secs(59)).unwrap());
        assert!(activity.remaining(idle) <= Duration::from_secs(1));
        let (first, second) = (activity.busy(), activity.busy());
        drop(first);
        assert_eq!(activity.remaining(idle), idle);
        drop(second);
        assert!(activity.remaining(idle) > Duration::from_secs(50));
        activity.change(|state| state.idle_since = state.idle_since.checked_sub(idle).unwrap());
        assert!(activity.remaining(idle).is_zero());
    }
}
