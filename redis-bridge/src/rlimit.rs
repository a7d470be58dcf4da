//! The process's limit of open files, which many connections would reach before the bridge's own
//! limit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one. Logs a warning if that is too low for this number of
/// connections.
pub(crate) fn raise_open_files(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let needed = u64::try_from(connections.saturating_add(OTHER_FILES)).unwrap_or(u64::MAX);
    if let Some(allowed) = getrlimit(Resource::Nofile).current
        && allowed < needed
    {
        tracing::warn!(
            allowed,
            needed,
            "the limit of open files is too low for `limits.connections`; raise it (`ulimit -n`) or lower the setting"
        );
    }
}

/// Descriptors for Redis, sentinels, observers, listeners and the log.
const OTHER_FILES: usize = 128;
