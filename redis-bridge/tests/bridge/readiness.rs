//! `/readyz` is true within three seconds: it says that nothing can be served once the store cannot
//! be used, that it can once the store is back, and nothing else while operations succeed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portcullis_storage_api::wire::{Get, GetAnswer, Put, PutAnswer, RefusalCause, Value, Verb};
use portcullis_storage_api::{Key, Kind, Ttl};
use portcullis_testbed::bridge::Bridge;
use portcullis_testbed::redis::{Group, RedisServer, USER, acl_with_wait, cli, free_port, standalone, until};
use portcullis_testbed::relay::Relay;

use crate::client::{Client, space};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_bridge_tells_within_three_seconds_that_its_server_stopped_and_came_back() {
    follows_every_outage(&Server::start(false), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_bridge_tells_within_three_seconds_that_its_server_stopped_and_came_back() {
    follows_every_outage(&Server::start(false), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_to_a_cluster_tells_within_three_seconds_that_its_servers_stopped_and_came_back() {
    follows_every_outage(&Server::start(true), true).await;
}

/// One server behind a relay, with a bridge to it.
struct Server {
    bridge: Arc<Bridge>,
    relay: Relay,
    redis: Mutex<RedisServer>,
}

impl Server {
    fn start(is_cluster: bool) -> Self {
        let (relay, bus) = (Relay::start().unwrap(), free_port().to_string());
        let cluster = ["--cluster-enabled", "yes", "--cluster-port", &bus];
        let redis = RedisServer::start(&acl_with_wait(), if is_cluster { &cluster } else { &[] });
        relay.lead_to(&[redis.port]);
        let words = if is_cluster {
            assert_eq!(cli(redis.port, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]), "OK");
            until("the cluster is up", || cli(redis.port, &["CLUSTER", "INFO"]).contains("cluster_state:ok"));
            format!("cluster: {{ addrs: [\"127.0.0.1:{}\"] }}, {USER}", relay.port())
        } else {
            standalone(relay.port())
        };
        Self { bridge: Arc::new(Bridge::start(&words, "")), relay, redis: Mutex::new(redis) }
    }
}

impl Server {
    /// The server refuses writes while it has fewer replicas than this.
    fn configure(&self, needed: &str) {
        let port = self.redis.lock().unwrap().port;
        assert_eq!(cli(port, &["CONFIG", "SET", "min-replicas-to-write", needed]), "OK");
    }
}

/// An outage, and its end.
type Outage = (&'static str, fn(&Server), fn(&Server));

const OUTAGES: [Outage; 5] = [
    ("killed", |server| server.redis.lock().unwrap().process.kill(), |server| server.redis.lock().unwrap().restart()),
    (
        "frozen",
        |server| server.redis.lock().unwrap().process.signal("-STOP"),
        |server| server.redis.lock().unwrap().process.signal("-CONT"),
    ),
    ("cut off", |server| server.relay.cut(), |server| server.relay.heal()),
    ("silent", |server| server.relay.silence(), |server| server.relay.heal()),
    ("without its replicas", |server| server.configure("1"), |server| server.configure("0")),
];

async fn follows_every_outage(server: &Server, is_busy: bool) {
    let load = is_busy.then(|| Load::start(&server.bridge));
    let watch = Watch::start(&server.bridge);
    for (name, begin, end) in OUTAGES {
        until("it is ready", || watch.is_ready());
        let began = Instant::now();
        begin(server);
        watch.until(false, began, name);
        // Time is what this is about: it stays so for as long as the outage lasts.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert!(!watch.is_ready(), "{name}: it says that it is ready, and no operation can succeed");
        end(server);
        watch.until(true, Instant::now(), name);
        works(&server.bridge, name).await;
    }
    if let Some(load) = load {
        load.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_is_told_within_three_seconds_of_the_fault_and_of_the_new_master() {
    for (name, fault) in [
        ("killed", (|master| master.process.kill()) as fn(&mut RedisServer)),
        ("frozen", |master| master.process.signal("-STOP")),
    ] {
        let mut group = Group::start(&acl_with_wait());
        let bridge = Arc::new(Bridge::start(&group.redis_config(), "durability: replicated"));
        until("it is ready", || bridge.observe("/readyz").starts_with("HTTP/1.1 200"));
        let (watch, load) = (Watch::start(&bridge), Load::start(&bridge));
        let former = group.master();
        let began = Instant::now();
        fault(group.server(former));
        watch.until(false, began, name);
        until("another master is announced", || group.master() != former);
        watch.until(true, Instant::now(), name);
        works(&bridge, name).await;
        load.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_closed_while_operations_succeed_never_make_it_unready() {
    let server = RedisServer::start(&acl_with_wait(), &["--timeout", "1"]);
    let bridge = Arc::new(Bridge::start(&standalone(server.port), ""));
    let watch = Watch::start(&bridge);
    // Time is what this is about: the server closes each connection that nothing is asked on.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let load = Load::start(&bridge);
    for _ in 0..100 {
        cli(server.port, &["CLIENT", "KILL", "USER", "toolhive-auth"]);
        // What was under way at this kill is over before the next one.
        load.goes_on().await;
    }
    let (served, refused) = load.end().await;
    assert!(served > 100 && refused.is_empty(), "{served} served, {refused:?}");
    watch.was_always_ready();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nat_that_forgets_costs_readiness_for_three_seconds_at_most_and_an_operation_each() {
    let server = Server::start(false);
    let (watch, load) = (Watch::start(&server.bridge), Load::start(&server.bridge));
    for round in 0..3 {
        until("it is ready", || watch.is_ready());
        tokio::time::sleep(Duration::from_millis(300 * round)).await;
        let began = Instant::now();
        server.relay.forget();
        // New connections work at once, so it need not say at all that nothing can be served.
        tokio::time::sleep(LIMIT).await;
        watch.until(true, began, "forgotten");
        works(&server.bridge, "forgotten").await;
    }
    let (served, refused) = load.end().await;
    // Of each caller's operations one a round, which was under way.
    assert!(served > 100 && refused.len() <= 3 * CALLERS, "{served} served, {refused:?}");
}

/// The answers of `/readyz`, all the time.
struct Watch {
    /// When the answer last changed, and to what.
    changes: Arc<Mutex<Vec<(Instant, bool)>>>,
    stop: Arc<AtomicBool>,
    asking: Option<JoinHandle<()>>,
}

impl Watch {
    fn start(bridge: &Arc<Bridge>) -> Self {
        let (bridge, stop) = (Arc::clone(bridge), Arc::<AtomicBool>::default());
        let changes = Arc::new(Mutex::new(vec![(Instant::now(), is_ready(&bridge))]));
        let (kept, stopped) = (Arc::clone(&changes), Arc::clone(&stop));
        let asking = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let ready = is_ready(&bridge);
                let mut changes = kept.lock().unwrap();
                if changes.last().is_none_or(|(_, last)| *last != ready) {
                    changes.push((Instant::now(), ready));
                }
                drop(changes);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { changes, stop, asking: Some(asking) }
    }

    fn is_ready(&self) -> bool {
        self.changes.lock().unwrap().last().is_some_and(|(_, ready)| *ready)
    }

    /// Waits until the answer is this, and holds when it became so within three seconds of `since`.
    fn until(&self, ready: bool, since: Instant, what: &str) {
        loop {
            let (at, now) = *self.changes.lock().unwrap().last().unwrap();
            let after = at.saturating_duration_since(since);
            if now == ready {
                assert!(after <= LIMIT, "{what}: ready is {ready} only after {after:?}");
                return;
            }
            assert!(since.elapsed() <= LIMIT, "{what}: ready is still not {ready} after {LIMIT:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn was_always_ready(&self) {
        let changes = self.changes.lock().unwrap();
        assert_eq!(changes.iter().map(|(_, ready)| *ready).collect::<Vec<_>>(), [true]);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(asking) = self.asking.take() {
            let _ = asking.join();
        }
    }
}

fn is_ready(bridge: &Bridge) -> bool {
    bridge.observe("/readyz").starts_with("HTTP/1.1 200")
}

/// Callers that go on whatever they are answered.
struct Load {
    stop: Arc<AtomicBool>,
    /// How many operations of each caller are over.
    over: Vec<Arc<AtomicUsize>>,
    callers: Vec<tokio::task::JoinHandle<(usize, Vec<RefusalCause>)>>,
}

impl Load {
    fn start(bridge: &Bridge) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let over: Vec<Arc<AtomicUsize>> = (0..CALLERS).map(|_| Arc::default()).collect();
        let callers = over
            .iter()
            .enumerate()
            .map(|(number, over)| {
                let (client, stop) = (Client::new(&bridge.socket, number == 0), Arc::clone(&stop));
                let over = Arc::clone(over);
                tokio::spawn(async move {
                    let (mut served, mut refused) = (0_usize, Vec::new());
                    while !stop.load(Ordering::Relaxed) {
                        match operate(&client).await {
                            Ok(()) => served = served.saturating_add(1),
                            Err(cause) => refused.push(cause),
                        }
                        over.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    (served, refused)
                })
            })
            .collect();
        Self { stop, over, callers }
    }

    /// Waits until each caller has begun an operation and ended it.
    async fn goes_on(&self) {
        let counts = || self.over.iter().map(|over| over.load(Ordering::Relaxed));
        let (before, started): (Vec<_>, _) = (counts().collect(), Instant::now());
        while counts().zip(&before).any(|(over, before)| over <= before.saturating_add(1)) {
            assert!(started.elapsed() < Duration::from_secs(30), "the callers stand still");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Returns how many operations were served, and the causes of the others.
    async fn end(self) -> (usize, Vec<RefusalCause>) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut all, mut causes) = (0_usize, Vec::new());
        for caller in self.callers {
            let (served, refused) = caller.await.unwrap();
            all = all.saturating_add(served);
            causes.extend(refused);
        }
        (all, causes)
    }
}

/// Holds when operations succeed, now that the bridge says so.
async fn works(bridge: &Bridge, what: &str) {
    let client = Client::new(&bridge.socket, false);
    for _ in 0..5 {
        assert_eq!(operate(&client).await, Ok(()), "{what}\n{}", bridge.log());
    }
}

async fn operate(client: &Client) -> Result<(), RefusalCause> {
    let key = Key { kind: Kind::Session, id: [9; 32] };
    let value = Value::new(b"x".to_vec()).unwrap();
    let put = Put { space: space(), key, value, ttl: Ttl::Seconds(600), mutation: client.mutation() };
    client.call::<_, PutAnswer>(Verb::Put, &put).await?;
    client.call::<_, GetAnswer>(Verb::Get, &Get { space: space(), key }).await?;
    Ok(())
}

/// How late the truth may be.
const LIMIT: Duration = Duration::from_secs(3);
const CALLERS: usize = 3;
