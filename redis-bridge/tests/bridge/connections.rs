//! Connections to Redis that are forgotten on their way, closed for being idle, killed, or lead to
//! a replica: the bridge notices by what each connection answers, and operations are tried once
//! more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use portcullis_storage_api::wire::{
    CompareAndSwap, Delete, DeleteAnswer, Get, GetAnswer, Lock, LockAnswer, Member, MemberAnswer, MemberWrite, Put,
    PutAnswer, RefusalCause, TakeTokens, TakeTokensAnswer, Unlock, UnlockAnswer, Value, Verb, WriteAnswer,
};
use portcullis_storage_api::{Bucket, Key, Kind, Owner, Ttl, Version};
use portcullis_testbed::bridge::Bridge;
use portcullis_testbed::redis::{
    Group, RedisServer, Sentinel, USER, acl_with_wait, behind, cli, free_port, standalone, until,
};
use portcullis_testbed::relay::Relay;

use crate::client::{Client, space};

/// How the bridge finds a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Standalone,
    Sentinel,
    Cluster,
}

/// A bridge that reaches a master over a relay.
struct Reached {
    bridge: Arc<Bridge>,
    relay: Relay,
    server: RedisServer,
    // Their ends end them.
    _replica: Option<RedisServer>,
    _sentinel: Option<Sentinel>,
}

