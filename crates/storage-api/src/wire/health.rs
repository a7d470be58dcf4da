//! The health of the bridge.

use serde::{Deserialize, Serialize};

/// `health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthRequest {}

/// To `health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthAnswer {
    /// Whether the store can be used.
    pub ready: bool,
    /// The durability of a write that asks for it.
    pub durability: Durability,
    /// Why the store cannot be used, or why a durable write is worth no more.
    pub reason: Option<String>,
}

/// The durability of writes that ask for it, at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Durability {
    /// It is answered once a replica has it.
    Replicated,
    /// It is answered once the master has it: a failover can lose it.
    Async,
}
