//! The gateway's ports over Envoy: one small value for each request and each job of the root.

use std::rc::Rc;

use log::Level;
use portcullis_gateway::ports::{
    Body, BodyTooLarge, CallError, CallReply, CallRequest, Clock, Crypto, Entropy, Fetch, Metrics, NoEntropy, Ports,
    ProviderFailure, ProviderReports, Sleep, SleepResult, StoreAnomaly, Workers,
};
use portcullis_gateway::ports::{TokenOwner, UpstreamTokenRef};
use portcullis_gateway::runtime::Inbox;
use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::jose::alg::Alg;
use portcullis_protocol::jose::keys::{PublicKey, SigningKey};

use crate::host::crypto::HostCrypto;
use crate::host::{self, TaskCalls};
use crate::service::active_config::ActiveGateway;
use crate::service::store::TaskStore;
use crate::service::worker::Worker;
use crate::workers::message::Message;

/// The ports of one task: what the worker holds, and the task's own inbox.
pub(crate) struct TaskPorts {
    worker: Rc<Worker>,
    /// Signs with the keys of the gateway that the task began with.
    crypto: Rc<HostCrypto>,
    calls: TaskCalls,
    store: TaskStore,
}

impl TaskPorts {
    pub(crate) fn new(worker: Rc<Worker>, active: &ActiveGateway, inbox: Inbox) -> Self {
        let calls = TaskCalls::new(inbox);
        Self { store: worker.store.for_task(calls.clone()), crypto: active.crypto.clone(), calls, worker }
    }
}

impl Ports for TaskPorts {
    type Store = TaskStore;

    fn store(&self) -> &Self::Store {
        &self.store
    }
}

impl Fetch for TaskPorts {
    async fn fetch(&self, call: CallRequest) -> Result<CallReply, CallError> {
        self.calls.fetch(call).await
    }
}

impl Body for TaskPorts {
    async fn body(&self, limit: usize) -> Result<Vec<u8>, BodyTooLarge> {
        self.calls.inbox().body(limit).await
    }
}

impl Clock for TaskPorts {
    fn now_ms(&self) -> u64 {
        self.calls.now_ms()
    }
}

impl Sleep for TaskPorts {
    async fn sleep(&self) -> SleepResult {
        let is_woken = self.calls.inbox().next_tick().await;
        if is_woken { SleepResult::Woken } else { SleepResult::Unsupported }
    }
}

impl Metrics for TaskPorts {
    fn count(&self, what: StoreAnomaly) {
        self.worker.counters.count("store", what.word());
    }
}

impl ProviderReports for TaskPorts {
    fn provider_answered(&self, provider: &str) {
        host::set_gauge(&provider_up(provider), 1);
    }

    fn provider_failed(&self, failure: ProviderFailure<'_>) {
        let ProviderFailure { provider, url, reason, cause, is_down } = failure;
        self.worker.counters.count("provider", reason.as_str());
        if is_down {
            host::set_gauge(&provider_up(provider), 0);
        }
        self.worker.log_lines.write(Level::Warn, format!("provider `{provider}`: {url}: {cause}"));
    }

    fn provider_noted(&self, provider: &str, note: &str) {
        self.worker.log_lines.write(Level::Warn, format!("provider `{provider}`: {note}"));
    }
}

impl Entropy for TaskPorts {
    fn random<const N: usize>(&self) -> Result<[u8; N], NoEntropy> {
        self.calls.random()
    }
}

impl Crypto for TaskPorts {
    fn sign(&self, key: &SigningKey, message: &[u8]) -> Option<Vec<u8>> {
        self.crypto.sign(key, message)
    }

    fn verify(&self, key: &PublicKey, alg: Alg, message: &[u8], signature: &[u8]) -> bool {
        self.crypto.verify(key, alg, message, signature)
    }
}

impl Workers for TaskPorts {
    fn refresh_upstream(&self, token: UpstreamTokenRef) {
        self.worker.queue.notify_root(Message::Refresh(token));
    }

    fn upstream_replaced(&self, owner: TokenOwner) {
        self.worker.queue.notify_peers(Message::Replaced(owner), host::now());
    }

    fn session_ended(&self, session: SessionId) {
        // This worker forgets it at once: the next request may already be here.
        if let Some(active) = self.worker.config.gateway() {
            active.gateway.forget_sessions(&[session]);
        }
        self.worker.queue.notify_peers(Message::Ended(session), host::now());
        // Its own root closes the session's streams here.
        self.worker.queue.notify_root(Message::Ended(session));
    }
}

/// The name of the gauge that is 1 while a provider can be used, and 0 while it cannot.
fn provider_up(provider: &str) -> String {
    format!("portcullis.provider_up.{provider}")
}
