//! One server, or the current master of a group of servers, with the task that watches it.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::redis::discovery::MasterDiscovery;
use crate::redis::master::{CommandError, Confirmation, Master};
use crate::redis::master_state::{MasterState, WriteDurability};
use crate::redis::redis_error::RedisError;
use crate::redis::script::Script;

/// A watched server or master. Dropping it ends its discovery and its connections.
pub(crate) struct RedisNode {
    state: watch::Receiver<MasterState>,
    refresh: Arc<Notify>,
    discovery: AbortHandle,
}

impl RedisNode {
    /// Starts a discovery in a task of its own. `refresh` is the one given to the discovery.
    pub(crate) fn start(discovery: MasterDiscovery, refresh: Arc<Notify>) -> Self {
        let state = discovery.state();
        Self { state, refresh, discovery: tokio::spawn(discovery.run()).abort_handle() }
    }

    /// Requests a refresh of the discovery now.
    pub(crate) fn request_refresh(&self) {
        self.refresh.notify_one();
    }

    /// Returns `true` if a master is connected.
    pub(crate) fn is_usable(&self) -> bool {
        self.state.borrow().master.is_some()
    }

    /// Returns the latest state.
    pub(crate) fn state(&self) -> MasterState {
        self.state.borrow().clone()
    }

    /// Waits until the discovery has finished once.
    pub(crate) async fn wait_until_probed(&self) {
        // The clone starts at the initial state; the only error is a discovery that has ended.
        let _ = self.state.clone().wait_for(|state| state.probed).await;
    }

    /// Waits until a master is connected.
    pub(crate) async fn wait_until_usable(&self) {
        let _ = self.state.clone().wait_for(|state| state.master.is_some()).await;
    }

    /// Runs one command.
    pub(crate) async fn command(&self, command: &redis::Cmd) -> Result<redis::Value, CommandError> {
        self.master()?.0.command(command).await
    }

    /// Runs a script, and waits for the replicas if `durable` and the master has any.
    pub(crate) async fn change(
        &self,
        script: &Script,
        names: &[String],
        args: &[Vec<u8>],
        durable: bool,
    ) -> Result<(Vec<u8>, Confirmation), CommandError> {
        let (master, replicated) = self.master()?;
        if durable && replicated {
            master.durable_script(script, names, args).await
        } else {
            Ok((master.script(script, names, args).await?, Confirmation::NotRequested))
        }
    }

    /// Returns the master, and whether durable writes wait for its replicas.
    fn master(&self) -> Result<(Arc<Master>, bool), RedisError> {
        let state = self.state.borrow();
        if matches!(state.durability, WriteDurability::Refused(_)) {
            return Err(RedisError::NoReplicas);
        }
        let master = state.master.as_ref().map(Arc::clone).ok_or(RedisError::NoMaster)?;
        Ok((master, state.durability == WriteDurability::Replicated))
    }
}

impl Drop for RedisNode {
    fn drop(&mut self) {
        self.discovery.abort();
        if let Some(master) = &self.state.borrow().master {
            master.retire();
        }
    }
}
