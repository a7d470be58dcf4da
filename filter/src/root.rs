//! The root context of one worker: its configuration, and the jobs that belong to no single
//! request.
//!
//! A refresh of upstream tokens runs here: a client that disconnects must not be able to lose a
//! rotated refresh token. A stream that waits for a job is decided by it and resumed from here,
//! which is allowed because applying a decision dispatches nothing.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use log::Level;
use portcullis_gateway::audit::AuditOutcome;
use portcullis_gateway::config::ProviderId;
use portcullis_gateway::decision::RefreshOutcome;
use portcullis_gateway::ports::UpstreamTokenRef;
use portcullis_gateway::resource_server::session_check;
use portcullis_gateway::runtime::Inbox;
use portcullis_gateway::sessions::ended;
use portcullis_gateway::state::secrets_poll::PollMode;
use portcullis_gateway::upstream::refresh::Cause;
use portcullis_gateway::upstream::{issuer_keys, providers, renew};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::apply::{AUDIT, apply_to};
use crate::host::{self, TaskCalls};
use crate::http_context::RequestStream;
use crate::jobs::{Job, JobOutcome, Jobs};
use crate::service::fetch_secrets;
use crate::service::open_streams::Checked;
use crate::service::ports::TaskPorts;
use crate::service::store::WorkerStore;
use crate::service::worker::Worker;
use crate::stream_outcome::Applied;
use crate::version;
use crate::workers::message::Message;

/// One root context.
pub(crate) struct Root {
    id: u32,
    worker: Option<Rc<Worker>>,
    jobs: Jobs,
    /// When to retry a refresh that is in progress in another worker, in Unix seconds by tokens.
    retries: BTreeMap<UpstreamTokenRef, u64>,
    /// When the list of ended sessions is read next, in Unix milliseconds.
    ended_due: u64,
    /// How many of the store's unreadable cells have been counted.
    unreadable: u64,
}

impl Root {
    pub(crate) fn new(id: u32) -> Self {
        Self { id, worker: None, jobs: Jobs::default(), retries: BTreeMap::new(), ended_due: 0, unreadable: 0 }
    }

    /// Refreshes upstream tokens, unless that is under way here.
    fn refresh_upstream(&mut self, worker: &Rc<Worker>, token: UpstreamTokenRef, cause: Cause) {
        let job = Job::RefreshUpstream(token);
        if self.jobs.has(job) || self.jobs.room(job) == 0 {
            return;
        }
        let Some(active) = worker.config.gateway() else { return };
        let inbox = Inbox::ticking();
        let ports = TaskPorts::new(worker.clone(), &active, inbox.clone());
        let refresh = async move {
            let outcome = renew::renew(active.gateway, token, cause, ports).await;
            JobOutcome::Refreshed(token, outcome)
        };
        self.start(worker, job, inbox, refresh);
    }

    /// Fetches the documents of providers that are due: what is wrong with one is logged when the
    /// configuration is put in service, not at the first login.
    fn fetch_due_providers(&mut self, worker: &Rc<Worker>, now: u64) {
        let Some(active) = worker.config.gateway() else { return };
        for provider in active.gateway.providers_due(now, worker.queue.is_registered()) {
            self.fetch_provider(worker, provider);
        }
    }

    /// Fetches a provider's documents if they are due, unless that is under way here.
    fn fetch_provider(&mut self, worker: &Rc<Worker>, provider: ProviderId) {
        let job = Job::FetchProvider(provider);
        if self.jobs.has(job) || self.jobs.room(job) == 0 {
            return;
        }
        let Some(active) = worker.config.gateway() else { return };
        let inbox = Inbox::new(true);
        let ports = TaskPorts::new(worker.clone(), &active, inbox.clone());
        let fetch = async move {
            providers::warm(active.gateway, provider, ports).await;
            JobOutcome::ProviderFetched(provider)
        };
        self.start(worker, job, inbox, fetch);
    }

    /// Fetches the keys of the trusted issuers if they are due.
    fn fetch_due_keys(&mut self, worker: &Rc<Worker>, now: u64) {
        let Some(active) = worker.config.gateway() else { return };
        for issuer in active.gateway.issuer_keys_due(now, worker.queue.is_registered()) {
            self.fetch_keys(worker, issuer);
        }
    }

