//! Rate-limit buckets.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bounds::refuse_unless;

/// A token bucket's shape: `capacity` tokens, refilled evenly over `period_seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// The most tokens it holds, and how many come back in one period.
    pub capacity: u32,
    /// The time in which an empty bucket fills, in seconds.
    pub period_seconds: u32,
}

/// The result of taking a token from a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// One token was there and is gone.
    Granted,
    /// The bucket was empty; a token is due in this many seconds (at least 1).
    Empty {
        /// Seconds until the next token.
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
        (1..=BUCKET_CAPACITY).contains(&bucket.capacity) && (1..=BUCKET_SECONDS).contains(&bucket.period_seconds)
    };
    refuse_unless(Bucket { capacity, period_seconds }, fits, "a capacity and a period of at most one day")
}

pub(crate) fn write_bucket<S: Serializer>(bucket: &Bucket, serializer: S) -> Result<S::Ok, S::Error> {
    BucketShape { capacity: bucket.capacity, period_seconds: bucket.period_seconds }.serialize(serializer)
}

/// The most tokens a bucket may hold.
pub const BUCKET_CAPACITY: u32 = 1_000_000;

/// The longest period of a bucket, in seconds: one day.
pub const BUCKET_SECONDS: u32 = 24 * 60 * 60;
