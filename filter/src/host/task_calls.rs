//! The ports that need the host alone: calls, the clock, random bytes.

use portcullis_gateway::ports::{CallError, CallReply, CallRequest, Clock, Entropy, Fetch, NoEntropy};
use portcullis_gateway::runtime::Inbox;

use super::calls::dispatch;
use super::clock::now_ms;

/// The ports of a task that need the host alone; its calls are answered into its inbox.
#[derive(Clone)]
pub(crate) struct TaskCalls {
    inbox: Inbox,
}

impl TaskCalls {
    pub(crate) fn new(inbox: Inbox) -> Self {
        Self { inbox }
    }

    /// Where the task's calls are answered.
    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inbox
    }
}

impl Fetch for TaskCalls {
    async fn fetch(&self, call: CallRequest) -> Result<CallReply, CallError> {
        self.inbox.call(|| dispatch(&call)).await
    }
}

impl Clock for TaskCalls {
    fn now_ms(&self) -> u64 {
        now_ms()
    }
}

impl Entropy for TaskCalls {
    fn random<const N: usize>(&self) -> Result<[u8; N], NoEntropy> {
        random()
    }
}

/// Returns random bytes from the host's generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoEntropy> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoEntropy)?;
    Ok(bytes)
}
