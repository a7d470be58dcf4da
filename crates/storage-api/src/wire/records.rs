//! The verbs on records.

use serde::{Deserialize, Deserializer, Serialize};

use super::mutation::Mutation;
use super::space::Space;
use super::value::Value;
use crate::bounds::refuse_unless;
use crate::key::{Key, Kind};
use crate::record::{Ttl, Version, Versioned};

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// The stored bytes.
    pub value: Value,
    /// The version to name in a compare-and-swap.
    pub version: Version,
}

impl From<Record> for Versioned {
    fn from(record: Record) -> Self {
        Self { value: record.value.into_bytes(), version: record.version }
    }
}

/// The request of `get`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Get {
    /// The space.
    pub space: Space,
    /// The key.
    #[serde(deserialize_with = "record")]
    pub key: Key,
}

/// The answer to `get`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetAnswer {
    /// The record; `null` if there is none.
    #[serde(deserialize_with = "Option::deserialize")]
    pub record: Option<Record>,
}

/// The request of `get_many`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetMany {
    /// The space.
    pub space: Space,
    /// The keys: 1 to [`MAX_KEYS`].
    #[serde(deserialize_with = "records")]
    pub keys: Vec<Key>,
}

/// The answer to `get_many`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetManyAnswer {
    /// The records in the order of the keys; `null` for one that does not exist.
    pub records: Vec<Option<Record>>,
}

/// The request of `put` and `put_new`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Put {
    /// The space.
    pub space: Space,
    /// The key.
    #[serde(deserialize_with = "record")]
    pub key: Key,
    /// The value.
    pub value: Value,
    /// The lifetime from now.
    pub ttl: Ttl,
    /// Idempotency and durability.
    pub mutation: Mutation,
}

/// The answer to `put`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutAnswer {
    /// The version written.
    pub version: Version,
}

/// The answer to `put_new` and `compare_and_swap`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WriteAnswer {
    /// The version written; `null` if the condition did not hold and nothing was written.
    #[serde(deserialize_with = "Option::deserialize")]
    pub version: Option<Version>,
}

/// The request of `compare_and_swap`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompareAndSwap {
    /// The space.
    pub space: Space,
    /// The key.
    #[serde(deserialize_with = "record")]
    pub key: Key,
    /// The expected version.
    pub version: Version,
    /// The value.
    pub value: Value,
    /// The lifetime from now.
    pub ttl: Ttl,
    /// Idempotency and durability.
    pub mutation: Mutation,
}

/// The request of `delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delete {
    /// The space.
    pub space: Space,
    /// The key.
    #[serde(deserialize_with = "record")]
    pub key: Key,
    /// Idempotency and durability.
    pub mutation: Mutation,
}

/// The answer to `delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteAnswer {
    /// Whether there was a record.
    pub deleted: bool,
}

/// The request of `await_change`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwaitChange {
    /// The space.
    pub space: Space,
    /// The key.
    #[serde(deserialize_with = "record")]
    pub key: Key,
    /// The known version; `null` for no record.
    pub version: Option<Version>,
    /// The timeout: at most [`MAX_WAIT_MILLISECONDS`].
    #[serde(deserialize_with = "wait")]
    pub timeout_milliseconds: u32,
}

/// The answer to `await_change`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwaitChangeAnswer {
    /// Whether the version differs from the known one; `false` after the timeout.
    pub changed: bool,
    /// The current version; `null` if there is no record.
    #[serde(deserialize_with = "Option::deserialize")]
    pub version: Option<Version>,
}

/// Reads the name of a record. Locks and buckets have verbs of their own.
pub(super) fn record<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
    refuse_unless(Key::deserialize(deserializer)?, is_record, "the name of a record")
}

fn records<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Key>, D::Error> {
    let fits = |keys: &Vec<Key>| (1..=MAX_KEYS).contains(&keys.len()) && keys.iter().all(is_record);
    refuse_unless(Vec::deserialize(deserializer)?, fits, "the names of 1 to 64 records")
}

pub(super) fn wait<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    refuse_unless(u32::deserialize(deserializer)?, |wait| *wait <= MAX_WAIT_MILLISECONDS, "at most 30000 milliseconds")
}

fn is_record(key: &Key) -> bool {
    key.kind != Kind::Lock && key.kind != Kind::RateLimit
}

/// The maximum of keys in one `get_many`.
pub const MAX_KEYS: usize = 64;

/// The maximum timeout of `await_change` and `secrets`, in milliseconds.
pub const MAX_WAIT_MILLISECONDS: u32 = 30_000;
