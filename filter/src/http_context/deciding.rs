//! A request that is not decided by its headers alone: its events go into its task, and the task's
//! decision is applied.

use std::rc::Rc;

use portcullis_gateway::decision::{Decision, RefreshOutcome, Resolved};
use portcullis_gateway::dispatch;
use portcullis_gateway::dispatch::admission::{Admission, Excess, MAX_OWN_HEADER_BYTES};
use portcullis_gateway::runtime::{Inbox, Polled, Task};
use portcullis_gateway::state::secrets_poll::PollMode;
use portcullis_protocol::http::message::Request;

use super::request_head::{RequestHead, read_request};
use crate::apply::apply_to;
use crate::host::{self, HeaderMap, TaskCalls};
use crate::service::fetch_secrets;
use crate::service::paused_streams::{BodyWait, Full, MAX_BODY_SECONDS};
use crate::service::pending_streams::{Awaited, MAX_WAIT_SECONDS, PendingStream};
use crate::service::ports::TaskPorts;
use crate::service::worker::Worker;
use crate::stream_outcome::{Applied, StreamOutcome};
use crate::workers::message::Message;

/// A request that is being decided. Methods that may decide it return what was applied then.
pub(super) struct Deciding {
    id: u32,
    worker: Rc<Worker>,
    task: Option<Task<Decision>>,
    outcome: Rc<StreamOutcome>,
    /// How much of the body has come.
    body_bytes: usize,
}

impl Deciding {
    pub(super) fn new(id: u32, worker: &Rc<Worker>, head: &RequestHead<'_>) -> Self {
        let outcome = Rc::new(StreamOutcome::new(&head.applied_to()));
        Self { id, worker: worker.clone(), task: None, outcome, body_bytes: 0 }
    }

    /// Returns what was applied; `None` while the request is undecided. A job of the root may have
    /// decided it since the last callback.
    pub(super) fn applied(&self) -> Option<Applied> {
        self.outcome.applied()
    }

    /// Starts to decide a request by its headers; `body_ended` if it has nothing else.
    pub(super) fn start(&mut self, head: &RequestHead<'_>, headers: &HeaderMap, body_ended: bool) -> Option<Applied> {
        let body_bytes = match self.enter(head.target, headers.text_bytes(), body_ended) {
            Ok(body_bytes) => body_bytes,
            Err(refusal) => return Some(self.apply(&refusal)),
        };
        let inbox = Inbox::keeping(body_bytes, body_ended);
        match Task::start(inbox.clone(), decide(self.worker.clone(), read_request(headers), inbox)) {
            Polled::Ready(decision) => self.proceed(decision),
            Polled::Pending(task) => {
                self.task = Some(task);
                None
            }
        }
    }

    /// Reads what is new of a body of which `size` bytes have come; `end` if it is complete. While
    /// a request is paused the host has all of them.
    pub(super) fn on_body(&mut self, size: usize, end: bool) -> Option<Applied> {
        match self.worker.paused.on_body(self.id, size, end) {
            Ok(evicts) => self.answer_evicted(evicts),
            Err(Full(known)) => {
                let admission = known.unwrap_or_else(Admission::without_gateway);
                return Some(self.apply(&admission.refuse(Excess::Full)));
            }
        }
        let decision = self.task.as_mut().and_then(|task| {
            let fresh = size.saturating_sub(self.body_bytes).min(task.wanted_body_bytes());
            let piece = if fresh > 0 { host::request_body(self.body_bytes, fresh) } else { Vec::new() };
            task.on_body(&piece, end)
        });
        self.body_bytes = size;
        self.proceed(decision?)
    }

    /// Ends a body with trailers: then the host does not announce its end with the body.
    pub(super) fn on_trailers(&mut self) -> Option<Applied> {
        self.on_body(self.body_bytes, true)
    }

    /// Delivers the answer to a call.
    pub(super) fn on_call(&mut self, id: u32, headers: usize, body: usize) -> Option<Applied> {
        let task = self.task.as_mut().filter(|task| task.waits_for(id))?;
        let decision = task.on_call(id, host::call_reply(headers, body))?;
        self.proceed(decision)
    }

