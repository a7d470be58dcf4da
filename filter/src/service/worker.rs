//! What a root context and all its streams share. It hangs from the root context, never from a
//! static: two generations of a configuration can live in one VM.

use crate::counters::Counters;
use crate::service::active_config::ActiveConfig;
use crate::service::paused_streams::PausedStreams;
use crate::service::pending_streams::PendingStreams;
use crate::service::store::WorkerStore;
use crate::workers::queue::WorkerQueue;

/// One configured worker.
pub(crate) struct Worker {
    pub(crate) config: ActiveConfig,
    pub(crate) store: WorkerStore,
    pub(crate) queue: WorkerQueue,
    pub(crate) counters: Counters,
    pub(crate) pending: PendingStreams,
    pub(crate) paused: PausedStreams,
}
