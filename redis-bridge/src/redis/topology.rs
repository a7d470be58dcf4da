//! The masters that hold the records: one, or those of a cluster.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::config::{Config, Place};
use crate::metrics::Metrics;
use crate::redis::cluster::{Cluster, Route};
use crate::redis::discovery::MasterDiscovery;
use crate::redis::master::{CommandError, Confirmation};
use crate::redis::master_state::{MasterState, WriteDurability};
use crate::redis::node::RedisNode;
use crate::redis::redis_error::RedisError;
use crate::redis::script::Script;

/// Sends commands to the right master. Dropping the last clone closes every connection.
#[derive(Clone)]
pub(crate) struct Topology(Arc<Kind>);

enum Kind {
    Single(RedisNode),
    Cluster(Box<Cluster>),
}

/// The health of all masters together.
pub(crate) struct Health {
    /// Whether any master answers.
    pub(crate) up: bool,
    /// Whether any master can be used.
    pub(crate) ready: bool,
    /// Whether every durable write waits for replicas.
    pub(crate) replicated: bool,
    /// Why a master cannot be used, or why durable writes do not wait for replicas.
    pub(crate) reason: Option<String>,
}

impl Topology {
    /// Starts the discovery of the configured masters.
    pub(crate) fn start(config: &Config, metrics: &Arc<Metrics>) -> Self {
        let kind = match &config.redis.place {
            Place::Cluster(seeds) => {
                let (redis, prefix) = (&config.redis, &config.key_prefix);
                Kind::Cluster(Box::new(Cluster::start(redis, prefix, seeds, config.durability, metrics)))
            }
            Place::Standalone(_) | Place::Sentinel { .. } => {
                let (refresh, metrics) = (Arc::<Notify>::default(), Arc::clone(metrics));
                let (redis, prefix) = (&config.redis, &config.key_prefix);
                let discovery = MasterDiscovery::new(redis, prefix, config.durability, metrics, Arc::clone(&refresh));
                Kind::Single(RedisNode::start(discovery, refresh))
            }
        };
        Self(Arc::new(kind))
    }

    /// Runs one command on keys of one slot. Only a cluster calls `slot`.
    pub(crate) async fn command(
        &self,
        slot: impl FnOnce() -> u16,
        command: &redis::Cmd,
    ) -> Result<redis::Value, RedisError> {
        let mut target = self.target(slot)?;
        loop {
            let result = target.node().command(command).await;
            if let Some(result) = self.finish(&mut target, result).await {
                return result;
            }
        }
    }

    /// Runs a script on keys of one slot, and waits for the replicas if `durable` and the master
    /// has any.
    pub(crate) async fn change(
        &self,
        slot: impl FnOnce() -> u16,
        script: &Script,
        names: &[String],
        args: &[Vec<u8>],
        durable: bool,
    ) -> Result<(Vec<u8>, Confirmation), RedisError> {
        let mut target = self.target(slot)?;
        loop {
            let result = target.node().change(script, names, args, durable).await;
            if let Some(result) = self.finish(&mut target, result).await {
                return result;
            }
        }
    }

    fn target(&self, slot: impl FnOnce() -> u16) -> Result<Target<'_>, RedisError> {
        match &*self.0 {
            Kind::Single(node) => Ok(Target::Single(node)),
            Kind::Cluster(cluster) => Ok(Target::Cluster(cluster, cluster.route(slot())?)),
        }
    }

    /// Returns the result of an operation after one try, or `None` if another server must be tried
    /// because this one did nothing.
    async fn finish<T>(
        &self,
        target: &mut Target<'_>,
        result: Result<T, CommandError>,
    ) -> Option<Result<T, RedisError>> {
        let moved_to = match result {
            Ok(answer) => return Some(Ok(answer)),
            Err(CommandError::Failed(error) | CommandError::Closed(error)) => {
                if error.requires_discovery() {
                    target.node().request_refresh();
                }
                if let Target::Cluster(cluster, route) = target {
                    cluster.record_failure(route, error);
                }
                return Some(Err(error));
            }
            Err(CommandError::Moved(to)) => to,
        };
        match target {
            Target::Single(_) => Some(Err(RedisError::Moved)),
            Target::Cluster(cluster, route) => cluster.redirect(route, moved_to).await.err().map(Err),
        }
    }

    /// Returns the health by the latest probes, without a call to Redis.
    pub(crate) fn health(&self) -> Health {
        let states = self.states();
        let answering: Vec<&MasterState> = states.iter().filter(|state| state.is_answering()).collect();
        let up = !answering.is_empty();
        let relevant = if up { answering } else { states.iter().collect() };
        let refused = relevant.iter().any(|state| matches!(state.durability, WriteDurability::Refused(_)));
        let replicated = relevant.iter().all(|state| state.durability == WriteDurability::Replicated);
        let error = states.iter().find_map(MasterState::error);
        let not_replicated = relevant.iter().find_map(|state| match &state.durability {
            WriteDurability::Replicated => None,
            WriteDurability::Async(reason) | WriteDurability::Refused(reason) => Some(reason.clone()),
        });
        Health { up, ready: up && !refused, replicated, reason: error.or(not_replicated) }
    }

    /// Waits until any master is connected, for at most `limit`.
    pub(crate) async fn wait_until_usable(&self, limit: Duration) {
        // After the timeout the state stays as it is: no master.
        let _ = match &*self.0 {
            Kind::Single(node) => timeout(limit, node.wait_until_usable()).await,
            Kind::Cluster(cluster) => {
                let usable =
                    cluster.nodes().into_iter().map(|node| Box::pin(async move { node.wait_until_usable().await }));
                timeout(limit, async { select_all(usable).await.0 }).await
            }
        };
    }

    /// Waits until every configured server was probed once.
    pub(crate) async fn wait_until_probed(&self) {
        match &*self.0 {
            Kind::Single(node) => node.wait_until_probed().await,
            Kind::Cluster(cluster) => cluster.wait_until_probed().await,
        }
    }

    fn states(&self) -> Vec<MasterState> {
        match &*self.0 {
            Kind::Single(node) => vec![node.state()],
            Kind::Cluster(cluster) => cluster.nodes().iter().map(|node| node.state()).collect(),
        }
    }
}

/// The server that one operation is sent to.
enum Target<'a> {
    Single(&'a RedisNode),
    Cluster(&'a Cluster, Route),
}

impl Target<'_> {
    fn node(&self) -> &RedisNode {
        match self {
            Self::Single(node) => node,
            Self::Cluster(_, route) => &route.node,
        }
    }
}
