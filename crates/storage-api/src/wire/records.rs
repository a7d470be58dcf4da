//! The verbs on records.

use serde::{Deserialize, Deserializer, Serialize};

use super::mutation::Mutation;
use super::space::Space;
use super::value::Value;
use crate::bounds::refuse_unless;
use crate::key::{Key, Kind};
use crate::record::{Ttl, Version, Versioned};

/// A record as read.
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

/// `get`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Get {
    /// Whose record.
    pub space: Space,
    /// Which record.
    #[serde(deserialize_with = "record")]
    pub key: Key,
}

/// To `get`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetAnswer {
    /// The record; `null` when none lives.
    #[serde(deserialize_with = "Option::deserialize")]
    pub record: Option<Record>,
}

/// `get_many`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetMany {
    /// Whose records.
    pub space: Space,
    /// Which records: 1 to [`KEYS`].
    #[serde(deserialize_with = "records")]
    pub keys: Vec<Key>,
}

/// To `get_many`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetManyAnswer {
    /// The records, in the order asked.
    pub records: Vec<Option<Record>>,
}

/// `put` and `put_new`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Put {
    /// Whose record.
    pub space: Space,
    /// Which record.
    #[serde(deserialize_with = "record")]
    pub key: Key,
    /// What to write.
    pub value: Value,
    /// How long it lives from now.
    pub ttl: Ttl,
    /// How it is done.
    pub mutation: Mutation,
}

/// To `put`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutAnswer {
    /// The version written.
    pub version: Version,
}

/// To `put_new` and `compare_and_swap`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WriteAnswer {
    /// The version written; `null` when the condition did not hold and nothing was.
    #[serde(deserialize_with = "Option::deserialize")]
    pub version: Option<Version>,
}

/// `take`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Take {
    /// Whose record.
    pub space: Space,
    /// Which record.
    #[serde(deserialize_with = "record")]
    pub key: Key,
    /// How it is done.
    pub mutation: Mutation,
}

/// To `take`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TakeAnswer {
    /// The record, which is gone now; `null` when there was none to take.
    #[serde(deserialize_with = "Option::deserialize")]
    pub record: Option<Record>,
}

/// `compare_and_swap`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompareAndSwap {
    /// Whose record.
    pub space: Space,
    /// Which record.
    #[serde(deserialize_with = "record")]
    pub key: Key,
    /// The version that it must still have.
    pub version: Version,
    /// What to write.
    pub value: Value,
    /// How long it lives from now.
    pub ttl: Ttl,
    /// How it is done.
    pub mutation: Mutation,
}

/// `delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delete {
    /// Whose record.
    pub space: Space,
    /// Which record.
    #[serde(deserialize_with = "record")]
    pub key: Key,
    /// How it is done.
    pub mutation: Mutation,
}

/// To `delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteAnswer {
    /// Whether there was a record.
    pub deleted: bool,
}

/// `await_change`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwaitChange {
    /// Whose record.
    pub space: Space,
    /// Which record.
    #[serde(deserialize_with = "record")]
    pub key: Key,
    /// The version that the asker knows; `null` when it knows of none.
    pub version: Option<Version>,
    /// How long to wait at most: up to [`WAIT_MILLISECONDS`].
    #[serde(deserialize_with = "wait")]
    pub timeout_milliseconds: u32,
}

/// To `await_change`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwaitChangeAnswer {
    /// Whether the version is another than the asker knew; `false` when the time ran out.
    pub changed: bool,
    /// The version now; `null` when no record lives.
    #[serde(deserialize_with = "Option::deserialize")]
    pub version: Option<Version>,
}

/// Locks and buckets have verbs of their own: read or written as a record, either would lose its
/// meaning.
pub(super) fn record<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
    refuse_unless(Key::deserialize(deserializer)?, is_record, "the name of a record")
}

fn records<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Key>, D::Error> {
    let fits = |keys: &Vec<Key>| (1..=KEYS).contains(&keys.len()) && keys.iter().all(is_record);
    refuse_unless(Vec::deserialize(deserializer)?, fits, "the names of 1 to 64 records")
}

pub(super) fn wait<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    refuse_unless(u32::deserialize(deserializer)?, |wait| *wait <= WAIT_MILLISECONDS, "at most 30000 milliseconds")
}

fn is_record(key: &Key) -> bool {
    key.kind != Kind::Lock && key.kind != Kind::RateLimit
}

/// The most records one `get_many` may name.
pub const KEYS: usize = 64;

/// The longest `await_change` and `secrets` may wait, in milliseconds.
pub const WAIT_MILLISECONDS: u32 = 30_000;
