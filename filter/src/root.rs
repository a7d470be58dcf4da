//! The root context of one worker: its configuration, and the work that belongs to no single
//! request.
//!
//! A refresh of upstream tokens runs here: a client that hangs up must not be able to lose a
//! rotated refresh token. Root tasks are polled only in the root's own callbacks; a waiting stream
//! is settled from there, which is allowed because settling dispatches nothing.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use portcullis_gateway::config::{BridgeSettings, Compiled, Config, Storage};
use portcullis_gateway::resource_server::session_check;
use portcullis_gateway::runtime::{Inbox, Started, Task};
use portcullis_gateway::state::secrets_poll::{Patience, SecretWatch};
use portcullis_gateway::store::bridge::Bridge;
use portcullis_gateway::store::memory::MemoryStore;
use portcullis_gateway::upstream::oidc;
use portcullis_gateway::upstream::refresh;
use portcullis_gateway::upstream::tokens::RefreshOutcome;
use portcullis_protocol::credentials::SessionId;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

use crate::counters::Counters;
use crate::host::{self, HostClock, SharedCells, TaskCalls, random};
use crate::http_context::Stream;
use crate::service::active_config::ActiveConfig;
use crate::service::fetch_secrets;
use crate::service::paused_streams::PausedStreams;
use crate::service::pending_streams::PendingStreams;
use crate::service::ports::TaskPorts;
use crate::service::store::WorkerStore;
use crate::service::worker::Worker;
use crate::version;
use crate::workers::message::Message;
use crate::workers::queue::WorkerQueue;
use crate::workers::registry;

/// One root context.
pub(crate) struct Root {
    id: u32,
    worker: Option<Rc<Worker>>,
    refreshes: Vec<Refresh>,
    /// When to try again a refresh that another worker is at, in Unix seconds by session.
    retries: BTreeMap<[u8; 16], u64>,
    warming: Option<Task<()>>,
    following: Option<Task<()>>,
    rechecks: Vec<Task<()>>,
    /// How many of the store's unreadable cells have been counted.
    unreadable: u64,
}

/// A refresh under way.
struct Refresh {
    session: SessionId,
    task: Task<RefreshOutcome>,
}

impl Root {
    pub(crate) fn new(id: u32) -> Self {
        Self {
            id,
            worker: None,
            refreshes: Vec::new(),
            retries: BTreeMap::new(),
            warming: None,
            following: None,
            rechecks: Vec::new(),
            unreadable: 0,
        }
    }

    /// Starts a refresh unless one of this session is under way here.
    fn refresh(&mut self, worker: &Rc<Worker>, session: SessionId) {
        let under_way = self.refreshes.iter().any(|refresh| refresh.session == session);
        if under_way || self.refreshes.len() >= MAX_REFRESHES {
            return;
        }
        let Some(active) = worker.config.gateway() else { return };
        let inbox = Inbox::ticking();
        let ports = TaskPorts::new(worker.clone(), &active, inbox.clone());
        match Task::start(inbox, refresh::refresh(active.gateway, session, ports)) {
            Started::Ready(outcome) => self.refreshed(worker, session, &outcome),
            Started::Waiting(task) => self.refreshes.push(Refresh { session, task }),
        }
    }

    fn refreshed(&mut self, worker: &Rc<Worker>, session: SessionId, outcome: &RefreshOutcome) {
        worker.counters.count("upstream_refresh", word(outcome));
        if let RefreshOutcome::Elsewhere = outcome {
            if worker.pending.has(session) {
                self.retries.insert(*session.as_bytes(), host::now().saturating_add(RETRY_SECONDS));
            }
            return;
        }
        self.retries.remove(session.as_bytes());
        worker.pending.resolve_session(session, outcome);
        if worker.pending.has_resolved() {
            worker.queue.notify_root(Message::ApplyResolved);
        }
        worker.queue.notify_peers(Message::Refreshed(session), host::now());
    }

