//! What the discovery of a master publishes.

use std::sync::Arc;

use crate::redis::master::Master;

/// The latest result of a discovery.
#[derive(Clone)]
pub(crate) struct MasterState {
    /// The connected master.
    pub(crate) master: Option<Arc<Master>>,
    /// Why there is none, or why it refuses every write.
    pub(crate) error: Option<String>,
    /// The condition that a durable write waits for.
    pub(crate) durability: WriteDurability,
    /// Whether the discovery has finished once.
    pub(crate) probed: bool,
}

/// The condition that a durable write waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WriteDurability {
    /// The replicas.
    Replicated,
    /// The master alone, for this reason.
    Async(String),
    /// Nothing is served, for this reason: the configuration requires replicas.
    Refused(String),
}

impl MasterState {
    /// Returns `true` if a master is connected, answers, and takes writes.
    pub(crate) fn is_answering(&self) -> bool {
        self.master.as_ref().is_some_and(|master| !master.is_silent()) && self.error.is_none()
    }

    /// Returns why the master cannot be used.
    pub(crate) fn error(&self) -> Option<String> {
        let silent = self.master.as_ref().filter(|master| master.is_silent());
        let silent = silent.map(|master| format!("redis at {}: a connection does not answer", master.server.endpoint));
        silent.or_else(|| self.error.clone())
    }
}
