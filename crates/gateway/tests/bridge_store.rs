//! The store behind the bridge: what is sent, what counts as an answer, and what is tried again.
#![cfg(test)]
#![cfg(not(target_arch = "wasm32"))]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Deref;
use std::rc::Rc;

use portcullis_gateway::config::BridgeSettings;
use portcullis_gateway::ports::{
    CallError, CallReply, CallRequest, Clock, Entropy, Fetch, NoEntropy, Store as _, VALUE_BYTES,
};
use portcullis_gateway::store::bridge::{Bridge, BridgeStore};
use portcullis_storage_api::wire::{
    Get, GetAnswer, GetMany, GetManyAnswer, Record, Refusal, RefusalCause, Space, Value,
};
use portcullis_storage_api::{Bucket, Key, Kind, Owner, StoreError, Taken, Ttl, Version, Versioned};
use portcullis_testkit::fakes::{FakePorts, block_on, json_reply};
use serde_json::{Value as Json, json};

const NOW: u64 = 1_800_000_000;
const KEY: Key = Key { kind: Kind::Session, id: [7; 32] };

/// Ports whose calls are answered from a list. Clones share it.
#[derive(Clone)]
struct Wire {
    ports: FakePorts,
    answers: Rc<RefCell<VecDeque<Result<CallReply, CallError>>>>,
    /// How long each call takes, in milliseconds.
    takes_ms: u64,
    sent: Rc<RefCell<Vec<CallRequest>>>,
}

impl Fetch for Wire {
    async fn fetch(&self, call: CallRequest) -> Result<CallReply, CallError> {
        self.ports.clock().advance_ms(self.takes_ms);
        self.sent.borrow_mut().push(call);
        self.answers.borrow_mut().pop_front().expect("a call that was not expected")
    }
}

impl Clock for Wire {
    fn now_ms(&self) -> u64 {
        self.ports.now_ms()
    }
}

impl Entropy for Wire {
    fn random<const N: usize>(&self) -> Result<[u8; N], NoEntropy> {
        self.ports.random()
    }
}

/// A store, and the ports to look at.
struct Scene {
    store: BridgeStore<Wire>,
    bridge: Rc<Bridge>,
    wire: Wire,
}

impl Deref for Scene {
    type Target = BridgeStore<Wire>;

    fn deref(&self) -> &BridgeStore<Wire> {
        &self.store
    }
}

type Answers = Vec<Result<CallReply, CallError>>;

fn store_taking(takes_ms: u64, answers: Answers) -> Scene {
    let space = Space::new("prod", "gateway").unwrap();
    let settings = BridgeSettings { cluster: "redis-bridge".to_owned(), space, timeout_ms: 3_000 };
    let bridge = Rc::new(Bridge::new(settings));
    let answers = Rc::new(RefCell::new(answers.into()));
    let wire = Wire { ports: FakePorts::new(NOW), answers, takes_ms, sent: Rc::default() };
    Scene { store: BridgeStore::new(wire.clone(), bridge.clone()), bridge, wire }
}

fn store(answers: Answers) -> Scene {
    store_taking(1, answers)
}

fn answer(body: &Json) -> Result<CallReply, CallError> {
    Ok(CallReply { from_bridge: true, ..json_reply(200, &body.to_string()) })
}

fn refusal(cause: RefusalCause) -> Result<CallReply, CallError> {
    let body = serde_json::to_string(&Refusal { error: cause, secret: None }).unwrap();
    Ok(CallReply { from_bridge: true, ..json_reply(cause.status(), &body) })
}

fn written() -> Result<CallReply, CallError> {
    answer(&json!({ "version": "0000000000000009" }))
}

impl Scene {
    fn put_once(&self) -> Result<(), StoreError> {
        block_on(self.put(&KEY, b"value".to_vec(), Ttl::Seconds(60)))
    }

    fn get_once(&self) -> Result<Option<Versioned>, StoreError> {
        block_on(self.get(&KEY))
    }

    /// The bodies sent so far, and that all that was announced was sent.
    fn sent(&self) -> Vec<Json> {
        assert!(self.wire.answers.borrow().is_empty(), "fewer calls than expected");
        self.wire.sent.borrow().iter().map(|call| serde_json::from_slice(&call.body).unwrap()).collect()
    }
}

