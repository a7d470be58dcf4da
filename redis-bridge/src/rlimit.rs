//! The process's limit of open files: many callers at once would meet it long before the bridge's
//! own limit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as the system allows, and says so where that is still too little for
/// that number of connections.
pub(crate) fn allow(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let needed = u64::try_from(connections.saturating_add(OTHERS)).unwrap_or(u64::MAX);
    if let Some(allowed) = getrlimit(Resource::Nofile).current
        && allowed < needed
    {
        tracing::warn!(allowed, needed, "fewer files may be open than limits.connections asks for");
    }
}

/// Connections to Redis, sentinels and observers, listeners and the log.
const OTHERS: usize = 128;
