//! How a change is made: once, and durable where asked.

use serde::{Deserialize, Serialize};

use crate::text::{Text, as_text, hex, of_hex};

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

/// Names one mutation, so that sending it again does it once: 16 random bytes, 32 hex digits on the
/// wire.
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

/// How long the bridge remembers the answer to a mutation, in seconds: a retry within it gets the
/// same answer.
pub const REPLAY_SECONDS: u64 = 60;
