//! The store's contract, kept over the wire and under exactly the ACL line of the Redis manifest.

use std::future::poll_fn;
use std::time::Duration;

use portcullis_gateway::ports::Store;
use portcullis_storage_api::wire::{
    AwaitChange, AwaitChangeAnswer, CompareAndSwap, Delete, DeleteAnswer, Get, GetAnswer, GetMany, GetManyAnswer,
    MAX_MEMBERS, Member, MemberAnswer, MemberWrite, Members, MembersAnswer, Mutation, Put, PutAnswer, RefusalCause,
    Value, Verb, WriteAnswer,
};
use portcullis_storage_api::{Key, Kind, Ttl, Version};
use portcullis_testkit::store_contract::{CASES, Failure, PAUSE_SECONDS, add_up, contend, run, sum};

use crate::client::{Client, fresh, space};
use portcullis_testbed::bridge::Bridge;
use portcullis_testbed::redis::{Group, LEAST_ACL, RedisServer, acl_with_wait, cli, standalone};

/// Every case's first phase, one pause for all, every case's second phase.
pub(crate) async fn keeps_the_contract(store: &impl Store, salt: u64) {
    for phase in 0..2 {
        if phase > 0 {
            // The contract's own pause: what expires must have expired by Redis's clock.
            tokio::time::sleep(Duration::from_secs(PAUSE_SECONDS)).await;
        }
        for case in CASES.iter().filter(|case| case.phases > phase) {
            if let Err(Failure(what)) = run(store, salt, case.name, phase).await {
                panic!("{}, phase {phase}: {what}", case.name);
            }
        }
    }
}

pub(crate) async fn keeps_the_races(bridge: &Bridge, salt: u64) {
    let clients: Vec<Client> = (0..6).map(|_| Client::new(&bridge.socket, false)).collect();
    let adding = clients.iter().map(|client| Box::pin(eager(add_up(client, salt, 50))));
    for worker in futures_util::future::join_all(adding).await {
        worker.map_err(|Failure(what)| what).unwrap();
    }
    assert_eq!(sum(&clients[0], salt).await.map_err(|Failure(what)| what).unwrap(), 300);
    let contending = clients.iter().map(|client| Box::pin(eager(contend(client, salt, 30))));
    let mut written: u32 = 0;
    for worker in futures_util::future::join_all(contending).await {
        written = written.saturating_add(worker.map_err(|Failure(what)| what).unwrap());
    }
    assert_eq!(written, 30);
}

#[tokio::test]
async fn a_standalone_server_keeps_the_contract_under_the_least_acl() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "");
    keeps_the_contract(&Client::new(&bridge.socket, false), 1).await;
    keeps_the_contract(&Client::new(&bridge.socket, true), 2).await;
    keeps_the_races(&bridge, 3).await;
    let denied = cli(server.port, &["ACL", "LOG"]);
    // The one question that the bridge may be refused: whether it may WAIT.
    assert!(!denied.contains("eval") && !denied.contains("key"), "{denied}");
}

#[tokio::test]
async fn a_sentinel_group_keeps_the_contract_with_replicated_writes() {
    let group = Group::start(&acl_with_wait());
    let bridge = Bridge::start(&group.redis_config(), "durability: replicated");
    keeps_the_contract(&Client::new(&bridge.socket, true), 1).await;
    keeps_the_races(&bridge, 2).await;
    assert!(bridge.observe("/readyz").contains(r#""durability":"replicated""#));
}

#[tokio::test]
async fn a_retry_gets_the_first_answer_and_changes_nothing() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "");
    let client = Client::new(&bridge.socket, false);
    let (first, second) = (put(b"first"), put(b"second"));
    let written: PutAnswer = client.call(Verb::Put, &first).await.unwrap();
    let _: PutAnswer = client.call(Verb::Put, &second).await.unwrap();
    assert_eq!(client.call::<_, PutAnswer>(Verb::Put, &first).await.unwrap(), written);
    assert_eq!(value(&client).await.as_deref(), Some(b"second".as_slice()), "the retry wrote over a later write");

    let delete = Delete { space: space(), key: key(), mutation: mutation() };
    let deleted: DeleteAnswer = client.call(Verb::Delete, &delete).await.unwrap();
    assert!(deleted.deleted);
    assert_eq!(value(&client).await, None);
    let _: PutAnswer = client.call(Verb::Put, &put(b"third")).await.unwrap();
    assert_eq!(client.call::<_, DeleteAnswer>(Verb::Delete, &delete).await.unwrap(), deleted);
    assert_eq!(value(&client).await.as_deref(), Some(b"third".as_slice()), "the retry deleted a later record");
    let other = Delete { space: space(), key: key(), mutation: mutation() };
    assert!(client.call::<_, DeleteAnswer>(Verb::Delete, &other).await.unwrap().deleted);

    let new = put(b"new");
    let made: WriteAnswer = client.call(Verb::PutNew, &new).await.unwrap();
    assert_eq!(client.call::<_, WriteAnswer>(Verb::PutNew, &new).await.unwrap(), made);
    let swap = CompareAndSwap {
        space: space(),
        key: key(),
        version: made.version.unwrap(),
        value: Value::new(b"swapped".to_vec()).unwrap(),
        ttl: Ttl::Seconds(60),
        mutation: mutation(),
    };
    let swapped: WriteAnswer = client.call(Verb::CompareAndSwap, &swap).await.unwrap();
    assert!(swapped.version.is_some());
    assert_eq!(client.call::<_, WriteAnswer>(Verb::CompareAndSwap, &swap).await.unwrap(), swapped);
}

