//! The state that a root context and all its streams share. It hangs from the root context, never
//! from a static: two generations of a configuration can live in one VM.

use std::rc::Rc;

use portcullis_gateway::config::{BridgeSettings, Compiled, Config, Storage};
use portcullis_gateway::state::secrets_poll::SecretsPoll;
use portcullis_gateway::store::bridge::Bridge;
use portcullis_gateway::store::memory::MemoryStore;

use crate::counters::Counters;
use crate::host::{self, HostClock, SharedCells, random};
use crate::log_lines::LogLines;
use crate::service::active_config::ActiveConfig;
use crate::service::paused_streams::PausedStreams;
use crate::service::pending_streams::PendingStreams;
use crate::service::store::WorkerStore;
use crate::workers::queue::WorkerQueue;
use crate::workers::registry;

/// One configured worker.
pub(crate) struct Worker {
    pub(crate) config: ActiveConfig,
    pub(crate) store: WorkerStore,
    pub(crate) queue: WorkerQueue,
    pub(crate) counters: Counters,
    pub(crate) log_lines: LogLines,
    pub(crate) pending: PendingStreams,
    pub(crate) paused: PausedStreams,
}

impl Worker {
    /// Puts a configuration in service.
    ///
    /// This runs on the main thread first, in VMs that never serve too, so it changes nothing but
    /// shared data that is absent.
    ///
    /// # Errors
    /// Every problem of the configuration, and what the host lacks.
    pub(crate) fn configure(document: &[u8], root: u32) -> Result<Self, Vec<String>> {
        let compiled = Config::compile(document, &host::variable)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let no_entropy = |_| vec!["the host gives no random numbers".to_owned()];
        let seed = u64::from_le_bytes(random().map_err(no_entropy)?);
        let name = u128::from_le_bytes(random().map_err(no_entropy)?);
        let queue = WorkerQueue::open(&format!("portcullis/queue/{root}/{name:032x}"))
            .ok_or_else(|| vec!["the host gives no queue".to_owned()])?;
        registry::create();
        let bridge = |settings: &BridgeSettings| WorkerStore::Bridge(Rc::new(Bridge::new(settings.clone())));
        let (store, config) = match compiled {
            Compiled::Ready(config) => {
                let store = match &config.storage {
                    Storage::Memory { max_bytes } => {
                        let memory = MemoryStore::new(SharedCells::create(*max_bytes), HostClock, *max_bytes);
                        WorkerStore::Memory(Rc::new(memory))
                    }
                    Storage::Bridge(settings) => bridge(settings),
                };
                (store, ActiveConfig::fixed(*config, seed).map_err(|error| vec![error.to_string()])?)
            }
            Compiled::Awaiting(draft) => {
                (bridge(draft.bridge()), ActiveConfig::watched(SecretsPoll::new(*draft), seed))
            }
        };
        Ok(Self {
            config,
            store,
            queue,
            counters: Counters::default(),
            log_lines: LogLines::default(),
            pending: PendingStreams::default(),
            paused: PausedStreams::default(),
        })
    }
}
