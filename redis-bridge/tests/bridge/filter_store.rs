//! The filter's own store over a real bridge: the gateway's code up to the call, and a Unix socket
//! where Envoy would be.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_gateway::config::BridgeSettings;
use portcullis_gateway::ports::{CallError, CallReply, CallRequest, Clock, Entropy, Fetch, NoEntropy, Store as _};
use portcullis_gateway::store::bridge::{Bridge as Known, BridgeStore};
use portcullis_storage_api::wire::{MARKER_HEADER, MARKER_VALUE};
use portcullis_storage_api::{Key, Kind, StoreError, Ttl, Version};
use portcullis_testbed::bridge::Bridge;
use portcullis_testbed::redis::{Group, LEAST_ACL, RedisServer, acl_with_wait, standalone};

use crate::client::{Client, space};
use crate::contract::keeps_the_contract;

/// What Envoy and its host are to the filter.
struct Host(Client);

impl Fetch for Host {
    async fn fetch(&self, call: CallRequest) -> Result<CallReply, CallError> {
        assert_eq!((call.cluster.as_str(), call.method), ("redis-bridge", "POST"));
        let answer = tokio::time::timeout(Duration::from_millis(call.timeout_ms), self.0.send(&call.path, call.body));
        let answer = answer.await.map_err(|_| CallError::NoAnswer)?.map_err(|_| CallError::NoAnswer)?;
        let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        Ok(CallReply {
            status: answer.status().as_u16(),
            content_type: header("content-type"),
            max_age: None,
            from_bridge: header(MARKER_HEADER).as_deref() == Some(MARKER_VALUE),
            body: answer.into_body(),
        })
    }
}

impl Clock for Host {
    fn now_ms(&self) -> u64 {
        u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
    }
}

impl Entropy for Host {
    fn random<const N: usize>(&self) -> Result<[u8; N], NoEntropy> {
        let mut bytes = [0; N];
        getrandom::fill(&mut bytes).map_err(|_| NoEntropy)?;
        Ok(bytes)
    }
}

fn store(bridge: &Bridge) -> BridgeStore<Host> {
    let settings = BridgeSettings { cluster: "redis-bridge".to_owned(), space: space(), timeout_ms: 3_000 };
    BridgeStore::new(Host(Client::new(&bridge.socket, false)), Known::new(settings).into())
}

#[tokio::test]
async fn the_filters_store_keeps_the_contract_over_a_real_bridge() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "");
    keeps_the_contract(&store(&bridge), 7).await;
}

#[tokio::test]
async fn the_filters_store_keeps_the_contract_with_replicated_writes() {
    let group = Group::start(&acl_with_wait());
    let bridge = Bridge::start(&group.redis_config(), "durability: replicated");
    keeps_the_contract(&store(&bridge), 7).await;
}

#[tokio::test]
async fn a_bridge_that_is_away_is_unavailable_and_found_again() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let mut bridge = Bridge::start(&standalone(server.port), "");
    let store = store(&bridge);
    let key = Key { kind: Kind::Session, id: [1; 32] };
    store.put(&key, b"kept".to_vec(), Ttl::Seconds(60)).await.unwrap();
    bridge.process.kill();
    for _ in 0..20 {
        assert_eq!(store.get(&key).await, Err(StoreError::Unavailable));
        assert_eq!(
            store.compare_and_swap(&key, Version(1), Vec::new(), Ttl::Forever).await,
            Err(StoreError::Unavailable)
        );
    }
    bridge.restart();
    // The breaker lets a call through again by itself.
    let found = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            match store.get(&key).await {
                Ok(found) => return found,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    });
    assert_eq!(found.await.unwrap().unwrap().value, b"kept");
}

#[tokio::test]
async fn a_bridge_without_redis_is_unavailable_and_never_says_that_a_record_is_absent() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), "");
    let store = store(&bridge);
    let key = Key { kind: Kind::Session, id: [1; 32] };
    assert_eq!(store.get(&key).await, Ok(None));
    drop(server);
    for _ in 0..20 {
        assert_eq!(store.get(&key).await, Err(StoreError::Unavailable));
    }
}
