//! The verb on rate-limit buckets.

use serde::{Deserialize, Deserializer, Serialize};

use super::mutation::Mutation;
use super::space::Space;
use crate::bounds::refuse_unless;
use crate::bucket::{Bucket, MAX_BUCKET_CAPACITY, bucket, write_bucket};
use crate::key::{Key, Kind};

/// The request of `take_tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TakeTokens {
    /// The space.
    pub space: Space,
    /// The bucket.
    #[serde(deserialize_with = "bucket_name")]
    pub key: Key,
    /// The limits of the bucket, which starts full.
    #[serde(serialize_with = "write_bucket", deserialize_with = "bucket")]
    pub bucket: Bucket,
    /// The tokens to take: at least 1. More than the capacity are never granted.
    #[serde(deserialize_with = "tokens")]
    pub tokens: u32,
    /// Idempotency and durability.
    pub mutation: Mutation,
}

/// The answer to `take_tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TakeTokensAnswer {
    /// Whether the tokens were taken.
    pub granted: bool,
    /// Seconds until they are available: 0 if granted, else at least 1.
    pub retry_after_seconds: u32,
}

fn bucket_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
    refuse_unless(Key::deserialize(deserializer)?, |key| key.kind == Kind::RateLimit, "the name of a bucket")
}

fn tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    refuse_unless(
        u32::deserialize(deserializer)?,
        |tokens| (1..=MAX_BUCKET_CAPACITY).contains(tokens),
        "1 token or more",
    )
}