#[test]
fn a_call_goes_to_the_configured_cluster_and_says_whose_record_it_is_about() {
    let store = store(vec![answer(&json!({ "record": null }))]);
    assert_eq!(store.get_once(), Ok(None));
    let sent = store.wire.sent.borrow();
    let call = &sent[0];
    assert_eq!((call.cluster.as_str(), call.method, call.path.as_str()), ("redis-bridge", "POST", "/v1/get"));
    assert_eq!(
        (call.timeout_ms, call.headers.as_slice()),
        (3_000, &[("content-type".into(), "application/json".to_owned())][..])
    );
    let body: Get = serde_json::from_slice(&call.body).unwrap();
    assert_eq!((body.space.namespace(), body.space.name(), body.key), ("prod", "gateway", KEY));
}

#[test]
fn each_cause_of_a_failure_is_told_once_until_it_is_taken() {
    let html = CallReply { content_type: Some("text/html".to_owned()), ..json_reply(200, "<html>") };
    let scene = store(vec![
        Err(CallError::NotSent),
        Err(CallError::NotSent),
        refusal(RefusalCause::Forbidden),
        Ok(html.clone()),
        Ok(html),
        answer(&json!({ "record": null })),
    ]);
    for _ in 0..4 {
        assert!(scene.get_once().is_err());
    }
    let told = [
        "store: redis-bridge at cluster `redis-bridge`: Envoy has no such cluster",
        "store: redis-bridge at cluster `redis-bridge`: it refuses: its `callers` do not give this Envoy the space",
        "store: redis-bridge at cluster `redis-bridge`: no response: it is not running, is too slow, or something else \
         answers",
    ];
    assert_eq!(scene.bridge.take_failures(), told);
    assert_eq!(scene.get_once(), Ok(None));
    assert!(scene.bridge.take_failures().is_empty(), "each is listed once");
}

#[test]
fn a_record_is_given_as_it_was_answered() {
    let record = Record { value: Value::new(vec![1, 2]).unwrap(), version: Version(9) };
    let store = store(vec![answer(&serde_json::to_value(GetAnswer { record: Some(record) }).unwrap())]);
    assert_eq!(store.get_once(), Ok(Some(Versioned { value: vec![1, 2], version: Version(9) })));
}

#[test]
fn two_records_are_one_call() {
    let other = Key { kind: Kind::Upstream, id: [8; 32] };
    let record = Record { value: Value::new(vec![1, 2]).unwrap(), version: Version(9) };
    let answers = |records| answer(&serde_json::to_value(GetManyAnswer { records }).unwrap());
    let store = store(vec![answers(vec![None, Some(record)])]);
    let found = block_on(store.get_both(&[KEY, other]));
    assert_eq!(found, Ok([None, Some(Versioned { value: vec![1, 2], version: Version(9) })]));
    assert_eq!(store.wire.sent.borrow()[0].path, "/v1/get_many");
    let body: GetMany = serde_json::from_slice(&store.wire.sent.borrow()[0].body).unwrap();
    assert_eq!(body.keys, [KEY, other]);
    store.sent();
}

#[test]
fn too_few_or_too_many_records_are_no_answer() {
    for count in [0, 1, 3] {
        let body = serde_json::to_value(GetManyAnswer { records: vec![None; count] }).unwrap();
        let store = store(vec![answer(&body)]);
        assert_eq!(block_on(store.get_both(&[KEY, KEY])), Err(StoreError::Unavailable), "{count}");
        store.sent();
    }
}