    /// Adds the stream to those that are paused, before anything of it is kept and before its
    /// handler makes any call. Returns how many bytes of its body the handler reads.
    ///
    /// # Errors
    /// The refusal: its headers are too large, or there is no room.
    fn enter(&self, target: &[u8], header_bytes: usize, body_ended: bool) -> Result<usize, Box<Resolved>> {
        let mut body_bytes = 0;
        let mut body = None;
        // Only these need their route's limits.
        if !body_ended || header_bytes > MAX_OWN_HEADER_BYTES {
            let admission = admission(&self.worker, target);
            if header_bytes > admission.header_bytes {
                return Err(Box::new(admission.refuse(Excess::Headers)));
            }
            body_bytes = admission.body_bytes;
            body = (body_bytes > 0 && !body_ended).then(|| BodyWait {
                connection: host::connection(),
                deadline: host::now().saturating_add(MAX_BODY_SECONDS),
                admission,
                outcome: self.outcome.clone(),
            });
        }
        match self.worker.paused.enter(self.id, header_bytes, body) {
            Ok(evicts) => {
                self.answer_evicted(evicts);
                Ok(body_bytes)
            }
            Err(Full(known)) => {
                let admission = known.unwrap_or_else(|| admission(&self.worker, target));
                Err(Box::new(admission.refuse(Excess::Full)))
            }
        }
    }

    /// Has the root answer the streams that were evicted for this one.
    fn answer_evicted(&self, evicts: bool) {
        if evicts {
            self.worker.queue.notify_root(Message::ApplyResolved);
        }
    }

    /// Acts on the decision of the task.
    fn proceed(&mut self, decision: Decision) -> Option<Applied> {
        self.task = None;
        match decision {
            Decision::Resolved(resolved) => Some(self.apply(&resolved)),
            Decision::AwaitUpstream { token, decide } => {
                self.wait(Awaited::Upstream(token), decide, Message::Refresh(token));
                None
            }
            Decision::AwaitKeys { issuer, decide } => {
                let worker = self.worker.clone();
                let decide = Box::new(move |_: &RefreshOutcome| match worker.config.gateway() {
                    Some(active) => decide(&*active.crypto, host::now()),
                    None => fetch_secrets::not_ready(),
                });
                self.wait(Awaited::Keys(issuer), decide, Message::FetchKeys(issuer));
                None
            }
            Decision::AwaitProvider { provider, decide } => {
                self.wait(Awaited::Provider(provider), Box::new(|_| decide()), Message::FetchProvider(provider));
                None
            }
        }
    }

    /// Waits for the job of the root that the message starts.
    fn wait(&self, awaited: Awaited, decide: Box<dyn FnOnce(&RefreshOutcome) -> Resolved>, message: Message) {
        let deadline = host::now().saturating_add(MAX_WAIT_SECONDS);
        let outcome = self.outcome.clone();
        self.worker.pending.add(PendingStream { stream: self.id, awaited, decide, deadline, outcome });
        self.worker.queue.notify_root(message);
    }

    /// Applies a decision, after which nothing is left to wait for.
    fn apply(&mut self, decision: &Resolved) -> Applied {
        self.abandon();
        apply_to(&self.outcome, decision, self.id, &self.worker)
    }

    /// Abandons the decision.
    fn abandon(&mut self) {
        self.task = None;
        self.worker.pending.remove(self.id);
        self.worker.paused.leave(self.id);
    }
}

impl Drop for Deciding {
    fn drop(&mut self) {
        if self.applied().is_none() {
            self.abandon();
        }
    }
}

/// Decides a request that does not take the fast path, as soon as there is a gateway.
async fn decide(worker: Rc<Worker>, request: Request, inbox: Inbox) -> Decision {
    if worker.config.needs_secrets() {
        fetch_secrets::fetch(worker.clone(), PollMode::Immediate, TaskCalls::new(inbox.clone())).await;
    }
    match worker.config.gateway() {
        Some(active) => {
            let ports = TaskPorts::new(worker, &active, inbox);
            dispatch::handle(active.gateway, request, ports).await
        }
        None => fetch_secrets::not_ready().into(),
    }
}

/// Returns the limits of a request to this target.
fn admission(worker: &Worker, target: &[u8]) -> Admission {
    match worker.config.gateway() {
        Some(active) => Admission::of(&active.gateway, target),
        None => Admission::without_gateway(),
    }
}