    /// Settles paused streams that are decided or evicted; once in a callback. Each has to be the
    /// host's current context while it is changed.
    ///
    /// The host sends the answers after the callback, each from within the one before, so many at
    /// once would exhaust the stack: what is left over gets a callback of its own.
    fn apply_resolved(&self, worker: &Worker) {
        let decided = worker.pending.take_resolved(MAX_APPLIED);
        let evicted = worker.paused.take_evicted(MAX_APPLIED.saturating_sub(decided.len()));
        for (stream, outcome, settled) in decided.into_iter().chain(evicted) {
            worker.paused.leave(stream);
            let settles = host::set_effective_context(stream);
            if settles && outcome.apply(&settled, &worker.counters) == Action::Continue {
                host::continue_request();
            }
        }
        // It is the context whose callback this is, so it is there.
        let _ = host::set_effective_context(self.id);
        if worker.pending.has_resolved() || worker.paused.has_evicted() {
            worker.queue.notify_root(Message::ApplyResolved);
        }
    }

    fn receive(&mut self, worker: &Rc<Worker>, message: Message) {
        match message {
            Message::Refresh(session) => self.refresh(worker, session),
            Message::Refreshed(session) if worker.pending.has(session) => self.refresh(worker, session),
            Message::FetchProvider => self.warm(worker, host::now()),
            // Streams are settled once the messages are read.
            Message::Refreshed(_) | Message::ApplyResolved => {}
            Message::Ended(session) => {
                if let Some(active) = worker.config.gateway() {
                    active.gateway.forget_session(session);
                }
            }
        }
    }

    /// Tries again what another worker was at, as long as somebody waits for it.
    fn retry(&mut self, worker: &Rc<Worker>, now: u64) {
        let waited_for = worker.pending.sessions();
        self.retries.retain(|session, _| waited_for.iter().any(|waited| waited.as_bytes() == session));
        for session in waited_for {
            if self.retries.get(session.as_bytes()).is_none_or(|due| *due <= now) {
                self.refresh(worker, session);
            }
        }
    }

    fn warm(&mut self, worker: &Rc<Worker>, now: u64) {
        let Some(active) = worker.config.gateway() else { return };
        // A VM that serves no requests, as the main thread's, needs no provider.
        if self.warming.is_some() || !worker.queue.is_registered() {
            return;
        }
        if active.gateway.provider_refresh_due(now) {
            let inbox = Inbox::new(true);
            let ports = TaskPorts::new(worker.clone(), &active, inbox.clone());
            if let Started::Waiting(task) = Task::start(inbox, oidc::warm(active.gateway, ports)) {
                self.warming = Some(task);
                return;
            }
        }
        self.warmed(worker);
    }

    /// Lets the logins go on that waited for the provider's documents.
    fn warmed(&mut self, worker: &Worker) {
        self.warming = None;
        worker.pending.resolve_provider();
        if worker.pending.has_resolved() {
            worker.queue.notify_root(Message::ApplyResolved);
        }
    }

    /// Asks for the bridge's secrets, and waits for them to change.
    fn follow_secrets(&mut self, worker: &Rc<Worker>) {
        let serves = worker.queue.is_registered();
        if self.following.is_some() || !worker.config.should_poll(serves, host::now_ms()) {
            return;
        }
        let inbox = Inbox::new(true);
        let ask = fetch_secrets::fetch(worker.clone(), Patience::Long, TaskCalls::new(inbox.clone()));
        if let Started::Waiting(task) = Task::start(inbox, ask) {
            self.following = Some(task);
        }
    }

    /// Looks up the sessions behind tokens that are being served, so that no request waits for it.
    fn recheck(&mut self, worker: &Rc<Worker>) {
        let places = MAX_RECHECKS.saturating_sub(self.rechecks.len());
        let Some(active) = worker.config.gateway() else { return };
        for entry in active.gateway.take_rechecks(places) {
            let inbox = Inbox::new(true);
            let ports = TaskPorts::new(worker.clone(), &active, inbox.clone());
            let recheck = session_check::recheck(active.gateway.clone(), entry, ports);
            if let Started::Waiting(task) = Task::start(inbox, recheck) {
                self.rechecks.push(task);
            }
        }
    }

