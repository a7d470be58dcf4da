//! Whoever has the records: one master, or the masters of a cluster.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use tokio::sync::Notify;

use crate::config::{Config, Place};
use crate::metrics::Metrics;
use crate::operations::script::Script;
use crate::redis::cluster::{Cluster, Route};
use crate::redis::discovery::{MasterDiscovery, Standing, Waiting};
use crate::redis::master::{Confirmed, Undone};
use crate::redis::node::Node;
use crate::redis::redis_error::Fault;

/// Where commands go. Dropped with its last copy, it ends every connection.
#[derive(Clone)]
pub(crate) struct Masters(Arc<Kind>);

enum Kind {
    One(Node),
    Cluster(Box<Cluster>),
}

/// How all of them are together.
pub(crate) struct Condition {
    /// Whether any is there.
    pub(crate) up: bool,
    /// Whether any can be used.
    pub(crate) ready: bool,
    /// Whether every durable write waits for a replica.
    pub(crate) replicated: bool,
    /// What is not as it should be.
    pub(crate) reason: Option<String>,
}

impl Masters {
    /// Starts to look for them.
    pub(crate) fn start(config: &Config, metrics: &Arc<Metrics>) -> Self {
        let kind = match &config.redis.place {
            Place::Cluster(seeds) => {
                Kind::Cluster(Box::new(Cluster::start(&config.redis, seeds, config.durability, metrics)))
            }
            Place::Standalone(_) | Place::Sentinel { .. } => {
                let nudge: Arc<Notify> = Arc::default();
                Kind::One(Node::start(
                    MasterDiscovery::new(&config.redis, config.durability, Arc::clone(metrics), Arc::clone(&nudge)),
                    nudge,
                ))
            }
        };
        Self(Arc::new(kind))
    }

    /// Runs one command on names of this slot, which only a cluster asks for.
    pub(crate) async fn command(
        &self,
        slot: impl FnOnce() -> u16,
        command: &redis::Cmd,
    ) -> Result<redis::Value, Fault> {
        let mut way = self.way(slot)?;
        loop {
            let done = way.node().command(command).await;
            if let Some(done) = self.outcome(&mut way, done).await {
                return done;
            }
        }
    }

    /// Runs a script on names of this slot, and waits for a replica where that is asked for and can
    /// be.
    pub(crate) async fn change(
        &self,
        slot: impl FnOnce() -> u16,
        script: Script,
        names: &[String],
        args: &[Vec<u8>],
        durable: bool,
    ) -> Result<(Vec<u8>, Confirmed), Fault> {
        let mut way = self.way(slot)?;
        loop {
            let done = way.node().change(script, names, args, durable).await;
            if let Some(done) = self.outcome(&mut way, done).await {
                return done;
            }
        }
    }

    fn way(&self, slot: impl FnOnce() -> u16) -> Result<Way<'_>, Fault> {
        match &*self.0 {
            Kind::One(node) => Ok(Way::One(node)),
            Kind::Cluster(cluster) => Ok(Way::Cluster(cluster, cluster.route(slot())?)),
        }
    }

    /// What came of one try; `None` where another server has to be tried, because this one did
    /// nothing.
    async fn outcome<T>(&self, way: &mut Way<'_>, done: Result<T, Undone>) -> Option<Result<T, Fault>> {
        let moved_to = match done {
            Ok(done) => return Some(Ok(done)),
            Err(Undone::Fault(fault) | Undone::Closed(fault)) => {
                if fault.asks_for_the_master() {
                    way.node().nudge.notify_one();
                }
                if let Way::Cluster(cluster, route) = way {
                    cluster.failed(route, fault);
                }
                return Some(Err(fault));
            }
            Err(Undone::Moved(to)) => to,
        };
        match way {
            Way::One(_) => Some(Err(Fault::Moved)),
            Way::Cluster(cluster, route) => cluster.follow(route, moved_to).await.err().map(Err),
        }
    }

    /// How they are. Asks nobody.
    pub(crate) fn condition(&self) -> Condition {
        let standings = self.standings();
        let usable: Vec<&Standing> = standings.iter().filter(|standing| standing.is_answering()).collect();
        let up = !usable.is_empty();
        let known = if up { usable } else { standings.iter().collect() };
        let refused = known.iter().any(|standing| matches!(standing.waiting, Waiting::Refused(_)));
        let replicated = known.iter().all(|standing| standing.waiting == Waiting::Replica);
        let trouble = standings.iter().find_map(Standing::trouble);
        let waiting = known.iter().find_map(|standing| match &standing.waiting {
            Waiting::Replica => None,
            Waiting::Master(reason) | Waiting::Refused(reason) => Some(reason.clone()),
        });
        Condition { up, ready: up && !refused, replicated, reason: trouble.or(waiting) }
    }

    /// Waits until one can be used, for at most `patience`.
    pub(crate) async fn settled(&self, patience: Duration) {
        // Running out of patience leaves what is known, which is that there is no master.
        let _ = match &*self.0 {
            Kind::One(node) => tokio::time::timeout(patience, node.found()).await,
            Kind::Cluster(cluster) => {
                let found = cluster.nodes().into_iter().map(|node| Box::pin(async move { node.found().await }));
                tokio::time::timeout(patience, async { select_all(found).await.0 }).await
            }
        };
    }

    /// Waits until each that the configuration names was looked for once.
    pub(crate) async fn looked(&self) {
        match &*self.0 {
            Kind::One(node) => node.looked().await,
            Kind::Cluster(cluster) => cluster.looked().await,
        }
    }

    fn standings(&self) -> Vec<Standing> {
        match &*self.0 {
            Kind::One(node) => vec![node.standing()],
            Kind::Cluster(cluster) => cluster.nodes().iter().map(|node| node.standing()).collect(),
        }
    }
}

/// Whom one operation asks.
enum Way<'a> {
    One(&'a Node),
    Cluster(&'a Cluster, Route),
}

impl Way<'_> {
    fn node(&self) -> &Node {
        match self {
            Self::One(node) => node,
            Self::Cluster(_, route) => &route.node,
        }
    }
}
