//! A Redis cluster: which server has which slot, learned from the servers' own redirections.
//!
//! The commands that list a cluster's servers are not granted. Every server knows the owner of
//! every slot though, and answers a command for another's slot with MOVED and the owner's address:
//! so any known one is asked first.

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
use crate::redis::node::Node;
use crate::redis::redis_error::Fault;

/// The servers of a cluster, each watched by a [`MasterDiscovery`] of its own.
pub(crate) struct Cluster {
    seeds: Vec<Endpoint>,
    dialer: Dialer,
    mode: DurabilityMode,
    metrics: Arc<Metrics>,
    /// Whether any server had a replica: a promoted one whose former master is gone must miss it.
    replica_seen: Arc<AtomicBool>,
    map: Mutex<Map>,
}

/// What is known of the cluster.
#[derive(Default)]
struct Map {
    nodes: BTreeMap<Endpoint, Arc<Node>>,
    owners: BTreeMap<u16, Owner>,
    /// Whose turn it is to be asked for a slot that nobody is known to own.
    turn: usize,
}

struct Owner {
    endpoint: Endpoint,
    /// Unset once the server failed: the others are asked whether the slot moved.
    sure: bool,
}

/// The way of one operation.
pub(crate) struct Route {
    /// Whom to ask.
    pub(crate) node: Arc<Node>,
    endpoint: Endpoint,
    slot: u16,
    redirections: usize,
}

impl Cluster {
    /// Starts to watch the servers that the configuration names.
    pub(crate) fn start(redis: &Redis, seeds: &[Endpoint], mode: DurabilityMode, metrics: &Arc<Metrics>) -> Self {
        let cluster = Self {
            seeds: seeds.to_vec(),
            dialer: Dialer::to_masters(redis),
            mode,
            metrics: Arc::clone(metrics),
            replica_seen: Arc::default(),
            map: Mutex::default(),
        };
        let nodes = seeds.iter().map(|seed| (seed.clone(), cluster.watch(seed))).collect();
        cluster.map().nodes = nodes;
        cluster
    }

    /// Where to send a command on names of this slot: to the owner where that is known and can be
    /// used, to any usable server otherwise, which will name the owner.
    pub(crate) fn route(&self, slot: u16) -> Result<Route, Fault> {
        let mut map = self.map();
        let owner = map.owners.get(&slot).filter(|owner| owner.sure).map(|owner| owner.endpoint.clone());
        if let Some(endpoint) = owner
            && let Some(node) = map.nodes.get(&endpoint).filter(|node| node.is_usable())
        {
            return Ok(Route { node: Arc::clone(node), endpoint, slot, redirections: 0 });
        }
        let usable: Vec<_> = map.nodes.iter().filter(|(_, node)| node.is_usable()).collect();
        let turn = map.turn.checked_rem(usable.len()).unwrap_or(0);
        let chosen = usable.get(turn).map(|(endpoint, node)| Route {
            node: Arc::clone(node),
            endpoint: (*endpoint).clone(),
            slot,
            redirections: 0,
        });
        map.turn = map.turn.wrapping_add(1);
        chosen.ok_or(Fault::NoMaster)
    }

    /// Turns to the server that was named as the owner.
    pub(crate) async fn follow(&self, route: &mut Route, to: Endpoint) -> Result<(), Fault> {
        route.redirections = route.redirections.saturating_add(1);
        if route.redirections > REDIRECTIONS {
            return Err(Fault::Moved);
        }
        route.node = self.moved(route.slot, &route.endpoint, &to).await?;
        route.endpoint = to;
        Ok(())
    }

    /// Takes note of what a server could not do: where it may be the owner no more, the others are
    /// asked next.
    pub(crate) fn failed(&self, route: &Route, fault: Fault) {
        if fault.asks_for_the_master() || fault == Fault::ClusterDown || fault == Fault::Retired {
            let mut map = self.map();
            if let Some(owner) = map.owners.get_mut(&route.slot).filter(|owner| owner.endpoint == route.endpoint) {
                owner.sure = false;
            }
        }
    }

    /// Waits until every server that the configuration names was looked for once.
    pub(crate) async fn looked(&self) {
        let nodes = self.nodes();
        join_all(nodes.iter().map(|node| node.looked())).await;
    }

    /// Each known server.
    pub(crate) fn nodes(&self) -> Vec<Arc<Node>> {
        self.map().nodes.values().map(Arc::clone).collect()
    }

    /// Takes note of a slot's owner, and waits a moment for one that nobody has looked for yet.
    async fn moved(&self, slot: u16, from: &Endpoint, to: &Endpoint) -> Result<Arc<Node>, Fault> {
        let node = {
            let mut map = self.map();
            let owner = Owner { endpoint: to.clone(), sure: true };
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
        // Past this it is as good as away; its discovery goes on trying.
        let _ = timeout(FIRST_LOOK, node.looked()).await;
        if node.is_usable() { Ok(node) } else { Err(Fault::NoMaster) }
    }

    /// Servers come and go; those that went must not pile up.
    fn make_room(&self, map: &mut Map) -> Result<(), Fault> {
        if map.nodes.len() >= NODES {
            map.nodes.retain(|endpoint, node| node.is_usable() || self.seeds.contains(endpoint));
        }
        if map.nodes.len() >= NODES { Err(Fault::Moved) } else { Ok(()) }
    }

    fn watch(&self, endpoint: &Endpoint) -> Arc<Node> {
        let nudge: Arc<Notify> = Arc::default();
        let discovery = MasterDiscovery::of_node(
            endpoint,
            &self.dialer,
            self.mode,
            &self.metrics,
            Arc::clone(&nudge),
            Arc::clone(&self.replica_seen),
        );
        Arc::new(Node::start(discovery, nudge))
    }

    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const REDIRECTIONS: usize = 4;
const NODES: usize = 128;
const FIRST_LOOK: Duration = Duration::from_millis(500);
