//! The rate-limit buckets of the memory store.

use portcullis_storage_api::{Bucket, Taken};

/// A rate-limit bucket's state: the time at which it would have been full, had it always been
/// refilled evenly.
///
/// Time is counted in parts of 1/capacity second, in which a token takes exactly `period_seconds`
/// parts to come back.
pub(super) struct Level {
    capacity: u32,
    due: u64,
}

impl Level {
    /// The stored state, or a full bucket: also when the configured capacity has changed, which
    /// changes the unit.
    pub(super) fn of(stored: Option<&[u8]>, bucket: Bucket) -> Self {
        let stored = stored.and_then(|bytes| {
            let (capacity, due) = bytes.split_first_chunk()?;
            let due: &[u8; 8] = due.try_into().ok()?;
            Some(Self { capacity: u32::from_le_bytes(*capacity), due: u64::from_le_bytes(*due) })
        });
        stored.filter(|level| level.capacity == bucket.capacity).unwrap_or(Self { capacity: bucket.capacity, due: 0 })
    }

    /// What is stored of it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        [&self.capacity.to_le_bytes()[..], &self.due.to_le_bytes()[..]].concat()
    }

    /// Takes a token, if one is there at `now`, in Unix seconds; gives the state afterwards.
    pub(super) fn take(self, bucket: Bucket, now: u64) -> (Taken, Self) {
        let capacity = u64::from(bucket.capacity);
        let token = u64::from(bucket.period_seconds);
        let now = now.saturating_mul(capacity);
        let due = self.due.max(now).saturating_add(token);
        let early = due.saturating_sub(now).saturating_sub(token.saturating_mul(capacity));
        if early == 0 && capacity > 0 {
            return (Taken::Granted, Self { due, ..self });
        }
        let wait = if capacity == 0 { token } else { early.div_ceil(capacity) };
        (Taken::Empty { retry_after: u32::try_from(wait.max(1)).unwrap_or(u32::MAX) }, self)
    }

    /// The second from which the bucket is full again, and its record says nothing.
    pub(super) fn full_at(&self, bucket: Bucket) -> u64 {
        self.due.checked_div(u64::from(bucket.capacity)).unwrap_or(0).saturating_add(1)
    }
}
