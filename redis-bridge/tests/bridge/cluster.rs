//! A cluster: each space at its slot's owner, wherever that is, and no command that the least ACL
//! does not grant.

use std::time::{Duration, Instant};

use portcullis_storage_api::wire::{
    Get, GetAnswer, GetMany, GetManyAnswer, Mutation, Put, PutAnswer, RefusalCause, Space, Value, Verb,
};
use portcullis_storage_api::{Key, Kind, Ttl};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::{Client, fresh, space};
use crate::contract::{keeps_the_contract, keeps_the_races};
use portcullis_testbed::bridge::{Bridge, check};
use portcullis_testbed::redis::{Cluster, LEAST_ACL, RedisServer, acl_with_wait, cli};

#[tokio::test]
async fn a_cluster_keeps_the_contract_under_the_seeds_acl() {
    let cluster = Cluster::start(LEAST_ACL);
    let bridge = Bridge::start(&Cluster::redis_config(&cluster.masters), "");
    keeps_the_contract(&Client::new(&bridge.socket, true), 1).await;
    keeps_the_races(&bridge, 2).await;
    assert!(bridge.observe("/readyz").contains("+WAIT"));
    for server in cluster.masters.iter().chain(&cluster.replicas) {
        let denied = cli(server.port, &["ACL", "LOG"]);
        // The one question that the bridge may be refused: whether it may WAIT.
        let mut objects = denied.lines().zip(denied.lines().skip(1)).filter(|(name, _)| *name == "object");
        assert!(objects.all(|(_, object)| object == "wait"), "{denied}");
    }
}