#[test]
fn what_is_not_certainly_the_bridges_is_no_word_about_a_record() {
    let absent = json!({ "record": null }).to_string();
    let marked = |status, body: &str| CallReply { from_bridge: true, ..json_reply(status, body) };
    for reply in [
        json_reply(200, &absent),
        json_reply(404, &absent),
        json_reply(503, "upstream connect error or disconnect/reset before headers"),
        json_reply(504, "upstream request timeout"),
        CallReply { content_type: None, ..marked(200, &absent) },
        CallReply { content_type: Some("text/html".to_owned()), ..marked(200, &absent) },
        marked(404, &absent),
        marked(201, &absent),
        marked(200, ""),
        marked(200, "{}"),
        marked(200, "[]"),
        marked(200, r#"{"record":null,"more":1}"#),
        marked(200, r#"{"record":{"value":"AQI"}}"#),
        marked(200, &format!("{absent} x")),
        marked(404, r#"{"error":"full"}"#),
        marked(503, r#"{"error":"strange"}"#),
    ] {
        let status = reply.status;
        let store = store(vec![Ok(reply.clone()), Ok(reply)]);
        assert_eq!(store.get_once(), Err(StoreError::Unavailable), "{status}");
        assert_eq!(store.sent().len(), 2, "{status}");
    }
}

#[test]
fn a_refusal_is_told_as_what_it_means() {
    for (cause, meaning) in [
        (RefusalCause::BadRequest, StoreError::Unavailable),
        (RefusalCause::Forbidden, StoreError::Unavailable),
        (RefusalCause::UnknownVerb, StoreError::Unavailable),
        (RefusalCause::TooLarge, StoreError::TooLarge),
        (RefusalCause::Corrupt, StoreError::Unavailable),
        (RefusalCause::Full, StoreError::Full),
    ] {
        let store = store(vec![refusal(cause)]);
        assert_eq!(store.put_once(), Err(meaning), "{cause:?}");
        assert_eq!(store.sent().len(), 1, "{cause:?}");
    }
}

#[test]
fn a_broken_call_is_tried_once_more_under_the_same_name() {
    for broken in
        [Err(CallError::NoAnswer), Ok(json_reply(503, "connection refused")), refusal(RefusalCause::Unavailable)]
    {
        let store = store(vec![broken, written()]);
        assert_eq!(store.put_once(), Ok(()));
        let sent = store.sent();
        assert_eq!(sent[0], sent[1]);
    }
}

#[test]
fn a_burst_that_the_bridge_refuses_is_offered_again_twice() {
    let overloaded = || refusal(RefusalCause::Overloaded);
    let spread = store(vec![overloaded(), overloaded(), written()]);
    assert_eq!(spread.put_once(), Ok(()));
    spread.sent();
    let lasting = store(vec![overloaded(), overloaded(), overloaded()]);
    assert_eq!(lasting.put_once(), Err(StoreError::Unavailable));
    lasting.sent();
    let slow = store_taking(600, vec![overloaded(), overloaded()]);
    assert_eq!(slow.put_once(), Err(StoreError::Unavailable));
    slow.sent();
}

#[test]
fn two_changes_have_two_names() {
    let store = store(vec![written(), written()]);
    store.put_once().unwrap();
    store.put_once().unwrap();
    let sent = store.sent();
    assert_ne!(sent[0]["mutation"]["idempotency"], sent[1]["mutation"]["idempotency"]);
}

#[test]
fn a_call_that_took_long_is_not_made_again() {
    for broken in [Err(CallError::NoAnswer), Ok(json_reply(504, "timeout")), refusal(RefusalCause::Unavailable)] {
        let store = store_taking(1_000, vec![broken]);
        assert_eq!(store.get_once(), Err(StoreError::Unavailable));
        store.sent();
    }
}

#[test]
fn a_cluster_that_is_not_there_is_not_asked_twice() {
    let store = store(vec![Err(CallError::NotSent)]);
    assert_eq!(store.put_once(), Err(StoreError::Unavailable));
    store.sent();
}

#[test]
fn a_write_that_no_replica_confirmed_is_asked_about_again() {
    let unconfirmed = || refusal(RefusalCause::NotDurable);
    let store_ = store_taking(500, vec![unconfirmed(), unconfirmed(), unconfirmed(), written()]);
    assert_eq!(store_.put_once(), Ok(()));
    assert!(store_.sent().windows(2).all(|pair| pair[0] == pair[1]));
    let store_ = store_taking(500, vec![unconfirmed(), unconfirmed(), unconfirmed(), unconfirmed()]);
    assert_eq!(store_.put_once(), Err(StoreError::Unavailable));
    assert_eq!(store_.sent().len(), 4);
}

#[test]
fn a_record_too_large_for_any_store_is_not_sent() {
    let store = store(vec![]);
    let large = || vec![0; VALUE_BYTES + 1];
    assert_eq!(block_on(store.put(&KEY, large(), Ttl::Forever)), Err(StoreError::TooLarge));
    assert_eq!(block_on(store.put_new(&KEY, large(), Ttl::Forever)), Err(StoreError::TooLarge));
    assert_eq!(block_on(store.compare_and_swap(&KEY, Version(1), large(), Ttl::Forever)), Err(StoreError::TooLarge));
    assert_eq!(store.sent(), Vec::<Json>::new());
}

#[test]
fn without_randomness_nothing_is_changed() {
    let store = store(vec![]);
    store.wire.ports.break_entropy();
    assert_eq!(store.put_once(), Err(StoreError::Unavailable));
    assert_eq!(block_on(store.delete(&KEY)), Err(StoreError::Unavailable));
    assert_eq!(store.sent(), Vec::<Json>::new());
}

#[test]
fn a_change_asks_for_a_replica_where_losing_it_would_do_harm() {
    let of = |kind| Key { kind, id: [1; 32] };
    let durable = |verb: &str, kind: Kind| {
        let key = of(kind);
        let store = match verb {
            "put" => {
                let store = store(vec![written()]);
                block_on(store.put(&key, Vec::new(), Ttl::Forever)).unwrap();
                store
            }
            "put_new" => {
                let store = store(vec![written()]);
                block_on(store.put_new(&key, Vec::new(), Ttl::Forever)).unwrap();
                store
            }
            "delete" => {
                let store = store(vec![answer(&json!({ "deleted": true }))]);
                block_on(store.delete(&key)).unwrap();
                store
            }
            "swap" => {
                let store = store(vec![written()]);
                block_on(store.compare_and_swap(&key, Version(1), Vec::new(), Ttl::Forever)).unwrap();
                store
            }
            "lock" => {
                let store = store(vec![answer(&json!({ "held": true }))]);
                assert_eq!(block_on(store.lock(&key, Owner([1; 16]), 20)), Ok(true));
                store
            }
            "unlock" => {
                let store = store(vec![answer(&json!({ "released": true }))]);
                block_on(store.unlock(&key, Owner([1; 16]))).unwrap();
                store
            }
            other => panic!("{other}"),
        };
        store.sent()[0]["mutation"]["durable"].as_bool().unwrap()
    };
    for kind in [Kind::Session, Kind::Upstream, Kind::Client] {
        for verb in ["put", "delete", "swap"] {
            assert!(durable(verb, kind), "{verb} {kind:?}");
        }
    }
    assert!(durable("put_new", Kind::Pending) && !durable("delete", Kind::Pending));
    assert!(durable("lock", Kind::Lock) && !durable("unlock", Kind::Lock));
    assert!(!durable("put", Kind::Consent));
}

#[test]
fn an_empty_bucket_says_when_to_come_back() {
    let key = Key { kind: Kind::RateLimit, id: [1; 32] };
    let bucket = Bucket { capacity: 2, period_seconds: 60 };
    for (granted, seconds, taken) in [
        (true, 0, Taken::Granted),
        (false, 7, Taken::Empty { retry_after: 7 }),
        (false, 0, Taken::Empty { retry_after: 1 }),
    ] {
        let store = store(vec![answer(&json!({ "granted": granted, "retryAfterSeconds": seconds }))]);
        assert_eq!(block_on(store.take_token(&key, bucket)), Ok(taken));
        let sent = store.sent();
        assert_eq!((sent[0]["tokens"].as_u64(), sent[0]["mutation"]["durable"].as_bool()), (Some(1), Some(false)));
    }
}

#[test]
fn a_bridge_that_is_away_is_not_asked_by_everyone() {
    let away = || Ok(json_reply(503, "no healthy upstream"));
    let store = store(vec![away(), away(), away(), away(), away(), away(), away(), away(), written()]);
    for _ in 0..50 {
        assert_eq!(store.put_once(), Err(StoreError::Unavailable));
    }
    assert_eq!(store.wire.sent.borrow().len(), 5, "two calls with a retry each, and half of the third");
    for (pause, sent) in [(250, 6), (500, 7), (1_000, 8)] {
        store.wire.ports.clock().advance_ms(pause);
        for _ in 0..50 {
            assert_eq!(store.put_once(), Err(StoreError::Unavailable));
        }
        assert_eq!(store.wire.sent.borrow().len(), sent);
    }
    store.wire.ports.clock().advance_ms(2_000);
    assert_eq!(store.put_once(), Ok(()));
    store.sent();
}

#[test]
fn a_bridge_that_answers_is_asked_again_however_often_it_refuses() {
    for cause in [RefusalCause::Overloaded, RefusalCause::Full, RefusalCause::BadRequest] {
        let tries: u32 = if cause == RefusalCause::Overloaded { 3 } else { 1 };
        let store = store((0..20 * tries).map(|_| refusal(cause)).collect());
        for _ in 0..20 {
            assert!(store.put_once().is_err());
        }
        store.sent();
    }
}
