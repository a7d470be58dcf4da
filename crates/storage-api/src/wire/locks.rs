//! The verbs on locks.

use serde::{Deserialize, Deserializer, Serialize};

use super::mutation::Mutation;
use super::space::Space;
use crate::bounds::refuse_unless;
use crate::key::{Key, Kind};
use crate::lock::Owner;

/// The request of `lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lock {
    /// The space.
    pub space: Space,
    /// The lock.
    #[serde(deserialize_with = "lock")]
    pub key: Key,
    /// The owner.
    pub owner: Owner,
    /// The time until it expires: 1 to [`MAX_LOCK_SECONDS`].
    #[serde(deserialize_with = "lock_seconds")]
    pub ttl_seconds: u64,
    /// Idempotency and durability.
    pub mutation: Mutation,
}

/// The answer to `lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockAnswer {
    /// Whether the owner holds it now.
    pub held: bool,
}

/// The request of `unlock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unlock {
    /// The space.
    pub space: Space,
    /// The lock.
    #[serde(deserialize_with = "lock")]
    pub key: Key,
    /// The owner; a lock of another owner stays.
    pub owner: Owner,
    /// Idempotency and durability.
    pub mutation: Mutation,
}

/// The answer to `unlock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnlockAnswer {
    /// Whether the owner held it.
    pub released: bool,
}

fn lock<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
    refuse_unless(Key::deserialize(deserializer)?, |key| key.kind == Kind::Lock, "the name of a lock")
}

fn lock_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    refuse_unless(u64::deserialize(deserializer)?, |ttl| (1..=MAX_LOCK_SECONDS).contains(ttl), "1 to 3600 seconds")
}

/// The maximum lifetime of a lock, in seconds.
pub const MAX_LOCK_SECONDS: u64 = 60 * 60;
