//! The idempotency and durability of a change.

use serde::{Deserialize, Serialize};

use crate::text::{Text, as_text, hex, of_hex};

/// The idempotency and durability of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mutation {
    /// The same for every try of one change: a retry gets the first try's answer and changes
    /// nothing.
    pub idempotency: IdempotencyKey,
    /// Whether the answer waits until the replicas have acknowledged the change.
    pub durable: bool,
}

/// Identifies one mutation over its retries: 16 random bytes, 32 hex digits on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(pub [u8; 16]);

impl Text for IdempotencyKey {
    const FORM: &'static str = "32 lower-case hex digits";

    fn to_text(&self) -> String {
        hex(&self.0)
    }

    fn of_text(text: &str) -> Option<Self> {
        of_hex(text).map(Self)
    }
}

as_text!(IdempotencyKey);

/// The time for which the bridge stores the answer to a mutation for retries, in seconds.
pub const REPLAY_SECONDS: u64 = 60;
