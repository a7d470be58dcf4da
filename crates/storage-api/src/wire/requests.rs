//! The requests, one type a verb (two verbs on a set share one, and so do the two unconditional
//! writes).

use serde::de::Unexpected;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::{IdempotencyKey, Member, Space, Value};
use super::{BUCKET_CAPACITY, BUCKET_SECONDS, KEYS, LOCK_SECONDS, WAIT_MILLISECONDS};
use crate::{Bucket, Key, Kind, Owner, Ttl, Version};

/// What every request that changes something says about how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mutation {
    /// The same for every try of one change: a retry gets the first try's answer and changes
    /// nothing more.
    pub idempotency: IdempotencyKey,
    /// Whether the answer must wait until a replica has the change too.
    pub durable: bool,
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

/// `add_member` and `remove_member`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberWrite {
    /// Whose set.
    pub space: Space,
    /// Which set. A set and a record of the same name do not meet.
    #[serde(deserialize_with = "record")]
    pub key: Key,
    /// What to add or remove.
    pub member: Member,
    /// How long the set lives at least, from now; a set never loses life by a new member. Removing
    /// leaves it alone.
    pub ttl: Ttl,
    /// How it is done.
    pub mutation: Mutation,
}

/// `members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Members {
    /// Whose set.
    pub space: Space,
    /// Which set.
    #[serde(deserialize_with = "record")]
    pub key: Key,
}

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

/// `take_tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TakeTokens {
    /// Whose bucket.
    pub space: Space,
    /// Which bucket.
    #[serde(deserialize_with = "bucket_name")]
    pub key: Key,
    /// The bucket's shape; it starts full.
    #[serde(serialize_with = "write_bucket", deserialize_with = "bucket")]
    pub bucket: Bucket,
    /// How many tokens to take: 1 or more. More than the bucket holds are never granted.
    #[serde(deserialize_with = "tokens")]
    pub tokens: u32,
    /// How it is done.
    pub mutation: Mutation,
}

/// `health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthRequest {}

/// [`Bucket`] on the wire.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BucketShape {
    capacity: u32,
    period_seconds: u32,
}

/// Locks and buckets have verbs of their own: read or written as a record, either would lose its
/// meaning.
fn record<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
    refuse_unless(Key::deserialize(deserializer)?, is_record, "the name of a record")
}

fn lock<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
    refuse_unless(Key::deserialize(deserializer)?, |key| key.kind == Kind::Lock, "the name of a lock")
}

fn bucket_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
    refuse_unless(Key::deserialize(deserializer)?, |key| key.kind == Kind::RateLimit, "the name of a bucket")
}

fn records<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Key>, D::Error> {
    let fits = |keys: &Vec<Key>| (1..=KEYS).contains(&keys.len()) && keys.iter().all(is_record);
    refuse_unless(Vec::deserialize(deserializer)?, fits, "the names of 1 to 64 records")
}

fn lock_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    refuse_unless(u64::deserialize(deserializer)?, |ttl| (1..=LOCK_SECONDS).contains(ttl), "1 to 3600 seconds")
}

pub(super) fn wait<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    refuse_unless(u32::deserialize(deserializer)?, |wait| *wait <= WAIT_MILLISECONDS, "at most 30000 milliseconds")
}

fn tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    refuse_unless(u32::deserialize(deserializer)?, |tokens| (1..=BUCKET_CAPACITY).contains(tokens), "1 token or more")
}

fn bucket<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bucket, D::Error> {
    let BucketShape { capacity, period_seconds } = BucketShape::deserialize(deserializer)?;
    let fits = |bucket: &Bucket| {
        (1..=BUCKET_CAPACITY).contains(&bucket.capacity) && (1..=BUCKET_SECONDS).contains(&bucket.period_seconds)
    };
    refuse_unless(Bucket { capacity, period_seconds }, fits, "a capacity and a period of at most one day")
}

fn write_bucket<S: Serializer>(bucket: &Bucket, serializer: S) -> Result<S::Ok, S::Error> {
    BucketShape { capacity: bucket.capacity, period_seconds: bucket.period_seconds }.serialize(serializer)
}

fn is_record(key: &Key) -> bool {
    key.kind != Kind::Lock && key.kind != Kind::RateLimit
}

pub(super) fn refuse_unless<T, E: serde::de::Error>(
    found: T,
    fits: impl Fn(&T) -> bool,
    form: &'static str,
) -> Result<T, E> {
    if fits(&found) { Ok(found) } else { Err(E::invalid_value(Unexpected::Other("something else"), &form)) }
}