impl Reached {
    /// The master gets these further arguments; with a replica wherever there can be one, so that
    /// durable writes wait.
    fn start(way: Way, arguments: &[&str]) -> Self {
        let relay = Relay::start().unwrap();
        let bus = free_port().to_string();
        let cluster = ["--cluster-enabled", "yes", "--cluster-port", &bus];
        let own = if way == Way::Cluster { &cluster[..] } else { &[] };
        let server = RedisServer::start(&acl_with_wait(), &[own, arguments].concat());
        relay.lead_to(&[server.port]);
        let replica = (way != Way::Cluster).then(|| RedisServer::replica_of(server.port, &acl_with_wait()));
        let sentinel = (way == Way::Sentinel).then(|| Sentinel::start(relay.port()));
        let redis = match (way, &sentinel) {
            (Way::Sentinel, Some(sentinel)) => behind(std::slice::from_ref(sentinel)),
            (Way::Cluster, _) => {
                assert_eq!(cli(server.port, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]), "OK");
                until("the cluster is up", || cli(server.port, &["CLUSTER", "INFO"]).contains("cluster_state:ok"));
                format!("cluster: {{ addrs: [\"127.0.0.1:{}\"] }}, {USER}", relay.port())
            }
            (Way::Standalone | Way::Sentinel, _) => standalone(relay.port()),
        };
        let durability = if way == Way::Cluster { "" } else { "durability: replicated" };
        let bridge = Arc::new(Bridge::start(&redis, durability));
        Self { bridge, relay, server, _replica: replica, _sentinel: sentinel }
    }

    fn lost(&self, reason: &str) -> u64 {
        self.bridge.metric(&format!("portcullis_bridge_redis_lost_connections_total{{reason=\"{reason}\"}}"))
    }

    fn is_ready(&self) -> bool {
        self.bridge.observe("/readyz").starts_with("HTTP/1.1 200")
    }

    /// The log never says that the master is gone.
    fn kept_its_master(&self) {
        let log = self.bridge.log();
        assert!(!log.contains("redis master lost") && !log.contains("redis cannot be used"), "{log}");
        assert_eq!(self.bridge.metric("portcullis_bridge_redis_master_changes_total"), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_connections_of_a_single_server_are_replaced_within_seconds() {
    forgotten_connections_are_replaced(Way::Standalone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_connections_of_a_master_behind_sentinels_are_replaced_within_seconds() {
    forgotten_connections_are_replaced(Way::Sentinel).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_connections_of_a_cluster_are_replaced_within_seconds() {
    forgotten_connections_are_replaced(Way::Cluster).await;
}

async fn forgotten_connections_are_replaced(way: Way) {
    let reached = Reached::start(way, &[]);
    let clients: Vec<Client> = (0..4).map(|number| Client::new(&reached.bridge.socket, number % 2 == 0)).collect();
    for client in &clients {
        durably(client).await;
    }

    let (recovered, bridge) = (Arc::new(AtomicBool::new(false)), Arc::clone(&reached.bridge));
    let seen = Arc::clone(&recovered);
    let observed = tokio::task::spawn_blocking(move || {
        let mut unready = None;
        while unready.is_none() && !seen.load(Ordering::Relaxed) {
            unready = Some(bridge.observe("/readyz")).filter(|answer| answer.starts_with("HTTP/1.1 503"));
        }
        unready
    });
    reached.relay.forget();
    let started = Instant::now();
    let failures = clients.iter().map(|client| async {
        let mut failures = Vec::new();
        while let Err(cause) = client.call::<_, PutAnswer>(Verb::Put, &put(client, 0)).await {
            failures.push(cause);
        }
        failures
    });
    let failures: Vec<Vec<RefusalCause>> = futures_util::future::join_all(failures).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(failures.iter().all(|failures| failures.len() <= 1), "{failures:?}");
    recovered.store(true, Ordering::Relaxed);
    let unready = observed.await.unwrap().expect("it does not say that it is ready all the while");
    assert!(unready.contains("a connection does not answer"), "{unready}");
    until("it is ready again", || reached.is_ready());
    reached.kept_its_master();

    // With nothing to do it notices as well, and no operation pays for it.
    let before = reached.lost("silent");
    assert!(before >= 1);
    reached.relay.forget();
    until("the silence is noticed", || reached.lost("silent") > before);
    until("it is ready again", || reached.is_ready());
    for client in &clients {
        let _: PutAnswer = client.call(Verb::Put, &put(client, 0)).await.unwrap();
    }
    reached.kept_its_master();
}

#[tokio::test]
async fn a_connection_is_never_idle_for_so_long_that_it_is_forgotten() {
    let reached = Reached::start(Way::Standalone, &[]);
    let clients = [false, true].map(|durable| Client::new(&reached.bridge.socket, durable));
    durably(&clients[1]).await;
    reached.relay.forget_idle(Duration::from_millis(2_500));
    // Time is what this is about: so long nothing is asked of the bridge.
    tokio::time::sleep(Duration::from_millis(4_000)).await;
    for client in &clients {
        let _: PutAnswer = client.call(Verb::Put, &put(client, 5)).await.unwrap();
    }
    assert_eq!((reached.lost("silent"), reached.lost("closed")), (0, 0));
    reached.kept_its_master();
}

#[tokio::test]
async fn a_single_server_that_closes_idle_connections_costs_no_operation() {
    idle_connections_may_be_closed(Way::Standalone).await;
}

#[tokio::test]
async fn a_master_behind_sentinels_that_closes_idle_connections_costs_no_operation() {
    idle_connections_may_be_closed(Way::Sentinel).await;
}

#[tokio::test]
async fn a_cluster_that_closes_idle_connections_costs_no_operation() {
    idle_connections_may_be_closed(Way::Cluster).await;
}

async fn idle_connections_may_be_closed(way: Way) {
    let reached = Reached::start(way, &["--timeout", "1"]);
    let clients = [false, true].map(|durable| Client::new(&reached.bridge.socket, durable));
    durably(&clients[1]).await;
    for quiet in [2_000, 2_500, 3_000] {
        // Time is what this is about: so long nothing is asked of the bridge.
        tokio::time::sleep(Duration::from_millis(quiet)).await;
        for client in &clients {
            let _: PutAnswer = client.call(Verb::Put, &put(client, 1)).await.unwrap();
            let _: GetAnswer = client.call(Verb::Get, &Get { space: space(), key: key(1) }).await.unwrap();
        }
        assert!(reached.is_ready());
    }
    reached.kept_its_master();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_times_all_connections_are_killed_and_no_operation_of_a_single_server_fails() {
    killed_connections_cost_nothing(Way::Standalone, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_connections_of_a_master_behind_sentinels_cost_no_operation() {
    killed_connections_cost_nothing(Way::Sentinel, 30).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_connections_of_a_cluster_cost_no_operation() {
    killed_connections_cost_nothing(Way::Cluster, 30).await;
}

async fn killed_connections_cost_nothing(way: Way, times: u32) {
    let reached = Reached::start(way, &[]);
    let clients: Vec<Client> = (0..4).map(|number| Client::new(&reached.bridge.socket, number % 2 == 0)).collect();
    durably(&clients[0]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let done: Vec<Arc<AtomicU32>> = clients.iter().map(|_| Arc::default()).collect();
    let workers: Vec<_> = clients
        .into_iter()
        .zip(done.clone())
        .map(|(client, done)| {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let put = client.call::<_, PutAnswer>(Verb::Put, &put(&client, 2)).await.map(|_| ());
                    let get = client.call::<_, GetAnswer>(Verb::Get, &Get { space: space(), key: key(2) }).await;
                    failures.extend(put.and(get.map(|_| ())).err());
                    done.fetch_add(1, Ordering::Relaxed);
                }
                failures
            })
        })
        .collect();
    let port = reached.server.port;
    tokio::task::spawn_blocking(move || {
        for _ in 0..times {
            cli(port, &["CLIENT", "KILL", "USER", "toolhive-auth"]);
            let before: Vec<u32> = done.iter().map(|done| done.load(Ordering::Relaxed)).collect();
            // What was under way at this kill is over before the next one.
            until("every worker has gone on", || {
                done.iter().zip(&before).all(|(done, before)| done.load(Ordering::Relaxed) > before.saturating_add(1))
            });
        }
    })
    .await
    .unwrap();
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        let failures = worker.await.unwrap();
        assert!(failures.is_empty(), "{failures:?}\n{}\n{}", reached.bridge.log(), reached.bridge.observe("/metrics"));
    }
    assert!(reached.lost("closed") >= u64::from(times), "{}", reached.lost("closed"));
    reached.kept_its_master();
}

#[tokio::test]
async fn an_operation_whose_answer_is_lost_is_done_once_and_answered_as_if_nothing_had_happened() {
    let relay = Relay::start().unwrap();
    let server = RedisServer::start(&acl_with_wait(), &[]);
    relay.lead_to(&[server.port]);
    // Long enough for a busy machine.
    let bridge = Bridge::start(&standalone(relay.port()), "limits: { deadline: 20s }");
    let client = || Client::new(&bridge.socket, false);
    let (first, bucket) = (client(), Bucket { capacity: 2, period_seconds: 600 });
    let owner = Owner([7; 16]);
    let mut versions = Vec::new();
    for number in [12, 13] {
        let written: PutAnswer = first.call(Verb::Put, &put(&first, number)).await.unwrap();
        versions.push(written.version);
    }
    let _: MemberAnswer = first.call(Verb::AddMember, &member(&first, 1)).await.unwrap();
    let _: LockAnswer = first.call(Verb::Lock, &lock(&first, 14, owner)).await.unwrap();

    relay.lose_answers();
    let [c0, c1, c2, c3, c4, c5, c6, c7, c8, c9] = [(); 10].map(|()| client());
    let (new, set, deleted, swapped, added, removed, locked, unlocked, granted, read) = tokio::join!(
        async { c0.call::<_, WriteAnswer>(Verb::PutNew, &put(&c0, 10)).await.unwrap() },
        async { c1.call::<_, PutAnswer>(Verb::Put, &put(&c1, 16)).await.unwrap() },
        async { c2.call::<_, DeleteAnswer>(Verb::Delete, &delete(&c2, 12)).await.unwrap() },
        async { c3.call::<_, WriteAnswer>(Verb::CompareAndSwap, &swap(&c3, 13, versions[1])).await.unwrap() },
        async { c4.call::<_, MemberAnswer>(Verb::AddMember, &member(&c4, 2)).await.unwrap() },
        async { c5.call::<_, MemberAnswer>(Verb::RemoveMember, &member(&c5, 1)).await.unwrap() },
        async { c6.call::<_, LockAnswer>(Verb::Lock, &lock(&c6, 15, owner)).await.unwrap() },
        async { c7.call::<_, UnlockAnswer>(Verb::Unlock, &unlock(&c7, 14, owner)).await.unwrap() },
        async { c8.call::<_, TakeTokensAnswer>(Verb::TakeTokens, &tokens(&c8, bucket)).await.unwrap() },
        async { c9.call::<_, GetAnswer>(Verb::Get, &Get { space: space(), key: key(13) }).await.unwrap() },
    );
    assert_eq!(bridge.metric("portcullis_bridge_redis_lost_connections_total{reason=\"silent\"}"), 1);
    let calls = cli(server.port, &["INFO", "commandstats"]);
    let scripts = calls.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next());
    // Each of the four before once, each of the nine twice: Redis had done them all the first time.
    assert_eq!(scripts, Some("22"), "{calls}");

    assert!(new.version.is_some(), "a retry found its own record in the way");
    assert!(deleted.deleted && swapped.version.is_some());
    assert!(added.changed && removed.changed && locked.held && unlocked.released && granted.granted);
    assert!(read.record.is_some());
    let present: GetAnswer = first.call(Verb::Get, &Get { space: space(), key: key(16) }).await.unwrap();
    assert_eq!(present.record.unwrap().version, set.version, "the retry wrote again");
    let present: GetAnswer = first.call(Verb::Get, &Get { space: space(), key: key(13) }).await.unwrap();
    assert_eq!(Some(present.record.unwrap().version), swapped.version, "the retry wrote again");
    let again: TakeTokensAnswer = first.call(Verb::TakeTokens, &tokens(&first, bucket)).await.unwrap();
    let third: TakeTokensAnswer = first.call(Verb::TakeTokens, &tokens(&first, bucket)).await.unwrap();
    assert!(again.granted && !third.granted, "two of two tokens were taken, not three");
}

#[tokio::test]
async fn a_connection_that_leads_to_a_deposed_master_is_replaced_whatever_the_others_say() {
    let (relay, former) = (Relay::start().unwrap(), RedisServer::start(&acl_with_wait(), &[]));
    let present = RedisServer::replica_of(former.port, &acl_with_wait());
    relay.lead_to(&[former.port]);
    let bridge = Bridge::start(&standalone(relay.port()), "durability: async");
    let client = Client::new(&bridge.socket, false);
    let _: PutAnswer = client.call(Verb::Put, &put(&client, 3)).await.unwrap();
    assert_eq!(cli(present.port, &["REPLICAOF", "NO", "ONE"]), "OK");
    relay.lead_to(&[present.port]);
    // The questions about the server go to the new master from now on, the work still to the former
    // one.
    let clients = cli(former.port, &["CLIENT", "LIST"]);
    let questions = clients.lines().find(|line| line.contains("cmd=wait ")).unwrap_or_else(|| panic!("{clients}"));
    let id = questions.strip_prefix("id=").unwrap().split(' ').next().unwrap();
    assert_eq!(cli(former.port, &["CLIENT", "KILL", "ID", id]), "1");
    until("the new master is asked", || cli(present.port, &["CLIENT", "LIST"]).contains("user=toolhive-auth"));
    assert!(cli(former.port, &["CLIENT", "LIST"]).contains("user=toolhive-auth"), "the work goes elsewhere already");

    assert_eq!(cli(former.port, &["REPLICAOF", "127.0.0.1", &present.port.to_string()]), "OK");
    let written: PutAnswer = client.call(Verb::Put, &put(&client, 3)).await.unwrap();
    let read: GetAnswer = client.call(Verb::Get, &Get { space: space(), key: key(3) }).await.unwrap();
    assert_eq!(read.record.unwrap().version, written.version);
    assert_eq!(bridge.metric("portcullis_bridge_redis_lost_connections_total{reason=\"replica\"}"), 1);
    assert!(!cli(former.port, &["CLIENT", "LIST"]).contains("user=toolhive-auth"), "an old connection is kept");
}

#[tokio::test]
async fn a_connection_that_only_reads_leaves_a_deposed_master_too() {
    let (relay, former) = (Relay::start().unwrap(), RedisServer::start(&acl_with_wait(), &[]));
    let present = RedisServer::replica_of(former.port, &acl_with_wait());
    relay.lead_to(&[former.port]);
    let bridge = Bridge::start(&standalone(relay.port()), "durability: async");
    let client = Client::new(&bridge.socket, false);
    let _: PutAnswer = client.call(Verb::Put, &put(&client, 4)).await.unwrap();
    assert_eq!(cli(present.port, &["REPLICAOF", "NO", "ONE"]), "OK");
    relay.lead_to(&[present.port]);
    assert_eq!(cli(former.port, &["REPLICAOF", "127.0.0.1", &present.port.to_string()]), "OK");
    let started = Instant::now();
    until("every connection has moved", || !cli(former.port, &["CLIENT", "LIST"]).contains("user=toolhive-auth"));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    until("the bridge is ready", || bridge.observe("/readyz").starts_with("HTTP/1.1 200"));
    let _: PutAnswer = client.call(Verb::Put, &put(&client, 4)).await.unwrap();
}

#[test]
fn the_kernel_watches_every_connection_too() {
    let server = RedisServer::start(&acl_with_wait(), &[]);
    let _bridge = Bridge::start(&standalone(server.port), "");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    // proc(5): the addresses end with the port in hexadecimal; timer 2 is keepalive, of a
    // connection (01) without data under way.
    let peer = format!(":{:04X}", server.port);
    let timers: Vec<&str> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(2).is_some_and(|remote| remote.ends_with(&peer)) && fields[3] == "01")
        .map(|fields| fields[5])
        .collect();
    assert!(timers.len() >= 2, "{table}");
    assert!(timers.iter().all(|timer| timer.starts_with("02:") || timer.starts_with("01:")), "{timers:?}");
}

#[tokio::test]
async fn a_sentinel_is_heard_again_after_its_connection_was_forgotten() {
    let group = Group::start(&acl_with_wait());
    let relay = Relay::start().unwrap();
    relay.lead_to(&[group.sentinels[0].port]);
    let sentinel =
        format!("sentinelConfig: {{ masterName: mymaster, sentinelAddrs: [\"127.0.0.1:{}\"] }}, {USER}", relay.port());
    let bridge = Bridge::start(&sentinel, "");
    let listeners = || {
        let clients = cli(group.sentinels[0].port, &["CLIENT", "LIST"]);
        clients.lines().filter(|line| line.contains("sub=1")).count()
    };
    until("the sentinel is listened to", || listeners() > 0);
    let before = listeners();
    relay.forget();
    // The sentinel goes on with the forgotten one.
    until("it is listened to again", || listeners() > before);
    assert_eq!(cli(group.sentinels[0].port, &["SENTINEL", "FAILOVER", "mymaster"]), "OK");
    until("the announcement is heard", || bridge.log().contains("redis sentinel announces a failover"));
}

/// Writes until every replica has it: one that has just come is slow.
async fn durably(client: &Client) {
    let started = Instant::now();
    while let Err(cause) = client.call::<_, PutAnswer>(Verb::Put, &put(client, 0)).await {
        assert_eq!(cause, RefusalCause::NotDurable);
        assert!(started.elapsed() < Duration::from_secs(20), "no replica takes the write");
    }
}

fn key(number: u8) -> Key {
    Key { kind: Kind::Session, id: [number; 32] }
}

fn put(client: &Client, number: u8) -> Put {
    let (value, mutation) = (Value::new(b"x".to_vec()).unwrap(), client.mutation());
    Put { space: space(), key: key(number), value, ttl: Ttl::Seconds(600), mutation }
}

fn delete(client: &Client, number: u8) -> Delete {
    Delete { space: space(), key: key(number), mutation: client.mutation() }
}

fn swap(client: &Client, number: u8, version: Version) -> CompareAndSwap {
    let (value, mutation) = (Value::new(b"y".to_vec()).unwrap(), client.mutation());
    CompareAndSwap { space: space(), key: key(number), version, value, ttl: Ttl::Seconds(600), mutation }
}

fn member(client: &Client, number: u8) -> MemberWrite {
    let (member, mutation) = (Member([number; 32]), client.mutation());
    MemberWrite { space: space(), key: key(17), member, ttl: Ttl::Seconds(600), mutation }
}

fn lock(client: &Client, number: u8, owner: Owner) -> Lock {
    let key = Key { kind: Kind::Lock, id: [number; 32] };
    Lock { space: space(), key, owner, ttl_seconds: 60, mutation: client.mutation() }
}

fn unlock(client: &Client, number: u8, owner: Owner) -> Unlock {
    let key = Key { kind: Kind::Lock, id: [number; 32] };
    Unlock { space: space(), key, owner, mutation: client.mutation() }
}

fn tokens(client: &Client, bucket: Bucket) -> TakeTokens {
    let key = Key { kind: Kind::RateLimit, id: [18; 32] };
    TakeTokens { space: space(), key, bucket, tokens: 1, mutation: client.mutation() }
}
