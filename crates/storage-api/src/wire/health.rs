//! The health of the bridge.

use serde::{Deserialize, Serialize};

/// The request of `health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthRequest {}

/// The answer to `health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthAnswer {
    /// Whether Redis can be used.
    pub ready: bool,
    /// The durability of a durable write.
    pub durability: Durability,
    /// Why Redis cannot be used, or why durable writes are not replicated.
    pub reason: Option<String>,
}

/// The current durability of durable writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Durability {
    /// Answered after the replicas have acknowledged the write.
    Replicated,
    /// Answered by the master alone: a failover can lose the write.
    Async,
}
