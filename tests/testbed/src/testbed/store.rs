//! Where the gateways of a testbed keep their records.

use std::env;

use serde_json::{Value, json};

use crate::process::Process;
use crate::redis::{Group, RedisServer, acl_with_wait, standalone};

/// The store behind a testbed's gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Envoy's shared data: one Envoy, lost with it.
    Memory,
    /// One Redis server behind a bridge.
    Standalone,
    /// Three Redis servers and three sentinels behind a bridge, which waits for a replica.
    Sentinel,
}

impl Store {
    /// The one that the variable `STORE` names; memory when it is not set.
    ///
    /// # Errors
    /// When it names none.
    pub fn from_env() -> Result<Self, String> {
        Self::named(&env::var("STORE").unwrap_or_default())
    }

    fn named(word: &str) -> Result<Self, String> {
        match word {
            "" | "memory" => Ok(Self::Memory),
            "standalone" => Ok(Self::Standalone),
            "sentinel" => Ok(Self::Sentinel),
            other => Err(format!("STORE={other} is none of memory, standalone and sentinel")),
        }
    }
}

/// The Redis servers behind a testbed's bridges.
pub enum Redis {
    /// One server.
    Standalone(RedisServer),
    /// Servers and sentinels.
    Sentinel(Group),
    /// Servers that the story started itself: the bridge's words for them, under `redis:`, and its
    /// further lines.
    Elsewhere(String, String),
}

impl Redis {
    /// Starts what a store needs; memory needs nothing. Blocks until it is ready.
    pub(super) fn start(store: Store) -> Option<Self> {
        match store {
            Store::Memory => None,
            Store::Standalone => Some(Self::Standalone(RedisServer::start(&acl_with_wait(), &[]))),
            Store::Sentinel => Some(Self::Sentinel(Group::start(&acl_with_wait()))),
        }
    }

    /// The configuration of a bridge: the words under `redis:`, and further lines.
    pub(super) fn words(&self) -> (String, String) {
        match self {
            Self::Standalone(server) => (standalone(server.port), String::new()),
            Self::Sentinel(group) => (group.redis_config(), "durability: replicated".to_owned()),
            Self::Elsewhere(words, more) => (words.clone(), more.clone()),
        }
    }

    /// The servers that were started for this testbed.
    #[must_use]
    pub fn servers(&self) -> &[RedisServer] {
        match self {
            Self::Standalone(server) => std::slice::from_ref(server),
            Self::Sentinel(group) => &group.servers,
            Self::Elsewhere(..) => &[],
        }
    }

    /// The port of the server that takes writes now.
    ///
    /// # Panics
    /// When the servers are the story's own, or the sentinels name none.
    #[must_use]
    pub fn master(&self) -> u16 {
        match self {
            Self::Standalone(server) => server.port,
            Self::Sentinel(group) => group.master(),
            Self::Elsewhere(..) => panic!("these servers are the story's own"),
        }
    }

    /// Addresses, as `make testbed` prints them.
    pub(super) fn to_json(&self) -> Value {
        let address = |port: u16| json!(format!("127.0.0.1:{port}"));
        let servers: Vec<Value> = self.servers().iter().map(|server| address(server.port)).collect();
        let sentinels: Vec<Value> = match self {
            Self::Sentinel(group) => group.sentinels.iter().map(|sentinel| address(sentinel.port)).collect(),
            Self::Standalone(_) | Self::Elsewhere(..) => Vec::new(),
        };
        json!({ "servers": servers, "sentinels": sentinels })
    }

    /// Every process by a name.
    pub(super) fn processes(&self) -> Vec<(String, &Process)> {
        let servers = self.servers().iter().enumerate();
        let mut processes: Vec<_> = servers.map(|(n, server)| (format!("redis_{n}"), &server.process)).collect();
        if let Self::Sentinel(group) = self {
            let sentinels = group.sentinels.iter().enumerate();
            processes.extend(sentinels.map(|(n, sentinel)| (format!("sentinel_{n}"), &sentinel.process)));
        }
        processes
    }

    /// Every process, to look after.
    pub(super) fn processes_mut(&mut self) -> Vec<&mut Process> {
        match self {
            Self::Standalone(server) => vec![&mut server.process],
            Self::Sentinel(group) => {
                let servers = group.servers.iter_mut().map(|server| &mut server.process);
                servers.chain(group.sentinels.iter_mut().map(|sentinel| &mut sentinel.process)).collect()
            }
            Self::Elsewhere(..) => Vec::new(),
        }
    }
}

/// The configuration that makes a gateway use its bridge.
pub(super) fn storage() -> Value {
    json!({ "storage": { "type": "bridge", "cluster": BRIDGE_CLUSTER, "namespace": "prod", "name": "gateway" } })
}

/// Envoy's name for the bridge.
pub(super) const BRIDGE_CLUSTER: &str = "redis-bridge";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_one_of_three_words() {
        assert_eq!(Store::named(""), Ok(Store::Memory));
        assert_eq!(Store::named("memory"), Ok(Store::Memory));
        assert_eq!(Store::named("standalone"), Ok(Store::Standalone));
        assert_eq!(Store::named("sentinel"), Ok(Store::Sentinel));
        for wrong in ["Sentinel", "redis", "sentinel "] {
            let why = Store::named(wrong).unwrap_err();
            assert!(["memory", "standalone", "sentinel"].iter().all(|word| why.contains(word)), "{why}");
        }
    }
}
