//! One server, or the master of one group of servers, with the task that looks for it.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::operations::script::Script;
use crate::redis::discovery::{MasterDiscovery, Standing, Waiting};
use crate::redis::master::{Confirmed, Master, Undone};
use crate::redis::redis_error::Fault;

/// A server, or whichever one is the master, for as long as its discovery runs.
pub(crate) struct Node {
    standing: watch::Receiver<Standing>,
    pub(crate) nudge: Arc<Notify>,
    task: AbortHandle,
}

impl Node {
    /// Sets a discovery to work.
    pub(crate) fn start(discovery: MasterDiscovery, nudge: Arc<Notify>) -> Self {
        let standing = discovery.standing();
        Self { standing, nudge, task: tokio::spawn(discovery.run()).abort_handle() }
    }

    /// Whether it can be asked anything now.
    pub(crate) fn is_usable(&self) -> bool {
        self.standing.borrow().master.is_some()
    }

    /// How it is now.
    pub(crate) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Waits until it was looked for once.
    pub(crate) async fn looked(&self) {
        // The copy has seen nothing but what the discovery began with; only a discovery that has ended is
        // an error.
        let _ = self.standing.clone().wait_for(|standing| standing.looked).await;
    }

    pub(crate) async fn found(&self) {
        let _ = self.standing.clone().wait_for(|standing| standing.master.is_some()).await;
    }

    pub(crate) async fn command(&self, command: &redis::Cmd) -> Result<redis::Value, Undone> {
        self.master()?.0.command(command).await
    }

    pub(crate) async fn change(
        &self,
        script: Script,
        names: &[String],
        args: &[Vec<u8>],
        durable: bool,
    ) -> Result<(Vec<u8>, Confirmed), Undone> {
        let (master, waits) = self.master()?;
        if durable && waits {
            master.durable_script(script, names, args).await
        } else {
            Ok((master.script(script, names, args).await?, Confirmed::Unasked))
        }
    }

    /// The master, and whether durable writes wait for its replicas.
    fn master(&self) -> Result<(Arc<Master>, bool), Fault> {
        let standing = self.standing.borrow();
        if matches!(standing.waiting, Waiting::Refused(_)) {
            return Err(Fault::NoReplicas);
        }
        let master = standing.master.as_ref().map(Arc::clone).ok_or(Fault::NoMaster)?;
        Ok((master, standing.waiting == Waiting::Replica))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(master) = &self.standing.borrow().master {
            master.retire();
        }
    }
}
