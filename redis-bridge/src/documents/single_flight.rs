//! One fetch of a URL at a time: callers that ask for it meanwhile get the same answer.
//!
//! Ten tabs of one browser, or the workers of one Envoy, ask for the same document at once; its
//! server is asked once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OnceCell;

/// The fetches under way, by URL. `T` is the answer, which each caller gets a copy of.
pub(super) struct SingleFlight<T>(Mutex<HashMap<String, Weak<OnceCell<T>>>>);

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> SingleFlight<T> {
    /// Returns the answer of the fetch of this URL that is under way, or else of `fetch`. When the
    /// caller that fetches goes away, another one of those that wait does.
    pub(super) async fn run(&self, url: &str, fetch: impl Future<Output = T>) -> T {
        let flight = self.join(url);
        flight.get_or_init(|| fetch).await.clone()
    }

    /// Returns the fetch of this URL that has callers, or a new one. One is forgotten with its last
    /// caller, so none is remembered longer than it takes.
    fn join(&self, url: &str) -> Arc<OnceCell<T>> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|_, flight| flight.strong_count() > 0);
        // One that is done only has callers that are about to read it: its answer is in the past.
        let under_way = flights.get(url).and_then(Weak::upgrade).filter(|flight| !flight.initialized());
        under_way.unwrap_or_else(|| {
            let flight = Arc::default();
            flights.insert(url.to_owned(), Arc::downgrade(&flight));
            flight
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use tokio::sync::Semaphore;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn those_that_ask_meanwhile_get_the_answer_of_the_one_fetch() {
        let (flights, fetches, door) = (SingleFlight::default(), AtomicU32::new(0), Semaphore::new(0));
        let ask = |url: &'static str| {
            flights.run(url, async {
                let _open = door.acquire().await;
                fetches.fetch_add(1, Ordering::Relaxed)
            })
        };
        let open = async {
            tokio::task::yield_now().await;
            door.add_permits(2);
        };
        let (one, two, other, ()) = tokio::join!(ask("a"), ask("a"), ask("b"), open);
        assert_eq!((one, two, other), (0, 0, 1));
        // A later request fetches again.
        assert_eq!(ask("a").await, 2);
        drop(flights.join("c"));
        assert_eq!(flights.0.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn another_caller_fetches_when_the_first_goes_away() {
        let flights = SingleFlight::default();
        let never = flights.run("a", std::future::pending::<u32>());
        let first = timeout(Duration::from_millis(20), never);
        let second = async {
            tokio::task::yield_now().await;
            flights.run("a", async { 7 }).await
        };
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_err());
        assert_eq!(second, 7);
    }
}