#[tokio::test]
async fn a_cluster_keeps_the_contract_with_replicated_writes() {
    let cluster = Cluster::start(&acl_with_wait());
    let bridge = Bridge::start(&Cluster::redis_config(&cluster.masters), "durability: replicated");
    keeps_the_contract(&Client::new(&bridge.socket, true), 1).await;
    keeps_the_races(&bridge, 2).await;
    assert!(bridge.observe("/readyz").contains(r#""durability":"replicated""#));
    let (content, said) = check(&Cluster::redis_config(&cluster.masters), "durability: replicated");
    assert!(content && said.contains("durability=replicated"), "{said}");
}

#[tokio::test]
async fn spaces_live_on_different_servers_and_one_known_server_leads_to_all() {
    let cluster = Cluster::start(&acl_with_wait());
    // A replica is enough to begin with: it knows the masters.
    let bridge = Bridge::start(&Cluster::redis_config(&cluster.replicas[..1]), "durability: replicated");
    let client = Client::new(&bridge.socket, true);
    let spaces: Vec<Space> = (0..12).map(|number| Space::new("prod", &format!("gw-{number}")).unwrap()).collect();
    for (number, space) in (0_u8..).zip(&spaces) {
        let _: PutAnswer = retried(&client, Verb::Put, &put(space, key(0), &[number])).await;
        let _: PutAnswer = retried(&client, Verb::Put, &put(space, key(1), &[number, number])).await;
    }
    for (number, space) in (0_u8..).zip(&spaces) {
        let request = GetMany { space: space.clone(), keys: vec![key(1), key(2), key(0)] };
        let answer: GetManyAnswer = retried(&client, Verb::GetMany, &request).await;
        let values: Vec<Option<Vec<u8>>> =
            answer.records.into_iter().map(|record| record.map(|record| record.value.into_bytes())).collect();
        assert_eq!(values, [Some(vec![number, number]), None, Some(vec![number])]);
    }
    for master in &cluster.masters {
        // Two records a space, and the memory of each write.
        let size: u32 = cli(master.port, &["DBSIZE"]).parse().unwrap();
        assert!(size >= 4, "a server has {size} names");
    }
}

#[tokio::test]
async fn a_slot_is_followed_when_it_moves_and_a_record_on_its_way_is_never_absent() {
    let cluster = Cluster::start(&acl_with_wait());
    let bridge = Bridge::start(&Cluster::redis_config(&cluster.masters), "");
    let client = Client::new(&bridge.socket, true);
    for number in 0..4 {
        let _: PutAnswer = retried(&client, Verb::Put, &put(&space(), key(number), b"before")).await;
    }
    let (from, slot) = cluster.owner(&stored(&key(0)));
    let (source, target) = (cluster.masters[from].port, cluster.masters[(from + 1) % 3].port);
    let (slot, target_text) = (slot.to_string(), target.to_string());
    let (source_id, target_id) = (cli(source, &["CLUSTER", "MYID"]), cli(target, &["CLUSTER", "MYID"]));
    assert_eq!(cli(target, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id]), "OK");
    assert_eq!(cli(source, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id]), "OK");
    assert_eq!(cli(source, &["MIGRATE", "127.0.0.1", &target_text, &stored(&key(0)), "0", "5000"]), "OK");

    let get = |number| Get { space: space(), key: key(number) };
    assert_eq!(client.call::<_, GetAnswer>(Verb::Get, &get(0)).await, Err(RefusalCause::Unavailable));
    let still: GetAnswer = client.call(Verb::Get, &get(1)).await.unwrap();
    assert_eq!(still.record.unwrap().value.as_bytes(), b"before");
    assert!(bridge.metric("portcullis_bridge_redis_faults_total{kind=\"slot_moving\"}") >= 1);

    let left = cli(source, &["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
    for name in left.lines() {
        assert_eq!(cli(source, &["MIGRATE", "127.0.0.1", &target_text, name, "0", "5000"]), "OK");
    }
    for port in [target, source] {
        assert_eq!(cli(port, &["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]), "OK");
    }
    for number in 0..4 {
        let moved: GetAnswer = client.call(Verb::Get, &get(number)).await.unwrap();
        assert_eq!(moved.record.unwrap().value.as_bytes(), b"before");
    }
    assert_eq!(bridge.metric("portcullis_bridge_redis_master_changes_total"), 1);
    assert!(bridge.log().contains("redis cluster: a slot has another owner"));
    let _: PutAnswer = retried(&client, Verb::Put, &put(&space(), key(0), b"after")).await;
    assert!(cli(target, &["GET", &stored(&key(0))]).contains("after"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_owner_is_replaced_by_its_replica_and_costs_no_acknowledged_write() {
    nothing_is_lost_after(|owner| owner.process.kill()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_owner_is_replaced_by_its_replica_and_costs_no_acknowledged_write() {
    nothing_is_lost_after(|owner| owner.process.signal("-STOP")).await;
}

async fn nothing_is_lost_after(fault: fn(&mut RedisServer)) {
    let mut cluster = Cluster::start_failing_over(&acl_with_wait());
    let bridge = Bridge::start(&Cluster::redis_config(&cluster.masters), "durability: replicated");
    let client = Client::new(&bridge.socket, true);
    let (owner, _) = cluster.owner(&stored(&key(0)));
    let other = (0..).map(|number| Space::new("other", &format!("gw-{number}")).unwrap());
    let other = other.into_iter().find(|space| cluster.owner(&stored_in(space, &key(0))).0 != owner).unwrap();
    let _: PutAnswer = retried(&client, Verb::Put, &put(&other, key(0), b"elsewhere")).await;
    for number in 0..100 {
        let _: PutAnswer = retried(&client, Verb::Put, &put(&space(), key(number), b"kept")).await;
    }
    fault(&mut cluster.masters[owner]);
    // The other servers' spaces are served all the while.
    let replica = cluster.replicas[owner].port;
    let (started, mut served) = (Instant::now(), false);
    while !cli(replica, &["ROLE"]).starts_with("master") {
        let get = Get { space: other.clone(), key: key(0) };
        match client.call::<_, GetAnswer>(Verb::Get, &get).await {
            Ok(elsewhere) => {
                assert!(elsewhere.record.is_some());
                served = true;
            }
            Err(cause) => assert!(cause.is_passing(), "{cause:?}"),
        }
        assert!(started.elapsed() < Duration::from_secs(30), "the replica never took over");
    }
    assert!(served, "one server's loss stopped the others");
    for number in 0..100 {
        let found: GetAnswer = retried(&client, Verb::Get, &Get { space: space(), key: key(number) }).await;
        assert!(found.record.is_some(), "an acknowledged write is lost");
    }
    // It has no replica now, and the lost one is missed.
    let late = put(&space(), key(200), b"late");
    assert_eq!(client.call::<_, PutAnswer>(Verb::Put, &late).await, Err(RefusalCause::NotDurable));
    assert!(bridge.log().contains("redis cluster: a slot has another owner"));
    assert!(bridge.metric("portcullis_bridge_redis_master_changes_total") >= 1);
}

async fn retried<Q: Serialize, A: DeserializeOwned>(client: &Client, verb: Verb, request: &Q) -> A {
    let started = Instant::now();
    loop {
        match client.call(verb, request).await {
            Ok(answer) => return answer,
            Err(cause) => {
                assert!(cause.is_passing(), "{cause:?}");
                assert!(started.elapsed() < Duration::from_secs(30), "the store never came back");
                // The pause of a polite caller, not a wait for anything.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

fn key(number: u8) -> Key {
    Key { kind: Kind::Session, id: [number; 32] }
}

fn stored(key: &Key) -> String {
    stored_in(&space(), key)
}

fn stored_in(space: &Space, key: &Key) -> String {
    format!("thv:auth:{{{}:{}}}:{key}", space.namespace(), space.name())
}

fn put(space: &Space, key: Key, bytes: &[u8]) -> Put {
    let (value, mutation) = (Value::new(bytes.to_vec()).unwrap(), Mutation { idempotency: fresh(), durable: true });
    Put { space: space.clone(), key, value, ttl: Ttl::Seconds(600), mutation }
}