    /// Fetches the keys of a trusted issuer, unless that is under way here or was done a moment
    /// ago.
    fn fetch_keys(&mut self, worker: &Rc<Worker>, issuer: usize) {
        let job = Job::FetchKeys(issuer);
        if self.jobs.has(job) || self.jobs.room(job) == 0 {
            return;
        }
        let Some(active) = worker.config.gateway() else { return };
        let inbox = Inbox::new(true);
        let ports = TaskPorts::new(worker.clone(), &active, inbox.clone());
        let fetch = async move {
            issuer_keys::fetch(active.gateway, issuer, ports).await;
            JobOutcome::KeysFetched(issuer)
        };
        self.start(worker, job, inbox, fetch);
    }

    /// Fetches the secrets of the bridge, and waits for them to change.
    fn fetch_secrets(&mut self, worker: &Rc<Worker>) {
        let serves = worker.queue.is_registered();
        if self.jobs.room(Job::FetchSecrets) == 0 || !worker.config.should_poll(serves, host::now_ms()) {
            return;
        }
        let inbox = Inbox::new(true);
        let fetch = fetch_secrets::fetch(worker.clone(), PollMode::LongPoll, TaskCalls::new(inbox.clone()));
        let fetch = async move {
            fetch.await;
            JobOutcome::SecretsFetched
        };
        self.start(worker, Job::FetchSecrets, inbox, fetch);
    }

    /// Looks up the sessions behind tokens that are being served.
    fn recheck_sessions(&mut self, worker: &Rc<Worker>) {
        let Some(active) = worker.config.gateway() else { return };
        for entry in active.gateway.take_rechecks(self.jobs.room(Job::RecheckSession)) {
            let inbox = Inbox::new(true);
            let ports = TaskPorts::new(worker.clone(), &active, inbox.clone());
            let recheck = session_check::recheck(active.gateway.clone(), entry, ports);
            let recheck = async move {
                recheck.await;
                JobOutcome::SessionRechecked
            };
            self.start(worker, Job::RecheckSession, inbox, recheck);
        }
    }

    /// Reads which sessions have ended in other Envoys, every two seconds while tokens are served.
    fn read_ended(&mut self, worker: &Rc<Worker>) {
        let Some(active) = worker.config.gateway() else { return };
        let now_ms = host::now_ms();
        let is_due = now_ms >= self.ended_due || self.ended_due > now_ms.saturating_add(ENDED_MS);
        if !is_due || !ended::has_readers(&active.gateway) || !active.gateway.knows_tokens() {
            return;
        }
        if self.jobs.room(Job::ReadEnded) == 0 {
            return;
        }
        self.ended_due = now_ms.saturating_add(ENDED_MS);
        let inbox = Inbox::new(true);
        let ports = TaskPorts::new(worker.clone(), &active, inbox.clone());
        let read = async move {
            ended::read(&active.gateway, &ports).await;
            JobOutcome::EndedRead
        };
        self.start(worker, Job::ReadEnded, inbox, read);
    }

    /// Looks up the sessions of open streams.
    fn check_streams(&mut self, worker: &Rc<Worker>, now: u64) {
        let Some(active) = worker.config.gateway() else { return };
        for session in worker.open.take_due(self.jobs.room(Job::CheckStreams), now) {
            let inbox = Inbox::new(true);
            let ports = TaskPorts::new(worker.clone(), &active, inbox.clone());
            let look_up = session_check::refreshed_until(active.gateway.clone(), session, ports);
            let check = async move {
                let checked = match look_up.await {
                    Ok(Some(until)) => Checked::Until(until),
                    Ok(None) => Checked::Ended,
                    Err(_) => Checked::Unknown,
                };
                JobOutcome::StreamsChecked(session, checked)
            };
            self.start(worker, Job::CheckStreams, inbox, check);
        }
    }

    fn start(&mut self, worker: &Worker, job: Job, inbox: Inbox, future: impl Future<Output = JobOutcome> + 'static) {
        if let Some(outcome) = self.jobs.start(job, inbox, future) {
            self.finish(worker, &outcome);
        }
    }

