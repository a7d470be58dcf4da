//! The verbs on locks.

use serde::{Deserialize, Deserializer, Serialize};

use super::mutation::Mutation;
use super::space::Space;
use crate::bounds::refuse_unless;
use crate::key::{Key, Kind};
use crate::lock::Owner;

/// `lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lock {
    /// Whose lock.
    pub space: Space,
    /// Which lock.
    #[serde(deserialize_with = "lock")]
    pub key: Key,
    /// Who asks.
    pub owner: Owner,
    /// How long it is held unless it is given back: 1 to [`LOCK_SECONDS`].
    #[serde(deserialize_with = "lock_seconds")]
    pub ttl_seconds: u64,
    /// How it is done.
    pub mutation: Mutation,
}

/// To `lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockAnswer {
    /// Whether the asker holds it now.
    pub held: bool,
}

/// `unlock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unlock {
    /// Whose lock.
    pub space: Space,
    /// Which lock.
    #[serde(deserialize_with = "lock")]
    pub key: Key,
    /// Who gives it back; another owner's lock is left alone.
    pub owner: Owner,
    /// How it is done.
    pub mutation: Mutation,
}

/// To `unlock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnlockAnswer {
    /// Whether it was the asker's to give back.
    pub released: bool,
}

fn lock<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
    refuse_unless(Key::deserialize(deserializer)?, |key| key.kind == Kind::Lock, "the name of a lock")
}

fn lock_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    refuse_unless(u64::deserialize(deserializer)?, |ttl| (1..=LOCK_SECONDS).contains(ttl), "1 to 3600 seconds")
}

/// The longest a lock may be held, in seconds.
pub const LOCK_SECONDS: u64 = 60 * 60;
