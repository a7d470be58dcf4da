//! The durability of a durable write, and that every caller learns it.

use std::time::Duration;

use portcullis_storage_api::wire::{
    Durability, Get, GetAnswer, HealthAnswer, HealthRequest, IdempotencyKey, Mutation, Put, PutAnswer, RefusalCause,
    Value, Verb,
};
use portcullis_storage_api::{Key, Kind, Ttl};

use crate::client::{Client, fresh, space};
use portcullis_testbed::bridge::{Bridge, check};
use portcullis_testbed::redis::{LEAST_ACL, RedisServer, acl_with_wait, cli, standalone, until};
use portcullis_testbed::relay::Relay;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn without_the_grant_auto_serves_and_says_why_it_is_async() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let _replica = RedisServer::replica_of(server.port, LEAST_ACL);
    let bridge = Bridge::start(&standalone(server.port), "");
    let client = Client::new(&bridge.socket, true);
    let _: PutAnswer = client.call(Verb::Put, &durable_put(fresh())).await.unwrap();
    let health: HealthAnswer = client.call(Verb::Health, &HealthRequest {}).await.unwrap();
    assert_eq!((health.ready, health.durability), (true, Durability::Async));
    assert!(health.reason.unwrap().contains("+WAIT"));
    assert_eq!(bridge.metric("portcullis_bridge_durability_replicated"), 0);
    let log = bridge.log();
    assert_eq!(log.lines().filter(|line| line.contains(r#""durability":"async""#)).count(), 1, "{log}");
    assert!(log.contains("redis master connected"), "{log}");
    assert!(!log.contains("bridge-password"), "{log}");
}

#[tokio::test]
async fn without_a_replica_auto_is_async_until_one_comes() {
    let server = RedisServer::start(&acl_with_wait(), &[]);
    let bridge = Bridge::start(&standalone(server.port), "");
    assert!(bridge.observe("/readyz").contains("the master has no replica"));
    let client = Client::new(&bridge.socket, true);
    let _: PutAnswer = client.call(Verb::Put, &durable_put(fresh())).await.unwrap();
    let mut replica = RedisServer::replica_of(server.port, &acl_with_wait());
    until("the replica is noticed", || bridge.metric("portcullis_bridge_durability_replicated") == 1);
    durably(&client, &durable_put(fresh())).await;
    assert!(cli(replica.port, &["GET", &stored()]).contains("durable"));

    // Once seen, a replica that is gone is missed: the write is refused, and so is its retry, which
    // writes nothing new.
    replica.process.kill();
    let request = durable_put(fresh());
    assert_eq!(client.call::<_, PutAnswer>(Verb::Put, &request).await, Err(RefusalCause::NotDurable));
    assert_eq!(client.call::<_, PutAnswer>(Verb::Put, &request).await, Err(RefusalCause::NotDurable));
    let read: GetAnswer = client.call(Verb::Get, &Get { space: space(), key: key() }).await.unwrap();
    assert!(read.record.is_some(), "reads go on without replicas");
    let plain = Put { mutation: Mutation { durable: false, idempotency: fresh() }, ..durable_put(fresh()) };
    let _: PutAnswer = client.call(Verb::Put, &plain).await.unwrap();

    let _another = RedisServer::replica_of(server.port, &acl_with_wait());
    let retried = durably(&client, &request).await;
    let read: GetAnswer = client.call(Verb::Get, &Get { space: space(), key: key() }).await.unwrap();
    assert_ne!(read.record.unwrap().version, retried.version, "the retry wrote over a later write");
}

#[tokio::test]
async fn a_replica_that_has_yet_to_confirm_the_last_write_counts() {
    let server = RedisServer::start(&acl_with_wait(), &[]);
    let _replica = RedisServer::replica_of(server.port, &acl_with_wait());
    let checked = || check(&standalone(server.port), "durability: replicated");
    // A replica that has just come confirms nothing in its first second, whatever asks.
    assert_eq!(cli(server.port, &["SET", "busy", "first"]), "OK");
    until("the replica confirms what it is asked", || checked().0);
    for round in 0..5 {
        // Unasked, it confirms this up to a second later.
        assert_eq!(cli(server.port, &["SET", "busy", &round.to_string()]), "OK");
        let (content, said) = checked();
        assert!(content && said.contains("durability=replicated"), "round {round}: {said}");
    }
}

#[tokio::test]
async fn one_of_two_replicas_is_missed_for_as_long_as_it_may_be_the_next_master() {
    let (_server, mut replicas, bridge, client) = with_two_replicas().await;
    // Promoted by a sentinel it would break its connection just like that, and the other one would
    // know nothing of it.
    replicas[0].process.kill();
    let request = durable_put(fresh());
    assert_eq!(client.call::<_, PutAnswer>(Verb::Put, &request).await, Err(RefusalCause::NotDurable));
    let missed = std::time::Instant::now();
    durably(&client, &request).await;
    assert!(missed.elapsed() > Duration::from_secs(2), "the other one sufficed after {:?}", missed.elapsed());
    assert!(bridge.log().contains("redis replica lost"));
    for _ in 0..5 {
        let _: PutAnswer = client.call(Verb::Put, &durable_put(fresh())).await.unwrap();
    }
}

#[tokio::test]
async fn a_replica_is_missed_also_after_the_masters_connections_broke() {
    let relay = Relay::start().unwrap();
    let server = RedisServer::start(&acl_with_wait(), &[]);
    relay.lead_to(&[server.port]);
    let mut replicas = [(); 2].map(|()| RedisServer::replica_of(server.port, &acl_with_wait()));
    let bridge = Bridge::start(&standalone(relay.port()), "durability: replicated");
    let client = Client::new(&bridge.socket, true);
    durably(&client, &durable_put(fresh())).await;
    replicas[0].process.kill();
    // First the connections alone, then the master as well, as far as the bridge can see.
    cli(server.port, &["CLIENT", "KILL", "USER", "toolhive-auth"]);
    let request = durable_put(fresh());
    assert_eq!(client.call::<_, PutAnswer>(Verb::Put, &request).await, Err(RefusalCause::NotDurable));
    relay.cut();
    until("the master is lost", || bridge.log().contains("redis master lost"));
    relay.heal();
    until("the bridge has connected again", || bridge.log().contains("redis master connected again"));
    let request = durable_put(fresh());
    assert_eq!(client.call::<_, PutAnswer>(Verb::Put, &request).await, Err(RefusalCause::NotDurable));
}

#[tokio::test]
async fn replicated_serves_nothing_without_the_grant_or_a_replica_and_names_what_is_missing() {
    let without_grant = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start_unready(&standalone(without_grant.port), "durability: replicated");
    let client = Client::new(&bridge.socket, true);
    let plain = Put { mutation: Mutation { durable: false, idempotency: fresh() }, ..durable_put(fresh()) };
    assert_eq!(client.call::<_, PutAnswer>(Verb::Put, &plain).await, Err(RefusalCause::Unavailable));
    let ready = bridge.observe("/readyz");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("+WAIT"), "{ready}");
    let (content, said) = check(&standalone(without_grant.port), "durability: replicated");
    assert!(!content && said.contains("+WAIT"), "{said}");
    let without_replica = RedisServer::start(&acl_with_wait(), &[]);
    let (content, said) = check(&standalone(without_replica.port), "durability: replicated");
    assert!(!content && said.contains("no replica"), "{said}");
    let (content, said) = check(&standalone(without_replica.port), "");
    assert!(content && said.contains("durability=async"), "{said}");
}

#[tokio::test]
async fn async_never_waits() {
    let server = RedisServer::start(&acl_with_wait(), &[]);
    let _replica = RedisServer::replica_of(server.port, &acl_with_wait());
    let bridge = Bridge::start(&standalone(server.port), "durability: async");
    let client = Client::new(&bridge.socket, true);
    let _: PutAnswer =
        tokio::time::timeout(PATIENCE, client.call(Verb::Put, &durable_put(fresh()))).await.unwrap().unwrap();
    assert!(bridge.observe("/readyz").contains("durability: async"));
    let waits = cli(server.port, &["INFO", "commandstats"]);
    let calls =
        waits.lines().find_map(|line| line.strip_prefix("cmdstat_wait:calls=")?.split(',').next()?.parse().ok());
    let before: u64 = calls.unwrap_or(0);
    for _ in 0..20 {
        let _: PutAnswer = client.call(Verb::Put, &durable_put(fresh())).await.unwrap();
    }
    let waits = cli(server.port, &["INFO", "commandstats"]);
    let after =
        waits.lines().find_map(|line| line.strip_prefix("cmdstat_wait:calls=")?.split(',').next()?.parse().ok());
    // The questions once a second go on; one wait a write would show.
    assert!(after.unwrap_or(0) < before + 10);
}

/// Writes, and writes the same again while no replica says in time that it has it: one that has
/// just come is slow. A bridge that has seen both replicas of its master confirm a write.
async fn with_two_replicas() -> (RedisServer, [RedisServer; 2], Bridge, Client) {
    let server = RedisServer::start(&acl_with_wait(), &[]);
    let replicas = [(); 2].map(|()| RedisServer::replica_of(server.port, &acl_with_wait()));
    let bridge = Bridge::start(&standalone(server.port), "durability: replicated");
    let client = Client::new(&bridge.socket, true);
    durably(&client, &durable_put(fresh())).await;
    (server, replicas, bridge, client)
}

async fn durably(client: &Client, request: &Put) -> PutAnswer {
    let tries = async {
        loop {
            match client.call::<_, PutAnswer>(Verb::Put, request).await {
                Ok(answer) => return answer,
                Err(cause) => assert_eq!(cause, RefusalCause::NotDurable),
            }
        }
    };
    tokio::time::timeout(PATIENCE, tries).await.expect("a replica takes the write")
}

fn key() -> Key {
    Key { kind: Kind::Session, id: [9; 32] }
}

fn stored() -> String {
    format!("thv:auth:{{prod:gateway}}:{}", key())
}

fn durable_put(idempotency: IdempotencyKey) -> Put {
    let (value, mutation) = (Value::new(b"durable".to_vec()).unwrap(), Mutation { idempotency, durable: true });
    Put { space: space(), key: key(), value, ttl: Ttl::Seconds(60), mutation }
}
