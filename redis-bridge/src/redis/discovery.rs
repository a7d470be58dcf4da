//! The discovery of a master, and its replacement when the master changes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::config::{DurabilityMode, Endpoint, Place, Redis};
use crate::metrics::Metrics;
use crate::redis::connection::Server;
use crate::redis::dialer::{Dialer, is_master};
use crate::redis::master::Master;
use crate::redis::master_state::{MasterState, WriteDurability};
use crate::redis::probe::{Probe, ProbeResult};
use crate::redis::redis_error::RedisError;
use crate::redis::replication::Replication;
use crate::redis::sentinel_group::SentinelGroup;

/// Connects to the master once, for a program that does not serve. A cluster has no single master.
///
/// # Errors
/// The last candidate and its failure; no candidate if there is none.
pub async fn connect_to_master(
    redis: &Redis,
) -> Result<(Endpoint, MultiplexedConnection), (Option<Endpoint>, RedisError)> {
    // It probes nothing, so it needs no prefix.
    MasterDiscovery::new(redis, "", DurabilityMode::Async, Default::default(), Default::default()).find().await
}

/// Searches and watches one master for as long as the bridge runs.
pub(crate) struct MasterDiscovery {
    source: MasterSource,
    mode: DurabilityMode,
    dialer: Dialer,
    metrics: Arc<Metrics>,
    state: watch::Sender<MasterState>,
    /// Requests a refresh before the next interval.
    refresh: Arc<Notify>,
    probe: Probe,
    /// The last master that was connected.
    last: Option<Endpoint>,
    /// Whether any replica was ever in sync. Shared by the servers of a cluster: a promoted one
    /// whose former master is gone must count it as missing.
    replica_seen: Arc<AtomicBool>,
    /// Whether a replica is used like a master: in a cluster it redirects to a slot's owner.
    accepts_replicas: bool,
    is_replica: bool,
    /// Replicas in sync at the last probe.
    replicas: u64,
    /// The replication of the last master, kept over a lost connection so that a missing replica
    /// stays required.
    replication: Option<(Endpoint, Arc<Replication>)>,
}

/// Where the address of the master comes from.
enum MasterSource {
    /// The configuration. Empty for a cluster, each server of which has a discovery of its own.
    Fixed(Vec<Endpoint>),
    Sentinels(Box<SentinelGroup>),
}

impl MasterDiscovery {
    /// Creates the discovery of the configured master.
    pub(crate) fn new(
        redis: &Redis,
        key_prefix: &str,
        mode: DurabilityMode,
        metrics: Arc<Metrics>,
        refresh: Arc<Notify>,
    ) -> Self {
        let source = match &redis.place {
            Place::Standalone(endpoint) => MasterSource::Fixed(vec![endpoint.clone()]),
            Place::Cluster(_) => MasterSource::Fixed(Vec::new()),
            Place::Sentinel { master_name, sentinels } => {
                let group = SentinelGroup::new(master_name, sentinels, Dialer::to_sentinels(redis));
                MasterSource::Sentinels(Box::new(group))
            }
        };
        Self::with_source(source, Dialer::to_masters(redis, key_prefix), mode, metrics, refresh)
    }

    /// Creates the discovery of one server of a cluster. `replica_seen` is shared by all servers.
    pub(crate) fn of_cluster_server(
        endpoint: &Endpoint,
        dialer: &Dialer,
        mode: DurabilityMode,
        metrics: &Arc<Metrics>,
        refresh: Arc<Notify>,
        replica_seen: Arc<AtomicBool>,
    ) -> Self {
        let source = MasterSource::Fixed(vec![endpoint.clone()]);
        let discovery = Self::with_source(source, dialer.clone(), mode, Arc::clone(metrics), refresh);
        Self { replica_seen, probe: Probe::new(dialer.clone(), true), accepts_replicas: true, ..discovery }
    }

    fn with_source(
        source: MasterSource,
        dialer: Dialer,
        mode: DurabilityMode,
        metrics: Arc<Metrics>,
        refresh: Arc<Notify>,
    ) -> Self {
        let durability = WriteDurability::Async("no master was probed yet".to_owned());
        let error = Some("no master was found yet".to_owned());
        Self {
            source,
            mode,
            probe: Probe::new(dialer.clone(), false),
            dialer,
            metrics,
            state: watch::Sender::new(MasterState { master: None, error, durability, probed: false }),
            refresh,
            last: None,
            replica_seen: Arc::default(),
            accepts_replicas: false,
            is_replica: false,
            replicas: 0,
            replication: None,
        }
    }

    /// Returns a receiver of the latest state.
    pub(crate) fn state(&self) -> watch::Receiver<MasterState> {
        self.state.subscribe()
    }

