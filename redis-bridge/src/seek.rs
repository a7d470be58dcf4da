//! Finding the master, and leaving it when it is the master no more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{join, join_all};
use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use crate::config::{DurabilityMode, Endpoint, Place, Redis};
use crate::connection::Server;
use crate::fault::Fault;
use crate::followers::Followers;
use crate::link::{Dialer, is_master};
use crate::master::Master;
use crate::metrics::Metrics;
use crate::questions::{Questions, Said};
use crate::sentinel::{addresses, ask, listen};

/// Finds the master and connects to it once, for a program that does not serve. A cluster is searched
/// like a list of masters.
///
/// # Errors
/// The last candidate and what is wrong with it; no candidate where no sentinel knows one.
pub async fn connect_to_master(redis: &Redis) -> Result<(Endpoint, MultiplexedConnection), (Option<Endpoint>, Fault)> {
    Seeker::new(redis, DurabilityMode::Async, Default::default(), Default::default()).find().await
}

/// What is known of Redis now.
#[derive(Clone)]
pub(crate) struct Standing {
    /// The master, if one can be used.
    pub(crate) master: Option<Arc<Master>>,
    /// Why there is none.
    pub(crate) trouble: Option<String>,
    /// What a durable write waits for.
    pub(crate) waiting: Waiting,
    /// Whether anybody was asked yet.
    pub(crate) looked: bool,
}

impl Standing {
    /// Whether there is a master, and its answers reach the bridge.
    pub(crate) fn is_answering(&self) -> bool {
        self.master.as_ref().is_some_and(|master| !master.is_silent())
    }

    /// Returns what is wrong, if anything is.
    pub(crate) fn trouble(&self) -> Option<String> {
        let silent = self.master.as_ref().filter(|master| master.is_silent());
        let silent = silent.map(|master| format!("redis at {}: a connection does not answer", master.server.endpoint));
        silent.or_else(|| self.trouble.clone())
    }
}

/// What a durable write waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// A replica.
    Replica,
    /// The master alone, for this reason.
    Master(String),
    /// Nothing is served, for this reason: the configuration asks for replicas and there can be
    /// none.
    Refused(String),
}

/// Looks for the master for as long as the bridge runs.
pub(crate) struct Seeker {
    place: Place,
    mode: DurabilityMode,
    masters: Dialer,
    sentinels: Dialer,
    metrics: Arc<Metrics>,
    standing: watch::Sender<Standing>,
    nudge: Arc<Notify>,
    hint: Arc<Mutex<Option<(Endpoint, Instant)>>>,
    /// A sentinel has announced a failover.
    announced: Arc<Notify>,
    links: BTreeMap<Endpoint, MultiplexedConnection>,
    questions: Questions,
    last: Option<Endpoint>,
    /// Shared by the servers of a cluster.
    replica_seen: Arc<AtomicBool>,
    /// Whether a replica will do: in a cluster it names the slots' owners like any other.
    takes_replicas: bool,
    is_replica: bool,
    /// The replicas that were in step with the master that was asked last.
    replicas: u64,
    /// Those of the last master that was found. A connection that broke must not make a missed
    /// replica forgotten.
    followers: Option<(Endpoint, Arc<Followers>)>,
}

impl Seeker {
    /// Takes its part of the configuration.
    pub(crate) fn new(redis: &Redis, mode: DurabilityMode, metrics: Arc<Metrics>, nudge: Arc<Notify>) -> Self {
        let sentinels = Dialer::to_sentinels(redis);
        Self::to(redis.place.clone(), Dialer::to_masters(redis), sentinels, mode, metrics, nudge)
    }

    /// For one server of a cluster. `replica_seen` is shared by all of them.
    pub(crate) fn of_node(
        endpoint: &Endpoint,
        dialer: &Dialer,
        mode: DurabilityMode,
        metrics: &Arc<Metrics>,
        nudge: Arc<Notify>,
        replica_seen: Arc<AtomicBool>,
    ) -> Self {
        let place = Place::Standalone(endpoint.clone());
        let seeker = Self::to(place, dialer.clone(), dialer.clone(), mode, Arc::clone(metrics), nudge);
        Self { replica_seen, questions: Questions::new(dialer.clone(), true), takes_replicas: true, ..seeker }
    }

