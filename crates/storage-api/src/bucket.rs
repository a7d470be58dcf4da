//! Rate-limit buckets.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bounds::refuse_unless;

/// The limits of a token bucket: `capacity` tokens, refilled evenly over `period_seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// The maximum of tokens, and the tokens refilled in one period.
    pub capacity: u32,
    /// The time to fill an empty bucket, in seconds.
    pub period_seconds: u32,
}

/// The result of taking a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// One token was taken.
    Granted,
    /// The bucket was empty.
    Empty {
        /// Seconds until the next token, at least 1.
        retry_after: u32,
    },
}

/// [`Bucket`] on the wire.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BucketShape {
    capacity: u32,
    period_seconds: u32,
}

pub(crate) fn bucket<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bucket, D::Error> {
    let BucketShape { capacity, period_seconds } = BucketShape::deserialize(deserializer)?;
    let fits = |bucket: &Bucket| {
        (1..=MAX_BUCKET_CAPACITY).contains(&bucket.capacity)
            && (1..=MAX_BUCKET_SECONDS).contains(&bucket.period_seconds)
    };
    refuse_unless(Bucket { capacity, period_seconds }, fits, "a capacity and a period of at most one day")
}

pub(crate) fn write_bucket<S: Serializer>(bucket: &Bucket, serializer: S) -> Result<S::Ok, S::Error> {
    BucketShape { capacity: bucket.capacity, period_seconds: bucket.period_seconds }.serialize(serializer)
}

/// The maximum capacity of a bucket.
pub const MAX_BUCKET_CAPACITY: u32 = 1_000_000;

/// The maximum period of a bucket, in seconds: one day.
pub const MAX_BUCKET_SECONDS: u32 = 24 * 60 * 60;