    /// Acts on the outcome of a job.
    fn finish(&mut self, worker: &Worker, outcome: &JobOutcome) {
        match outcome {
            JobOutcome::Refreshed(token, outcome) => self.refreshed(worker, *token, outcome),
            JobOutcome::ProviderFetched(provider) => {
                worker.pending.resolve_provider(*provider);
                notify_resolved(worker);
            }
            JobOutcome::KeysFetched(issuer) => {
                worker.pending.resolve_keys(*issuer);
                notify_resolved(worker);
            }
            JobOutcome::StreamsChecked(session, checked) => {
                worker.open.checked(*session, *checked, host::now());
                if let (Checked::Ended, Some(active)) = (checked, worker.config.gateway()) {
                    active.gateway.forget_sessions(&[*session]);
                }
                notify_resolved(worker);
            }
            JobOutcome::EndedRead => {
                if let Some(active) = worker.config.gateway() {
                    worker.open.end_sessions(|session| active.gateway.has_ended(session));
                    notify_resolved(worker);
                }
            }
            JobOutcome::SecretsFetched | JobOutcome::SessionRechecked => {}
        }
    }

    fn refreshed(&mut self, worker: &Worker, token: UpstreamTokenRef, outcome: &RefreshOutcome) {
        worker.counters.count("upstream_refresh", word(outcome));
        if let RefreshOutcome::InProgressElsewhere = outcome {
            if worker.pending.has(token) {
                self.retries.insert(token, host::now().saturating_add(RETRY_SECONDS));
            }
            return;
        }
        self.retries.remove(&token);
        worker.pending.resolve_upstream(token, outcome);
        notify_resolved(worker);
        worker.queue.notify_peers(Message::Refreshed(token), host::now());
    }

    /// Applies the decisions of paused streams that are resolved or evicted, and closes the open
    /// ones that are over; once in a callback. Each has to be the host's current context while it
    /// is changed.
    ///
    /// The host sends the responses after the callback, each from within the one before, so sending
    /// all at once would exhaust the stack: what is left over gets a callback of its own.
    fn apply_resolved(&self, worker: &Worker) {
        let resolved = worker.pending.take_resolved(MAX_APPLIED);
        let evicted = worker.paused.take_evicted(MAX_APPLIED.saturating_sub(resolved.len()));
        let applied = resolved.len().saturating_add(evicted.len());
        for (stream, outcome, decision) in resolved.into_iter().chain(evicted) {
            worker.paused.leave(stream);
            if !host::set_effective_context(stream) {
                continue;
            }
            if let Applied::Forwarded(_) = apply_to(&outcome, &decision, stream, worker) {
                host::continue_request();
            }
        }
        for stream in worker.open.take_over(MAX_APPLIED.saturating_sub(applied)) {
            if host::set_effective_context(stream) {
                worker.counters.count("streams", "ended");
                host::close_stream();
            }
        }
        // It is the context whose callback this is, so it is there.
        let _ = host::set_effective_context(self.id);
        notify_resolved(worker);
    }

    fn receive(&mut self, worker: &Rc<Worker>, message: Message) {
        match message {
            Message::Refresh(token) => self.refresh_upstream(worker, token, Cause::Due),
            Message::Rejected { token, sent_at } => self.refresh_upstream(worker, token, Cause::Rejected { sent_at }),
            Message::Refreshed(token) if worker.pending.has(token) => self.refresh_upstream(worker, token, Cause::Due),
            Message::FetchProvider(provider) => self.fetch_provider(worker, provider),
            Message::FetchKeys(issuer) => self.fetch_keys(worker, issuer),
            // Decisions are applied once the messages are read.
            Message::Refreshed(_) | Message::ApplyResolved => {}
            Message::Replaced(owner) => {
                if let Some(active) = worker.config.gateway() {
                    active.gateway.forget_upstream(owner);
                }
            }
            Message::Ended(session) => {
                if let Some(active) = worker.config.gateway() {
                    active.gateway.forget_sessions(&[session]);
                }
                worker.open.end_sessions(|other| other == session);
            }
        }
    }