    /// Refreshes every second, and at once after a failed operation or an announced failover; never
    /// ends.
    pub(crate) async fn run(mut self) {
        let (mut listening, failover) = self.listen();
        loop {
            tokio::select! {
                () = self.refresh() => {}
                // A silent server is not waited for once another is announced as the master.
                () = failover.notified() => continue,
                () = &mut listening => {}
            }
            let is_useful = self.state.borrow().error.is_none();
            let interval = if is_useful { INTERVAL } else { RETRY_INTERVAL };
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                // The pause bounds the rate, however many operations fail at once.
                () = async { self.refresh.notified().await; tokio::time::sleep(MIN_INTERVAL).await } => {}
                () = &mut listening => {}
            }
        }
    }

    fn listen(&self) -> (Pin<Box<dyn Future<Output = ()> + Send>>, Arc<Notify>) {
        match &self.source {
            MasterSource::Fixed(_) => (Box::pin(std::future::pending()), Arc::default()),
            MasterSource::Sentinels(group) => (Box::pin(group.listen(Arc::clone(&self.refresh))), group.failover()),
        }
    }

    /// Keeps the current master if it still is one, or connects to another, and publishes the
    /// state.
    pub(crate) async fn refresh(&mut self) {
        let candidates = self.candidate_masters().await;
        let current = self.state.borrow().master.clone();
        let no_candidates = candidates.is_empty();
        let mut last_error = "no sentinel knows a master".to_owned();
        for endpoint in candidates {
            if let Some(master) = current.as_ref().filter(|master| master.server.endpoint == endpoint) {
                match self.verify_master(master).await {
                    Ok(()) => return self.publish(Some(Arc::clone(master)), self.refusal(&endpoint)),
                    Err(error) => {
                        tracing::warn!(address = %endpoint, fault = error.name(), "redis master lost");
                        master.retire();
                    }
                }
            }
            // A lost master may stay silent, and the sentinels must be asked again meanwhile.
            let is_lost = matches!(self.source, MasterSource::Sentinels(_)) && self.last.as_ref() == Some(&endpoint);
            let limit = if is_lost { LOST_TIMEOUT } else { self.dialer.timeout().saturating_mul(3) };
            match timeout(limit, self.connect(&endpoint)).await.unwrap_or(Err(RedisError::TimedOut)) {
                Ok(master) => {
                    if let Some(former) = &current {
                        former.retire();
                    }
                    self.record_master(&endpoint);
                    return self.publish(Some(Arc::new(master)), self.refusal(&endpoint));
                }
                Err(error) => {
                    self.metrics.redis_error(error);
                    last_error = format!("redis at {endpoint}: {}", error.name());
                }
            }
        }
        // Without any sentinel a master that still has the role is kept.
        if let Some(master) = current {
            if no_candidates && self.verify_master(&master).await.is_ok() {
                let address = &master.server.endpoint;
                tracing::debug!(%address, "no redis sentinel answers; keeping the known master");
                let refusal = self.refusal(address);
                return self.publish(Some(Arc::clone(&master)), refusal);
            }
            master.retire();
        }
        self.publish(None, Some(last_error));
    }

    /// Returns why the master that was just probed is of no use although it answers.
    fn refusal(&self, endpoint: &Endpoint) -> Option<String> {
        self.probe.refusal().map(|refusal| format!("redis at {endpoint} refuses writes: {}", refusal.name()))
    }

    async fn find(&mut self) -> Result<(Endpoint, MultiplexedConnection), (Option<Endpoint>, RedisError)> {
        let mut last = (None, RedisError::NoMaster);
        for endpoint in self.candidate_masters().await {
            let connect = async {
                let mut connection = self.dialer.connect(&endpoint).await?;
                if is_master(&mut connection).await? { Ok(connection) } else { Err(RedisError::NotMaster) }
            };
            match connect.await {
                Ok(connection) => return Ok((endpoint, connection)),
                Err(error) => last = (Some(endpoint), error),
            }
        }
        Err(last)
    }

    async fn candidate_masters(&mut self) -> Vec<Endpoint> {
        match &mut self.source {
            MasterSource::Fixed(endpoints) => endpoints.clone(),
            MasterSource::Sentinels(group) => group.candidate_masters(self.last.as_ref()).await,
        }
    }

    fn record_master(&mut self, endpoint: &Endpoint) {
        match self.last.replace(endpoint.clone()) {
            Some(former) if former != *endpoint => {
                self.metrics.master_changes.add();
                tracing::warn!(from = %former, to = %endpoint, "redis failover: the master changed");
            }
            Some(_) if self.is_replica => tracing::info!(address = %endpoint, "redis replica connected again"),
            Some(_) => tracing::info!(address = %endpoint, "redis master connected again"),
            None if self.is_replica => tracing::info!(address = %endpoint, role = "replica", "redis replica connected"),
            None => tracing::info!(address = %endpoint, role = "master", "redis master connected"),
        }
    }

    fn publish(&self, master: Option<Arc<Master>>, error: Option<String>) {
        let former = self.state.borrow().clone();
        // The durability of a lost master is kept, and not logged as a change.
        let durability = if master.is_none() && former.probed { former.durability.clone() } else { self.durability() };
        if former.error != error
            && let Some(reason) = &error
        {
            tracing::error!(reason, "redis cannot be used");
        }
        if former.durability != durability && (master.is_some() || former.master.is_some()) {
            match &durability {
                WriteDurability::Replicated => {
                    tracing::info!(durability = "replicated", "redis durable writes wait for the replicas");
                }
                WriteDurability::Async(reason) => {
                    tracing::warn!(durability = "async", reason, "redis durable writes wait for the master alone");
                }
                WriteDurability::Refused(reason) => {
                    tracing::error!(
                        durability = "refused",
                        reason,
                        "redis is not used because of `durability: replicated`"
                    );
                }
            }
        }
        self.state.send_replace(MasterState { master, error, durability, probed: true });
    }

    fn durability(&self) -> WriteDurability {
        let reason = match (self.mode, self.replica_seen.load(Ordering::Relaxed)) {
            (DurabilityMode::Async, _) => return WriteDurability::Async("durability: async".to_owned()),
            // A revoked grant is not a lost replica: the bridge has no means to wait.
            _ if self.probe.is_wait_denied() => "the ACL user may not call WAIT (grant it with +WAIT)",
            // Sticky: a master that is cut off from its replicas is the one whose writes get lost.
            (_, true) => return WriteDurability::Replicated,
            // A replica takes no writes now, and may be promoted at any moment.
            _ if self.is_replica => return WriteDurability::Replicated,
            (_, false) if !self.probe.has_connection() => "no master was probed yet",
            (_, false) => "the master has no replica",
        };
        if self.mode == DurabilityMode::Replicated {
            WriteDurability::Refused(reason.to_owned())
        } else {
            WriteDurability::Async(reason.to_owned())
        }
    }

    async fn connect(&mut self, endpoint: &Endpoint) -> Result<Master, RedisError> {
        self.probe.connect(endpoint).await?;
        let server = Server {
            endpoint: endpoint.clone(),
            dialer: self.dialer.clone(),
            accepts_replicas: self.accepts_replicas,
            metrics: Arc::clone(&self.metrics),
        };
        let shared = server.open().await?;
        // Without waiting: after a failover the former master is retired only when the new one is
        // found.
        let result = self.probe.run(0, Duration::ZERO).await?;
        self.record_probe(result);
        if self.replicas == 0 && self.mode != DurabilityMode::Async && !self.replica_seen.load(Ordering::Relaxed) {
            // A replica that is only slow to acknowledge must not be taken for none.
            let replicated = self.mode == DurabilityMode::Replicated;
            let wait_timeout = if replicated { REQUIRED_REPLICA_TIMEOUT } else { FIRST_REPLICA_TIMEOUT };
            let result = self.probe.run(1, wait_timeout).await?;
            self.record_probe(result);
        }
        let replication = match self.replication.take() {
            Some((known, replication)) if known == *endpoint => replication,
            Some(_) | None => Arc::new(Replication::new(self.replicas)),
        };
        replication.set_connected(self.replicas);
        self.replication = Some((endpoint.clone(), Arc::clone(&replication)));
        Ok(Master::new(server, shared, replication))
    }

    /// Probes the server and every connection to it, and replaces a closed shared connection: the
    /// master is verified only if operations reach it.
    async fn verify_master(&mut self, master: &Master) -> Result<(), RedisError> {
        let (result, ()) = join(self.probe.rerun(&master.server.endpoint), master.probe_connections()).await;
        self.record_probe(result?);
        master.shared().await?;
        master.set_connected_replicas(self.replicas);
        Ok(())
    }

    fn record_probe(&mut self, result: ProbeResult) {
        self.is_replica = result == ProbeResult::Replica;
        self.replicas = if let ProbeResult::Master { replicas } = result { replicas } else { 0 };
        if self.replicas > 0 {
            self.replica_seen.store(true, Ordering::Relaxed);
        }
    }
}

const INTERVAL: Duration = Duration::from_secs(1);
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
const MIN_INTERVAL: Duration = Duration::from_millis(20);
/// The time to reconnect to a master that was lost, if sentinels may name another.
const LOST_TIMEOUT: Duration = Duration::from_secs(1);
/// The time for the first acknowledgement of a replica, after which the master counts as having
/// none.
const FIRST_REPLICA_TIMEOUT: Duration = Duration::from_millis(100);
/// The same if `durability: replicated` refuses to serve without one.
const REQUIRED_REPLICA_TIMEOUT: Duration = Duration::from_millis(600);
