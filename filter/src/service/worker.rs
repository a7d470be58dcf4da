//! What a root context and all its streams share. It hangs from the root context, never from a
//! static: two generations of a configuration can live in one VM.

use crate::counters::Counters;
use crate::service::active_config::InService;
use crate::service::paused_streams::PausedStreams;
use crate::service::pending_streams::Waiting;
use crate::service::store::WorkerStore;
use crate::workers::queue::Mailbox;

/// One configured worker.
pub(crate) struct Worker {
    pub(crate) in_service: InService,
    pub(crate) store: WorkerStore,
    pub(crate) mailbox: Mailbox,
    pub(crate) counters: Counters,
    pub(crate) waiting: Waiting,
    pub(crate) paused: PausedStreams,
}