#[tokio::test]
async fn one_callers_idempotency_key_answers_for_no_other_record_and_no_other_verb() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "");
    let client = Client::new(&bridge.socket, false);
    let mutation = mutation();
    let _: PutAnswer = client.call(Verb::Put, &Put { mutation, ..put(b"mine") }).await.unwrap();
    let delete = |key| Delete { space: space(), key, mutation };
    let deleted: DeleteAnswer = client.call(Verb::Delete, &delete(key())).await.unwrap();
    assert!(deleted.deleted && value(&client).await.is_none(), "the answer to the put was given for the delete");
    let other = Key { kind: Kind::Session, id: [2; 32] };
    let deleted: DeleteAnswer = client.call(Verb::Delete, &delete(other)).await.unwrap();
    assert!(!deleted.deleted, "the answer for one record was given for another");
}

#[tokio::test]
async fn several_records_are_read_in_the_order_asked() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "");
    let client = Client::new(&bridge.socket, false);
    let keys: Vec<Key> = (0..5).map(|number| Key { kind: Kind::Upstream, id: [number; 32] }).collect();
    for number in [1_u8, 3] {
        let request = Put { key: keys[usize::from(number)], ..put(&[number]) };
        let _: PutAnswer = client.call(Verb::Put, &request).await.unwrap();
    }
    // Something that is no record is as good as absent.
    cli(server.port, &["SADD", &stored_name(&keys[2]), "x"]);
    cli(server.port, &["SET", &stored_name(&keys[4]), "short"]);
    let answer: GetManyAnswer =
        client.call(Verb::GetMany, &GetMany { space: space(), keys: keys.clone() }).await.unwrap();
    let values: Vec<Option<Vec<u8>>> =
        answer.records.into_iter().map(|record| record.map(|record| record.value.into_bytes())).collect();
    assert_eq!(values, [None, Some(vec![1]), None, Some(vec![3]), None]);
    for strange in [2, 4] {
        let answer: GetAnswer = client.call(Verb::Get, &Get { space: space(), key: keys[strange] }).await.unwrap();
        assert_eq!(answer.record, None);
    }
    assert_eq!(bridge.metric("portcullis_bridge_corrupt_records_total"), 3);
}

