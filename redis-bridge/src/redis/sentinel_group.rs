//! The sentinels of one master: their votes on its address, and their announcements of failovers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::config::Endpoint;
use crate::redis::dialer::Dialer;
use crate::redis::redis_error::RedisError;
use crate::redis::sentinel::{addresses, listen, query_master};

/// The sentinels that know one master.
pub(crate) struct SentinelGroup {
    master_name: String,
    sentinels: Vec<Endpoint>,
    dialer: Dialer,
    connections: BTreeMap<Endpoint, MultiplexedConnection>,
    /// The last announced master, and when.
    announced: Arc<Mutex<Option<(Endpoint, Instant)>>>,
    failover: Arc<Notify>,
}

impl SentinelGroup {
    /// Creates a group without connections.
    pub(crate) fn new(master_name: &str, sentinels: &[Endpoint], dialer: Dialer) -> Self {
        Self {
            master_name: master_name.to_owned(),
            sentinels: sentinels.to_vec(),
            dialer,
            connections: BTreeMap::new(),
            announced: Arc::default(),
            failover: Arc::default(),
        }
    }

    /// Returns what wakes its waiting tasks when a sentinel announces a failover.
    pub(crate) fn failover(&self) -> Arc<Notify> {
        Arc::clone(&self.failover)
    }

    /// Asks every sentinel for the master. Returns the candidates, the likeliest first: the master
    /// announced within the last seconds, then by votes, and `last` first among equals.
    pub(crate) async fn candidate_masters(&mut self, last: Option<&Endpoint>) -> Vec<Endpoint> {
        let resolve = !self.dialer.is_tls();
        let resolved = self.sentinels.iter().map(|sentinel| addresses(sentinel, resolve));
        let sentinels: Vec<Endpoint> = join_all(resolved).await.concat();
        let (dialer, name) = (&self.dialer, &self.master_name);
        let connections = &mut self.connections;
        let queries = sentinels.into_iter().map(|sentinel| {
            let connection = connections.remove(&sentinel);
            async move {
                let answer = timeout(QUERY_TIMEOUT, query_master(dialer, &sentinel, connection, name)).await;
                (sentinel, answer.unwrap_or(Err(RedisError::TimedOut)))
            }
        });
        let answers = join_all(queries.collect::<Vec<_>>()).await;
        let mut votes: BTreeMap<Endpoint, usize> = BTreeMap::new();
        for (sentinel, answer) in answers {
            match answer {
                Ok((connection, master)) => {
                    self.connections.insert(sentinel, connection);
                    if let Some(endpoint) = master {
                        let count = votes.entry(endpoint).or_default();
                        *count = count.saturating_add(1);
                    }
                }
                Err(error) => tracing::debug!(%sentinel, fault = error.name(), "redis sentinel does not answer"),
            }
        }
        let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let announced = announced.filter(|(_, at)| at.elapsed() < ANNOUNCEMENT_LIFETIME).map(|(endpoint, _)| endpoint);
        let mut ranked: Vec<(Endpoint, usize)> = votes.into_iter().collect();
        ranked.sort_by_key(|(endpoint, count)| (std::cmp::Reverse(*count), last != Some(endpoint)));
        let voted = ranked.into_iter().map(|(endpoint, _)| endpoint).filter(|voted| Some(voted) != announced.as_ref());
        announced.clone().into_iter().chain(voted).collect()
    }

    /// Subscribes to the announcements of every sentinel; never ends. An announcement is a hint
    /// only: the role of the announced server is checked like any other's. Each one notifies
    /// `refresh` and [`Self::failover`].
    pub(crate) fn listen(&self, refresh: Arc<Notify>) -> impl Future<Output = ()> + Send + use<> {
        let (name, sentinels, dialer) = (self.master_name.clone(), self.sentinels.clone(), self.dialer.clone());
        let (announced, failover) = (Arc::clone(&self.announced), Arc::clone(&self.failover));
        async move {
            let listeners = sentinels.iter().map(|sentinel| async {
                loop {
                    listen(&dialer, sentinel, &name, |endpoint| {
                        *announced.lock().unwrap_or_else(PoisonError::into_inner) = Some((endpoint, Instant::now()));
                        refresh.notify_one();
                        // Only waiting tasks: a refresh that begins later reads the announcement.
                        failover.notify_waiters();
                    })
                    .await;
                    tokio::time::sleep(RECONNECT_INTERVAL).await;
                }
            });
            join_all(listeners).await;
            std::future::pending().await
        }
    }
}

const QUERY_TIMEOUT: Duration = Duration::from_secs(1);
const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);
const ANNOUNCEMENT_LIFETIME: Duration = Duration::from_secs(3);
