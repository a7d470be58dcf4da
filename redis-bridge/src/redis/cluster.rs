//! A Redis cluster: the owner of each slot, learned from redirections.
//!
//! The commands that list a cluster's servers are not granted. Every server answers a command for
//! another's slot with `MOVED` and the owner's address, so any known server can be asked first.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::config::{DurabilityMode, Endpoint, Redis};
use crate::metrics::Metrics;
use crate::redis::dialer::Dialer;
use crate::redis::discovery::MasterDiscovery;
use crate::redis::node::RedisNode;
use crate::redis::redis_error::RedisError;

/// The servers of a cluster, each with a [`MasterDiscovery`] of its own.
pub(crate) struct Cluster {
    seeds: Vec<Endpoint>,
    dialer: Dialer,
    mode: DurabilityMode,
    metrics: Arc<Metrics>,
    /// Whether any server had a replica.
    replica_seen: Arc<AtomicBool>,
    map: Mutex<SlotMap>,
}

/// The known servers, and the known owners of slots.
#[derive(Default)]
struct SlotMap {
    nodes: BTreeMap<Endpoint, Arc<RedisNode>>,
    owners: BTreeMap<u16, Owner>,
    /// Round-robin index of the server that is asked for a slot without a known owner.
    next: usize,
}

struct Owner {
    endpoint: Endpoint,
    /// Unset after a failure of the server: another one is asked whether the slot moved.
    confirmed: bool,
}

/// The server that one operation is sent to.
pub(crate) struct Route {
    /// The server.
    pub(crate) node: Arc<RedisNode>,
    endpoint: Endpoint,
    slot: u16,
    redirections: usize,
}

impl Cluster {
    /// Starts to watch the configured servers.
    pub(crate) fn start(
        redis: &Redis,
        key_prefix: &str,
        seeds: &[Endpoint],
        mode: DurabilityMode,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let cluster = Self {
            seeds: seeds.to_vec(),
            dialer: Dialer::to_masters(redis, key_prefix),
            mode,
            metrics: Arc::clone(metrics),
            replica_seen: Arc::default(),
            map: Mutex::default(),
        };
        let nodes = seeds.iter().map(|seed| (seed.clone(), cluster.watch(seed))).collect();
        cluster.map().nodes = nodes;
        cluster
    }

    /// Returns the route to a slot: its owner if known and usable, else any usable server, which
    /// redirects to the owner.
    pub(crate) fn route(&self, slot: u16) -> Result<Route, RedisError> {
        let mut map = self.map();
        let owner = map.owners.get(&slot).filter(|owner| owner.confirmed).map(|owner| owner.endpoint.clone());
        if let Some(endpoint) = owner
            && let Some(node) = map.nodes.get(&endpoint).filter(|node| node.is_usable())
        {
            return Ok(Route { node: Arc::clone(node), endpoint, slot, redirections: 0 });
        }
        let usable: Vec<_> = map.nodes.iter().filter(|(_, node)| node.is_usable()).collect();
        let index = map.next.checked_rem(usable.len()).unwrap_or(0);
        let chosen = usable.get(index).map(|(endpoint, node)| Route {
            node: Arc::clone(node),
            endpoint: (*endpoint).clone(),
            slot,
            redirections: 0,
        });
        map.next = map.next.wrapping_add(1);
        chosen.ok_or(RedisError::NoMaster)
    }

    /// Follows a redirection to the slot's owner.
    pub(crate) async fn redirect(&self, route: &mut Route, to: Endpoint) -> Result<(), RedisError> {
        route.redirections = route.redirections.saturating_add(1);
        if route.redirections > MAX_REDIRECTIONS {
            return Err(RedisError::Moved);
        }
        route.node = self.record_owner(route.slot, &route.endpoint, &to).await?;
        route.endpoint = to;
        Ok(())
    }

    /// Records a failure of a route's server. If it may not be the owner any more, another server
    /// is asked next.
    pub(crate) fn record_failure(&self, route: &Route, error: RedisError) {
        if error.requires_discovery() || error == RedisError::ClusterDown || error == RedisError::Retired {
            let mut map = self.map();
            if let Some(owner) = map.owners.get_mut(&route.slot).filter(|owner| owner.endpoint == route.endpoint) {
                owner.confirmed = false;
            }
        }
    }

    /// Waits until every configured server was probed once.
    pub(crate) async fn wait_until_probed(&self) {
        let nodes = self.nodes();
        join_all(nodes.iter().map(|node| node.wait_until_probed())).await;
    }

    /// Returns each known server.
    pub(crate) fn nodes(&self) -> Vec<Arc<RedisNode>> {
        self.map().nodes.values().map(Arc::clone).collect()
    }

    /// Records a slot's owner. Waits for at most [`FIRST_PROBE_TIMEOUT`] for the first probe of a
    /// server that was unknown.
    async fn record_owner(&self, slot: u16, from: &Endpoint, to: &Endpoint) -> Result<Arc<RedisNode>, RedisError> {
        let node = {
            let mut map = self.map();
            let owner = Owner { endpoint: to.clone(), confirmed: true };
            let former = map.owners.insert(slot, owner).map(|owner| owner.endpoint);
            if former.as_ref().is_some_and(|former| former != to) {
                self.metrics.master_changes.add();
                tracing::warn!(slot, %from, %to, "redis cluster: a slot has another owner");
            } else if former.is_none() {
                tracing::info!(slot, owner = %to, "redis cluster: a slot's owner is known");
            }
            match map.nodes.get(to).map(Arc::clone) {
                Some(node) => node,
                None => {
                    self.make_room(&mut map)?;
                    let node = self.watch(to);
                    map.nodes.insert(to.clone(), Arc::clone(&node));
                    node
                }
            }
        };
        // After the timeout the server counts as unreachable; its discovery continues.
        let _ = timeout(FIRST_PROBE_TIMEOUT, node.wait_until_probed()).await;
        if node.is_usable() { Ok(node) } else { Err(RedisError::NoMaster) }
    }

    /// Forgets unusable servers when there are [`MAX_NODES`]: servers change over time, and the map
    /// must not grow without bound.
    fn make_room(&self, map: &mut SlotMap) -> Result<(), RedisError> {
        if map.nodes.len() >= MAX_NODES {
            map.nodes.retain(|endpoint, node| node.is_usable() || self.seeds.contains(endpoint));
        }
        if map.nodes.len() >= MAX_NODES { Err(RedisError::Moved) } else { Ok(()) }
    }

    fn watch(&self, endpoint: &Endpoint) -> Arc<RedisNode> {
        let refresh: Arc<Notify> = Arc::default();
        let discovery = MasterDiscovery::of_cluster_server(
            endpoint,
            &self.dialer,
            self.mode,
            &self.metrics,
            Arc::clone(&refresh),
            Arc::clone(&self.replica_seen),
        );
        Arc::new(RedisNode::start(discovery, refresh))
    }

    fn map(&self) -> MutexGuard<'_, SlotMap> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const MAX_REDIRECTIONS: usize = 4;
const MAX_NODES: usize = 128;
const FIRST_PROBE_TIMEOUT: Duration = Duration::from_millis(500);