#[tokio::test]
async fn a_set_is_bounded_and_lives_as_long_as_its_longest_member() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "");
    let client = Client::new(&bridge.socket, false);
    let add = |number: u16, ttl| {
        let mut member = [0; 32];
        member[..2].copy_from_slice(&number.to_be_bytes());
        MemberWrite { space: space(), key: key(), member: Member(member), ttl, mutation: mutation() }
    };
    let changed = async |verb, request: &MemberWrite| client.call::<_, MemberAnswer>(verb, request).await;
    assert!(changed(Verb::AddMember, &add(2, Ttl::Seconds(1_000))).await.unwrap().changed);
    assert!(changed(Verb::AddMember, &add(1, Ttl::Seconds(10))).await.unwrap().changed);
    assert!(!changed(Verb::AddMember, &add(1, Ttl::Seconds(10))).await.unwrap().changed);
    let life = || cli(server.port, &["TTL", &format!("{}:members", stored_name(&key()))]).parse::<i64>().unwrap();
    assert!((900..=1_000).contains(&life()), "a member shortened the set's life");
    assert!(changed(Verb::AddMember, &add(3, Ttl::Seconds(5_000))).await.unwrap().changed);
    assert!((4_900..=5_000).contains(&life()), "a member did not lengthen the set's life");
    assert!(changed(Verb::RemoveMember, &add(3, Ttl::Seconds(1))).await.unwrap().changed);
    assert!(!changed(Verb::RemoveMember, &add(3, Ttl::Seconds(1))).await.unwrap().changed);
    assert!(!changed(Verb::AddMember, &add(2, Ttl::Forever)).await.unwrap().changed);
    assert_eq!(life(), -1, "a member for ever did not end the set's ageing");
    assert!(changed(Verb::AddMember, &add(4, Ttl::Seconds(5))).await.unwrap().changed);
    assert_eq!(life(), -1);
    let found: MembersAnswer = client.call(Verb::Members, &Members { space: space(), key: key() }).await.unwrap();
    let numbers: Vec<u8> = found.members.iter().map(|member| member.0[1]).collect();
    assert_eq!(numbers, [1, 2, 4]);
    // A set and a record of one name do not meet.
    assert_eq!(value(&client).await, None);
    for number in 5..=u16::try_from(MAX_MEMBERS).unwrap() + 1 {
        changed(Verb::AddMember, &add(number, Ttl::Forever)).await.unwrap();
    }
    assert_eq!(changed(Verb::AddMember, &add(9_999, Ttl::Forever)).await, Err(RefusalCause::Full));
    assert!(!changed(Verb::AddMember, &add(1, Ttl::Forever)).await.unwrap().changed);
    let found: MembersAnswer = client.call(Verb::Members, &Members { space: space(), key: key() }).await.unwrap();
    assert_eq!(found.members.len(), MAX_MEMBERS);
}

#[tokio::test]
async fn a_change_is_awaited_and_a_wait_ends() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "");
    let client = Client::new(&bridge.socket, false);
    let written: PutAnswer = client.call(Verb::Put, &put(b"one")).await.unwrap();
    let wait = |version: Option<Version>, timeout_milliseconds| AwaitChange {
        space: space(),
        key: key(),
        version,
        timeout_milliseconds,
    };
    let at_once: AwaitChangeAnswer = client.call(Verb::AwaitChange, &wait(None, 30_000)).await.unwrap();
    assert_eq!(at_once, AwaitChangeAnswer { changed: true, version: Some(written.version) });
    let unchanged: AwaitChangeAnswer = client.call(Verb::AwaitChange, &wait(Some(written.version), 50)).await.unwrap();
    assert_eq!(unchanged, AwaitChangeAnswer { changed: false, version: Some(written.version) });
    let other = Client::new(&bridge.socket, false);
    let long = wait(Some(written.version), 30_000);
    let second = put(b"two");
    let (seen, written) = tokio::join!(
        client.call::<_, AwaitChangeAnswer>(Verb::AwaitChange, &long),
        other.call::<_, PutAnswer>(Verb::Put, &second)
    );
    assert_eq!(seen.unwrap(), AwaitChangeAnswer { changed: true, version: Some(written.unwrap().version) });
}

/// The suite lets the others on without asking to be polled again.
async fn eager<T>(work: impl Future<Output = T>) -> T {
    let mut work = Box::pin(work);
    poll_fn(|context| {
        context.waker().wake_by_ref();
        work.as_mut().poll(context)
    })
    .await
}

fn key() -> Key {
    Key { kind: Kind::Session, id: [1; 32] }
}

fn stored_name(key: &Key) -> String {
    format!("thv:auth:{{prod:gateway}}:{key}")
}

fn mutation() -> Mutation {
    Mutation { idempotency: fresh(), durable: false }
}

fn put(bytes: &[u8]) -> Put {
    let value = Value::new(bytes.to_vec()).unwrap();
    Put { space: space(), key: key(), value, ttl: Ttl::Seconds(60), mutation: mutation() }
}

async fn value(client: &Client) -> Option<Vec<u8>> {
    let answer: GetAnswer = client.call(Verb::Get, &Get { space: space(), key: key() }).await.unwrap();
    answer.record.map(|record| record.value.into_bytes())
}