    /// Lets the tasks that wait for a moment go on.
    fn tick(&mut self, worker: &Rc<Worker>) {
        for mut refresh in std::mem::take(&mut self.refreshes) {
            match refresh.task.on_tick() {
                Some(outcome) => self.refreshed(worker, refresh.session, &outcome),
                None => self.refreshes.push(refresh),
            }
        }
    }

    fn flush(&mut self, worker: &Worker) {
        if let WorkerStore::Memory(memory) = &worker.store {
            let unreadable = memory.unreadable();
            worker.counters.add("store", "unreadable_cells", unreadable.saturating_sub(self.unreadable));
            self.unreadable = unreadable;
        }
        worker.counters.flush();
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, id: u32, headers: usize, body: usize, _trailers: usize) {
        host::begin_callback();
        let Some(worker) = self.worker.clone() else { return };
        if let Some(task) = self.warming.as_mut().filter(|task| task.waits_for(id)) {
            if task.on_call(id, host::call_reply(headers, body)).is_some() {
                self.warmed(&worker);
            }
        } else if let Some(task) = self.following.as_mut().filter(|task| task.waits_for(id)) {
            if task.on_call(id, host::call_reply(headers, body)).is_some() {
                self.following = None;
            }
        } else if let Some(index) = self.rechecks.iter().position(|task| task.waits_for(id)) {
            let mut task = self.rechecks.swap_remove(index);
            if task.on_call(id, host::call_reply(headers, body)).is_none() {
                self.rechecks.push(task);
            }
        } else if let Some(index) = self.refreshes.iter().position(|refresh| refresh.task.waits_for(id)) {
            let mut refresh = self.refreshes.swap_remove(index);
            match refresh.task.on_call(id, host::call_reply(headers, body)) {
                Some(outcome) => self.refreshed(&worker, refresh.session, &outcome),
                None => self.refreshes.push(refresh),
            }
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        host::begin_callback();
        version::announce();
        match configure(&host::configuration(size), self.id) {
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
        self.apply_resolved(&worker);
        self.follow_secrets(&worker);
        self.tick(&worker);
        self.retry(&worker, now);
        self.recheck(&worker);
        self.warm(&worker, now);
        worker.queue.renew(now);
        self.flush(&worker);
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
        Some(Box::new(Stream::new(id, self.worker.clone())))
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

/// Puts a configuration in active, or says everything that is wrong with it.
///
/// This runs on the main thread first, in VMs that never serve too, so it changes nothing but
/// shared data that is absent.
fn configure(document: &[u8], root: u32) -> Result<Worker, Vec<String>> {
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
        Compiled::Awaiting(draft) => (bridge(draft.bridge()), ActiveConfig::watched(SecretWatch::new(*draft), seed)),
    };
    Ok(Worker {
        config,
        store,
        queue,
        counters: Counters::default(),
        pending: PendingStreams::default(),
        paused: PausedStreams::default(),
    })
}

fn word(outcome: &RefreshOutcome) -> &'static str {
    match outcome {
        RefreshOutcome::Ready(_) => "ready",
        RefreshOutcome::LoginRequired => "login_required",
        RefreshOutcome::Unavailable => "unavailable",
        RefreshOutcome::Elsewhere => "elsewhere",
    }
}

const TICK: Duration = Duration::from_millis(500);
const RETRY_SECONDS: u64 = 1;
/// The most streams settled in one callback.
const MAX_APPLIED: usize = 32;
/// The most look-ups of sessions under way at once in one worker; more wait for the next tick.
const MAX_RECHECKS: usize = 64;
/// The most refreshes under way at once in one worker; more wait for the next tick.
const MAX_REFRESHES: usize = 256;