    /// Retries refreshes that were in progress in another worker, as long as a stream waits for
    /// them.
    fn retry(&mut self, worker: &Rc<Worker>, now: u64) {
        let waited_for = worker.pending.upstream_tokens();
        self.retries.retain(|token, _| waited_for.contains(token));
        for token in waited_for {
            // A time that is further away is from before the clock was set back.
            if self.retries.get(&token).is_none_or(|due| !(1..=RETRY_SECONDS).contains(&due.saturating_sub(now))) {
                self.refresh_upstream(worker, token, Cause::Due);
            }
        }
    }

    /// Adds what was counted to Envoy's metrics, and logs what an operator has to know of.
    fn flush_counters(&mut self, worker: &Worker) {
        match &worker.store {
            WorkerStore::Memory(memory) => {
                let unreadable = memory.unreadable();
                worker.counters.add("store", "unreadable_cells", unreadable.saturating_sub(self.unreadable));
                self.unreadable = unreadable;
            }
            WorkerStore::Bridge(bridge) => {
                for line in bridge.take_failures() {
                    worker.log_lines.write(Level::Warn, line);
                }
            }
        }
        for reason in worker.counters.pending(AuditOutcome::Fail.as_str()) {
            let line = format!("requests could not be decided: `{reason}`");
            worker.log_lines.write(Level::Warn, line);
        }
        worker.counters.flush();
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, id: u32, headers: usize, body: usize, _trailers: usize) {
        host::begin_callback();
        let Some(worker) = self.worker.clone() else { return };
        if let Some(outcome) = self.jobs.on_call(id, || host::call_reply(headers, body)) {
            self.finish(&worker, &outcome);
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        host::begin_callback();
        version::announce();
        host::declare_struct(AUDIT);
        match Worker::configure(&host::configuration(size), self.id) {
            Ok(worker) => {
                self.worker = Some(Rc::new(worker));
                host::set_tick_period(TICK);
                true
            }
            Err(problems) => {
                for problem in problems {
                    log::error!("{problem}");
                }
                false
            }
        }
    }

    fn on_tick(&mut self) {
        host::begin_callback();
        let Some(worker) = self.worker.clone() else { return };
        let now = host::now();
        worker.pending.resolve_overdue(now, &RefreshOutcome::Unavailable);
        worker.paused.evict_overdue(now);
        self.check_streams(&worker, now);
        self.apply_resolved(&worker);
        self.fetch_secrets(&worker);
        for outcome in self.jobs.on_tick() {
            self.finish(&worker, &outcome);
        }
        self.retry(&worker, now);
        self.read_ended(&worker);
        self.recheck_sessions(&worker);
        self.fetch_due_providers(&worker, now);
        self.fetch_due_keys(&worker, now);
        worker.queue.renew(now);
        self.flush_counters(&worker);
    }

    fn on_queue_ready(&mut self, _queue: u32) {
        host::begin_callback();
        let Some(worker) = self.worker.clone() else { return };
        while let Some(message) = worker.queue.next() {
            self.receive(&worker, message);
        }
        self.apply_resolved(&worker);
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(RequestStream::new(id, self.worker.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            worker.counters.flush();
            worker.queue.close();
        }
    }
}

/// Has the root apply the decisions of streams that are resolved or evicted, and close those that
/// are over, if there are any, in a callback of its own.
fn notify_resolved(worker: &Worker) {
    if worker.pending.has_resolved() || worker.paused.has_evicted() || worker.open.has_over() {
        worker.queue.notify_root(Message::ApplyResolved);
    }
}

fn word(outcome: &RefreshOutcome) -> &'static str {
    match outcome {
        RefreshOutcome::Ready(_) => "ready",
        RefreshOutcome::LoginRequired => "login_required",
        RefreshOutcome::Unavailable => "unavailable",
        RefreshOutcome::Refused => "refused",
        RefreshOutcome::InProgressElsewhere => "elsewhere",
    }
}

const TICK: Duration = Duration::from_millis(500);
const RETRY_SECONDS: u64 = 1;
/// How often the list of ended sessions is read, in milliseconds.
const ENDED_MS: u64 = 2_000;
/// The most decisions that are applied in one callback.
const MAX_APPLIED: usize = 32;
