//! A master that dies in the middle of writes: nothing that was acknowledged as durable is lost,
//! nothing is used twice.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portcullis_storage_api::wire::{Get, GetAnswer, Mutation, Put, PutAnswer, RefusalCause, Value, Verb, WriteAnswer};
use portcullis_storage_api::{Key, Kind, Ttl};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::{Client, fresh, space};
use portcullis_testbed::bridge::Bridge;
use portcullis_testbed::redis::{Group, RedisServer, acl_with_wait, cli, until};

/// What one worker was told.
#[derive(Default)]
struct History {
    acknowledged: Vec<Key>,
    used: Vec<Key>,
    longest_gap: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_costs_no_acknowledged_write_and_no_second_use() {
    nothing_is_lost_after(|master| master.process.kill()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_master_costs_no_acknowledged_write_and_no_second_use() {
    nothing_is_lost_after(|master| master.process.signal("-STOP")).await;
}

async fn nothing_is_lost_after(fault: fn(&mut RedisServer)) {
    let mut group = Group::start(&acl_with_wait());
    let bridges = [0, 1].map(|_| Bridge::start(&group.redis_config(), "durability: replicated"));
    let setup = Client::new(&bridges[0].socket, true);
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let socket = bridges[usize::from(worker) % 2].socket.clone();
            let stop = Arc::clone(&stop);
            tokio::spawn(async move { work(&socket, worker, &stop).await })
        })
        .collect();
    let former = group.master();
    // The rest of the group must outlive the workers.
    let _group = tokio::task::spawn_blocking(move || {
        until("writes are under way", || cli(former, &["DBSIZE"]).parse::<u32>().is_ok_and(|size| size > 400));
        fault(group.server(former));
        until("another master is announced", || group.master() != former);
        group
    })
    .await
    .unwrap();
    stop.store(true, Ordering::Relaxed);
    let mut used = Vec::new();
    let mut acknowledged = Vec::new();
    for worker in workers {
        let history = worker.await.unwrap();
        used.extend(history.used);
        acknowledged.extend(history.acknowledged);
        assert!(history.longest_gap < Duration::from_secs(8), "away for {:?}", history.longest_gap);
    }
    assert!(acknowledged.len() > 100, "only {} writes", acknowledged.len());
    for key in acknowledged.iter().chain(&used) {
        let found: GetAnswer = retried(&setup, Verb::Get, &Get { space: space(), key: *key }).await;
        assert!(found.record.is_some(), "an acknowledged write is lost");
    }
    let accepted = used.len();
    used.sort_unstable_by_key(|key| key.id);
    used.dedup();
    assert_eq!(used.len(), accepted, "two callers were told that they were the first");
    assert_eq!(accepted, usize::try_from(CONTESTED).unwrap(), "a caller was told that another was the first");
    let log = bridges[0].log();
    assert!(log.contains("redis failover"), "{log}");
    assert!(bridges[0].metric("portcullis_bridge_redis_master_changes_total") >= 1);
}

#[tokio::test]
async fn without_any_sentinel_the_known_master_is_kept() {
    let mut group = Group::start(&acl_with_wait());
    let bridge = Bridge::start(&group.redis_config(), "");
    group.sentinels.iter_mut().for_each(|sentinel| sentinel.process.kill());
    let master = group.servers[0].port;
    let questions = || -> u32 {
        let stats = cli(master, &["INFO", "commandstats"]);
        let calls =
            stats.lines().find_map(|line| line.strip_prefix("cmdstat_hello:calls=")?.split(',').next()?.parse().ok());
        calls.unwrap_or(0)
    };
    let before = questions();
    until("the master was asked again without a sentinel", || questions() >= before + 3);
    let _: PutAnswer = Client::new(&bridge.socket, true).call(Verb::Put, &put(key(Kind::Session, 0, 0))).await.unwrap();
    assert_eq!(bridge.metric("portcullis_bridge_redis_master_changes_total"), 0);
}

#[tokio::test]
async fn an_ordered_failover_moves_every_connection_to_the_new_master() {
    let group = Group::start(&acl_with_wait());
    let bridge = Bridge::start(&group.redis_config(), "");
    let former = group.master();
    assert_eq!(cli(group.sentinels[0].port, &["SENTINEL", "FAILOVER", "mymaster"]), "OK");
    until("the bridge has followed", || bridge.metric("portcullis_bridge_redis_master_changes_total") == 1);
    let present = group.master();
    assert_ne!(present, former);
    let client = Client::new(&bridge.socket, true);
    let _: PutAnswer = retried(&client, Verb::Put, &put(key(Kind::Session, 1, 1))).await;
    let clients = cli(former, &["CLIENT", "LIST"]);
    assert!(!clients.contains("user=toolhive-auth"), "a connection to the deposed master was kept: {clients}");
    assert!(bridge.log().contains(&format!("127.0.0.1:{present}")));
}

/// Writes records of its own, and the contested ones unless another worker has, each request
/// retried under its key until it is answered.
async fn work(socket: &Path, worker: u8, stop: &AtomicBool) -> History {
    let client = Client::new(socket, true);
    let mut history = History::default();
    let mut number: u32 = 0;
    while !stop.load(Ordering::Relaxed) || number < CONTESTED {
        let own = key(Kind::Session, worker, number);
        let started = Instant::now();
        let _: PutAnswer = retried(&client, Verb::Put, &put(own)).await;
        history.acknowledged.push(own);
        let contested = key(Kind::Pending, 0, number % CONTESTED);
        let answer: WriteAnswer = retried(&client, Verb::PutNew, &put(contested)).await;
        if answer.version.is_some() {
            history.used.push(contested);
        }
        history.longest_gap = history.longest_gap.max(started.elapsed());
        number = number.saturating_add(1);
    }
    history
}

async fn retried<Q: Serialize, A: DeserializeOwned>(client: &Client, verb: Verb, request: &Q) -> A {
    let started = Instant::now();
    loop {
        match client.call(verb, request).await {
            Ok(answer) => return answer,
            Err(cause) => {
                assert!(cause.is_passing(), "{cause:?}");
                assert_ne!(cause, RefusalCause::Overloaded);
                assert!(started.elapsed() < Duration::from_secs(30), "the store never came back");
                // The pause of a polite caller, not a wait for anything.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

fn put(key: Key) -> Put {
    let value = Value::new(b"kept".to_vec()).unwrap();
    Put { space: space(), key, value, ttl: Ttl::Seconds(600), mutation: durable() }
}

fn durable() -> Mutation {
    Mutation { idempotency: fresh(), durable: true }
}

fn key(kind: Kind, worker: u8, number: u32) -> Key {
    let mut id = [worker; 32];
    id[..4].copy_from_slice(&number.to_be_bytes());
    Key { kind, id }
}

const WORKERS: u8 = 6;
const CONTESTED: u32 = 300;
