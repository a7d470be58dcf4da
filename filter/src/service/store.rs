//! The store of one task: the workers' shared memory, or the bridge.
//!
//! An enum rather than a type parameter: every handler would otherwise be compiled twice, into
//! every worker. The fast path uses no store.

use std::rc::Rc;

use portcullis_gateway::ports::Store;
use portcullis_gateway::store::bridge::{Bridge, BridgeStore};
use portcullis_gateway::store::memory::MemoryStore;
use portcullis_storage_api::{Bucket, Key, Owner, StoreError, Swap, Taken, Ttl, Version, Versioned};

use crate::host::{HostClock, SharedCells, TaskCalls};

/// The store of a worker.
pub(crate) enum WorkerStore {
    /// In Envoy's shared data.
    Memory(Rc<MemoryStore<SharedCells, HostClock>>),
    /// Behind the bridge.
    Bridge(Rc<Bridge>),
}

impl WorkerStore {
    /// Returns the store of a task.
    pub(crate) fn for_task(&self, calls: TaskCalls) -> TaskStore {
        match self {
            Self::Memory(memory) => TaskStore::Memory(memory.clone()),
            Self::Bridge(bridge) => TaskStore::Bridge(BridgeStore::new(calls, bridge.clone())),
        }
    }
}

/// The store of a task.
pub(crate) enum TaskStore {
    /// In Envoy's shared data; never waits.
    Memory(Rc<MemoryStore<SharedCells, HostClock>>),
    /// Behind the bridge; every verb is a call.
    Bridge(BridgeStore<TaskCalls>),
}

impl Store for TaskStore {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        match self {
            Self::Memory(memory) => memory.get(key).await,
            Self::Bridge(bridge) => bridge.get(key).await,
        }
    }

    async fn get_both(&self, keys: &[Key; 2]) -> Result<[Option<Versioned>; 2], StoreError> {
        match self {
            Self::Memory(memory) => memory.get_both(keys).await,
            Self::Bridge(bridge) => bridge.get_both(keys).await,
        }
    }

    async fn put(&self, key: &Key, value: Vec<u8>, ttl: Ttl) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => memory.put(key, value, ttl).await,
            Self::Bridge(bridge) => bridge.put(key, value, ttl).await,
        }
    }

    async fn put_new(&self, key: &Key, value: Vec<u8>, ttl: Ttl) -> Result<bool, StoreError> {
        match self {
            Self::Memory(memory) => memory.put_new(key, value, ttl).await,
            Self::Bridge(bridge) => bridge.put_new(key, value, ttl).await,
        }
    }

    async fn compare_and_swap(
        &self,
        key: &Key,
        version: Version,
        value: Vec<u8>,
        ttl: Ttl,
    ) -> Result<Swap, StoreError> {
        match self {
            Self::Memory(memory) => memory.compare_and_swap(key, version, value, ttl).await,
            Self::Bridge(bridge) => bridge.compare_and_swap(key, version, value, ttl).await,
        }
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => memory.delete(key).await,
            Self::Bridge(bridge) => bridge.delete(key).await,
        }
    }

    async fn lock(&self, key: &Key, owner: Owner, ttl_seconds: u64) -> Result<bool, StoreError> {
        match self {
            Self::Memory(memory) => memory.lock(key, owner, ttl_seconds).await,
            Self::Bridge(bridge) => bridge.lock(key, owner, ttl_seconds).await,
        }
    }

    async fn unlock(&self, key: &Key, owner: Owner) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => memory.unlock(key, owner).await,
            Self::Bridge(bridge) => bridge.unlock(key, owner).await,
        }
    }

    async fn take_token(&self, key: &Key, bucket: Bucket) -> Result<Taken, StoreError> {
        match self {
            Self::Memory(memory) => memory.take_token(key, bucket).await,
            Self::Bridge(bridge) => bridge.take_token(key, bucket).await,
        }
    }
}
