//! The verb on rate-limit buckets.

use serde::{Deserialize, Deserializer, Serialize};

use super::mutation::Mutation;
use super::space::Space;
use crate::bounds::refuse_unless;
use crate::bucket::{BUCKET_CAPACITY, Bucket, bucket, write_bucket};
use crate::key::{Key, Kind};

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

/// To `take_tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TakeTokensAnswer {
    /// Whether the tokens were there and are gone.
    pub granted: bool,
    /// Seconds until they would be there: 0 when granted, else at least 1.
    pub retry_after_seconds: u32,
}

fn bucket_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
    refuse_unless(Key::deserialize(deserializer)?, |key| key.kind == Kind::RateLimit, "the name of a bucket")
}

fn tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    refuse_unless(u32::deserialize(deserializer)?, |tokens| (1..=BUCKET_CAPACITY).contains(tokens), "1 token or more")
}