    fn to(
        place: Place,
        masters: Dialer,
        sentinels: Dialer,
        mode: DurabilityMode,
        metrics: Arc<Metrics>,
        nudge: Arc<Notify>,
    ) -> Self {
        let waiting = Waiting::Master("no master was asked yet".to_owned());
        let trouble = Some("no master was found yet".to_owned());
        Self {
            place,
            mode,
            questions: Questions::new(masters.clone(), false),
            masters,
            sentinels,
            metrics,
            standing: watch::Sender::new(Standing { master: None, trouble, waiting, looked: false }),
            nudge,
            hint: Arc::default(),
            announced: Arc::default(),
            links: BTreeMap::new(),
            last: None,
            replica_seen: Arc::default(),
            takes_replicas: false,
            is_replica: false,
            replicas: 0,
            followers: None,
        }
    }

    /// Where to see what it finds.
    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Looks every second, and at once when something went wrong or a sentinel speaks up; never
    /// ends.
    pub(crate) async fn run(mut self) {
        let listeners = self.listen_to_sentinels();
        let mut listeners = std::pin::pin!(listeners);
        let announced = Arc::clone(&self.announced);
        loop {
            tokio::select! {
                () = self.look() => {}
                // A server that takes a connection and says nothing is not waited for once another
                // is the master.
                () = announced.notified() => continue,
                () = &mut listeners => {}
            }
            let found = self.standing.borrow().master.is_some();
            let pause = if found { INTERVAL } else { RETRY };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // Not more often than this, however much goes wrong at once.
                () = async { self.nudge.notified().await; tokio::time::sleep(NUDGED).await } => {}
                () = &mut listeners => {}
            }
        }
    }

    /// Looks once: keeps the master that still is one, or finds another.
    pub(crate) async fn look(&mut self) {
        let candidates = self.candidates().await;
        let current = self.standing.borrow().master.clone();
        let silent = candidates.is_empty();
        let mut trouble = "no sentinel knows a master".to_owned();
        for endpoint in candidates {
            if let Some(master) = current.as_ref().filter(|master| master.server.endpoint == endpoint) {
                match self.still(master).await {
                    Ok(()) => return self.publish(Some(Arc::clone(master)), None),
                    Err(fault) => {
                        tracing::warn!(address = %endpoint, fault = fault.name(), "redis master lost");
                        master.retire();
                    }
                }
            }
            // The one that was lost may stay silent, and the sentinels must be asked again
            // meanwhile.
            let lost = matches!(self.place, Place::Sentinel { .. }) && self.last.as_ref() == Some(&endpoint);
            let patience = if lost { QUESTION } else { self.masters.timeout().saturating_mul(3) };
            match timeout(patience, self.connect(&endpoint)).await.unwrap_or(Err(Fault::TimedOut)) {
                Ok(master) => {
                    if let Some(former) = &current {
                        former.retire();
                    }
                    self.found(&endpoint);
                    return self.publish(Some(Arc::new(master)), None);
                }
                Err(fault) => {
                    self.metrics.fault(fault);
                    trouble = format!("redis at {endpoint}: {}", fault.name());
                }
            }
        }
        // Sentinels that are all away are no reason to leave a master that still says it is one.
        if let Some(master) = current {
            if silent && self.still(&master).await.is_ok() {
                tracing::debug!(address = %master.server.endpoint, "no sentinel answers; the known redis master is kept");
                return self.publish(Some(master), None);
            }
            master.retire();
        }
        self.publish(None, Some(trouble));
    }

    async fn find(&mut self) -> Result<(Endpoint, MultiplexedConnection), (Option<Endpoint>, Fault)> {
        let mut last = (None, Fault::NoMaster);
        for endpoint in self.candidates().await {
            let tried = async {
                let mut connection = self.masters.connect(&endpoint).await?;
                if is_master(&mut connection).await? { Ok(connection) } else { Err(Fault::NotMaster) }
            };
            match tried.await {
                Ok(connection) => return Ok((endpoint, connection)),
                Err(fault) => last = (Some(endpoint), fault),
            }
        }
        Err(last)
    }

    fn found(&mut self, endpoint: &Endpoint) {
        match self.last.replace(endpoint.clone()) {
            Some(former) if former != *endpoint => {
                self.metrics.master_changes.add();
                tracing::warn!(from = %former, to = %endpoint, "redis failover: the master moved");
            }
            Some(_) if self.is_replica => tracing::info!(address = %endpoint, "redis replica connected again"),
            Some(_) => tracing::info!(address = %endpoint, "redis master connected again"),
            None if self.is_replica => tracing::info!(address = %endpoint, role = "replica", "redis replica connected"),
            None => tracing::info!(address = %endpoint, role = "master", "redis master connected"),
        }
    }

    fn publish(&self, master: Option<Arc<Master>>, trouble: Option<String>) {
        let former = self.standing.borrow().clone();
        // What is known of a master that is away is not forgotten, and not reported as news.
        let waiting = if master.is_none() && former.looked { former.waiting.clone() } else { self.waiting() };
        if former.trouble != trouble
            && let Some(trouble) = &trouble
        {
            tracing::error!(reason = trouble, "redis cannot be used");
        }
        if former.waiting != waiting && (master.is_some() || former.master.is_some()) {
            match &waiting {
                Waiting::Replica => {
                    tracing::info!(durability = "replicated", "redis durable writes wait for a replica")
                }
                Waiting::Master(reason) => {
                    tracing::warn!(durability = "async", reason, "redis durable writes wait for the master alone");
                }
                Waiting::Refused(reason) => {
                    tracing::error!(durability = "refused", reason, "redis is not used: durability: replicated");
                }
            }
        }
        self.standing.send_replace(Standing { master, trouble, waiting, looked: true });
    }

    fn waiting(&self) -> Waiting {
        let reason = match (self.mode, self.replica_seen.load(Ordering::Relaxed)) {
            (DurabilityMode::Async, _) => return Waiting::Master("durability: async".to_owned()),
            // A grant that was taken away is no lost replica: there is nothing to wait with.
            _ if self.questions.is_denied() => "the ACL user may not call WAIT (grant it with +WAIT)",
            // Once seen, for good: a master that was cut off from its replicas is just the one
            // whose writes get lost.
            (_, true) => return Waiting::Replica,
            // Nothing is written to it while it is one, and it may be none the next moment.
            _ if self.is_replica => return Waiting::Replica,
            (_, false) if !self.questions.has_connected() => "no master was asked yet",
            (_, false) => "the master has no replica",
        };
        if self.mode == DurabilityMode::Replicated {
            Waiting::Refused(reason.to_owned())
        } else {
            Waiting::Master(reason.to_owned())
        }
    }

    async fn connect(&mut self, endpoint: &Endpoint) -> Result<Master, Fault> {
        self.questions.turn_to(endpoint).await?;
        let server = Server {
            endpoint: endpoint.clone(),
            dialer: self.masters.clone(),
            takes_replicas: self.takes_replicas,
            metrics: Arc::clone(&self.metrics),
        };
        let shared = server.open().await?;
        // At once, since after a failover the former master is left only when the new one is found.
        let said = self.questions.ask(0, Duration::ZERO).await?;
        self.note(said);
        if self.replicas == 0 && self.mode != DurabilityMode::Async && !self.replica_seen.load(Ordering::Relaxed) {
            // What would be concluded now is that there is none, and it may only be late to
            // confirm.
            let patience = if self.mode == DurabilityMode::Replicated { FIRST_CONFIRM } else { CONFIRM };
            let said = self.questions.ask(1, patience).await?;
            self.note(said);
        }
        let followers = match self.followers.take() {
            Some((known, followers)) if known == *endpoint => followers,
            Some(_) | None => Arc::new(Followers::new(self.replicas)),
        };
        followers.connected(self.replicas);
        self.followers = Some((endpoint.clone(), Arc::clone(&followers)));
        Ok(Master::new(server, shared, followers))
    }

    /// Whether a master that was found is one still. Every connection to it is asked, and the
    /// shared one replaced where it is closed: what counts is whether operations reach the master.
    async fn still(&mut self, master: &Master) -> Result<(), Fault> {
        let (said, ()) = join(self.questions.ask_again(&master.server.endpoint), master.ask_connections()).await;
        self.note(said?);
        master.shared().await?;
        master.has_replicas(self.replicas);
        Ok(())
    }

    fn note(&mut self, said: Said) {
        self.is_replica = said == Said::Replica;
        self.replicas = if let Said::Master { replicas } = said { replicas } else { 0 };
        if self.replicas > 0 {
            self.replica_seen.store(true, Ordering::Relaxed);
        }
    }

    /// Where the master may be, the likeliest first: what a sentinel has just announced, then what
    /// most of them say.
    async fn candidates(&mut self) -> Vec<Endpoint> {
        let (name, sentinels) = match &self.place {
            Place::Standalone(endpoint) => return vec![endpoint.clone()],
            Place::Cluster(_) => return Vec::new(),
            Place::Sentinel { master_name, sentinels } => (master_name.clone(), sentinels.clone()),
        };
        let resolve = !self.sentinels.is_tls();
        let known: Vec<Endpoint> =
            join_all(sentinels.iter().map(|sentinel| addresses(sentinel, resolve))).await.concat();
        let dialer = &self.sentinels;
        let links = &mut self.links;
        let asked = known.into_iter().map(|sentinel| {
            let (link, name) = (links.remove(&sentinel), &name);
            async move {
                let asked = timeout(QUESTION, ask(dialer, &sentinel, link, name)).await;
                (sentinel, asked.unwrap_or(Err(Fault::TimedOut)))
            }
        });
        let answers = join_all(asked.collect::<Vec<_>>()).await;
        let mut votes: BTreeMap<Endpoint, usize> = BTreeMap::new();
        for (sentinel, answer) in answers {
            match answer {
                Ok((link, said)) => {
                    self.links.insert(sentinel, link);
                    if let Some(endpoint) = said {
                        let count = votes.entry(endpoint).or_default();
                        *count = count.saturating_add(1);
                    }
                }
                Err(fault) => tracing::debug!(%sentinel, fault = fault.name(), "redis sentinel does not answer"),
            }
        }
        let hint = self.hint.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let hint = hint.filter(|(_, at)| at.elapsed() < HINT).map(|(endpoint, _)| endpoint);
        let mut ranked: Vec<(Endpoint, usize)> = votes.into_iter().collect();
        // Of two with as many votes the known one stays first.
        ranked.sort_by_key(|(endpoint, count)| (std::cmp::Reverse(*count), self.last.as_ref() != Some(endpoint)));
        let ranked = ranked.into_iter().map(|(endpoint, _)| endpoint).filter(|said| Some(said) != hint.as_ref());
        hint.clone().into_iter().chain(ranked).collect()
    }

    /// Hears each sentinel's announcements. They are hints only: what they name is asked for its
    /// role like any other.
    fn listen_to_sentinels(&self) -> impl Future<Output = ()> + use<> {
        let (name, sentinels) = match &self.place {
            Place::Standalone(_) | Place::Cluster(_) => (String::new(), Vec::new()),
            Place::Sentinel { master_name, sentinels } => (master_name.clone(), sentinels.clone()),
        };
        let (dialer, hint) = (self.sentinels.clone(), Arc::clone(&self.hint));
        let (nudge, announced) = (Arc::clone(&self.nudge), Arc::clone(&self.announced));
        async move {
            let listeners = sentinels.iter().map(|sentinel| async {
                loop {
                    listen(&dialer, sentinel, &name, |endpoint| {
                        *hint.lock().unwrap_or_else(PoisonError::into_inner) = Some((endpoint, Instant::now()));
                        nudge.notify_one();
                        // Only who waits now: what begins to look later finds the hint.
                        announced.notify_waiters();
                    })
                    .await;
                    tokio::time::sleep(INTERVAL).await;
                }
            });
            join_all(listeners).await;
            std::future::pending().await
        }
    }
}

const INTERVAL: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(200);
const NUDGED: Duration = Duration::from_millis(20);
const QUESTION: Duration = Duration::from_secs(1);
/// How long a first replica may take to confirm, to be known.
const CONFIRM: Duration = Duration::from_millis(100);
/// The same where nothing is served without one.
const FIRST_CONFIRM: Duration = Duration::from_millis(600);
const HINT: Duration = Duration::from_secs(3);
