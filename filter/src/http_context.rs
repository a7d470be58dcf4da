//! One request: its events go into its task, and what the task comes to is settled.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use portcullis_gateway::audit::{Audit, AuditOutcome};
use portcullis_gateway::browser::cookies;
use portcullis_gateway::decision::{Decision, Forward, Resolved};
use portcullis_gateway::dispatch;
use portcullis_gateway::dispatch::admission::{Admission, Excess, MAX_OWN_HEADER_BYTES};
use portcullis_gateway::dispatch::routes;
use portcullis_gateway::resource_server::fast_path;
use portcullis_gateway::responses::{self, Cors, EXPOSED_HEADERS};
use portcullis_gateway::runtime::{Inbox, Started, Task};
use portcullis_gateway::state::secrets_poll::Patience;
use portcullis_gateway::upstream::tokens::RefreshOutcome;
use portcullis_protocol::http::message::{Headers, Method, Request, Response};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::apply::{Applied, StreamOutcome, apply};
use crate::host::{self, HeaderMap, TaskCalls};
use crate::service::fetch_secrets;
use crate::service::paused_streams::{BodyWait, Full};
use crate::service::pending_streams::{Awaited, PendingStream};
use crate::service::ports::TaskPorts;
use crate::service::worker::Worker;
use crate::workers::message::Message;

/// One request.
pub(crate) struct Stream {
    id: u32,
    /// `None` where the root was never configured.
    worker: Option<Rc<Worker>>,
    progress: Progress,
}

/// How far a request has come.
enum Progress {
    /// Its headers are still to come.
    Announced,
    /// Nothing more needs to be known of it: every later callback returns this action.
    Decided(Action),
    /// It is not decided, or its answer is to be changed.
    Open(Box<OpenStream>),
}

impl Stream {
    pub(crate) fn new(id: u32, worker: Option<Rc<Worker>>) -> Self {
        Self { id, worker, progress: Progress::Announced }
    }

    /// Has a piece of the request taken, if anything is to be done with it.
    fn piece(&mut self, take: impl FnOnce(&mut OpenStream) -> Action) -> Action {
        host::begin_callback();
        match &mut self.progress {
            // What is not decided does not go on.
            Progress::Announced => Action::Pause,
            Progress::Decided(action) => *action,
            Progress::Open(stream) => take(stream),
        }
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, id: u32, headers: usize, body: usize, _trailers: usize) {
        host::begin_callback();
        if let Progress::Open(stream) = &mut self.progress {
            stream.on_http_call_response(id, headers, body);
        }
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, count: usize, end: bool) -> Action {
        host::begin_callback();
        let (action, progress) = match &self.worker {
            Some(worker) => begin(worker, self.id, count, end),
            // Nothing is let through.
            None => {
                host::reply(&Response::new(503));
                decided(Action::Pause)
            }
        };
        self.progress = progress;
        action
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        self.piece(|stream| stream.take_body(size, end))
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        // Where a request has trailers, its end is told here and not with the body.
        self.piece(|stream| stream.take_body(stream.body_bytes, true))
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        host::begin_callback();
        if let Progress::Open(stream) = &mut self.progress {
            stream.on_response_headers();
        }
        Action::Continue
    }
}

fn decided(action: Action) -> (Action, Progress) {
    (action, Progress::Decided(action))
}

/// Decides a request by its headers, or starts to. Returns its action for now, and what is left to
/// do.
fn begin(worker: &Rc<Worker>, id: u32, count: usize, end: bool) -> (Action, Progress) {
    if count > host::MAX_HEADERS {
        let response = responses::cors(Response::new(431), Cors::Read);
        let refusal = Resolved::Respond(response, Audit::new(AuditOutcome::Fail, "too_many_headers"));
        return decided(apply(&refusal, &worker.counters, false).action());
    }
    let headers = host::request_headers();
    let head = RequestHead::of(&headers);
    #[cfg(feature = "store-suite")]
    if let Some(answer) = crate::store_suite::answer(&worker.store, head.target) {
        host::reply(&answer);
        return decided(Action::Pause);
    }
    if let Some(forward) = try_fast_path(worker, &head) {
        let effect = apply(&Resolved::Continue(forward), &worker.counters, head.has_proxy_authorization);
        if !needs_cors(effect, head.has_origin) {
            return decided(effect.action());
        }
        let stream = OpenStream::new(id, worker, &head);
        stream.outcome.effect.set(Some(effect));
        return (effect.action(), Progress::Open(Box::new(stream)));
    }
    worker.counters.count("path", "slow");
    let mut stream = OpenStream::new(id, worker, &head);
    let action = match stream.enter(head.target, headers.text_bytes(), end) {
        Ok(body_bytes) => stream.start(read_request(&headers), body_bytes, end),
        Err(refusal) => stream.apply(&refusal),
    };
    match stream.outcome.effect.get() {
        Some(effect) if !needs_cors(effect, head.has_origin) => decided(action),
        Some(_) | None => (action, Progress::Open(Box::new(stream))),
    }
}

/// What is known without asking anybody: a request that is none of ours, and one with a token seen
/// before.
fn try_fast_path(worker: &Worker, head: &RequestHead<'_>) -> Option<Forward> {
    let active = worker.config.gateway();
    let cookie = head.cookie.as_deref();
    let passed = active.as_ref().and_then(|active| fast_path::pass(&active.gateway, head.target, cookie));
    if passed.is_some() {
        worker.counters.count("path", "pass");
        return passed;
    }
    let now = host::now();
    worker.queue.register(now);
    let forward = fast_path::fast(&active?.gateway, now, head.target, head.authorization?, cookie)?;
    worker.counters.count("path", "fast");
    Some(forward)
}

/// Whether the answer is to a page that asked a protected resource.
fn needs_cors(effect: Applied, has_origin: bool) -> bool {
    has_origin && effect == Applied::Forwarded { protected: true }
}

/// What a request to this target may hold.
fn admission(worker: &Worker, target: &[u8]) -> Admission {
    match worker.config.gateway() {
        Some(active) => Admission::of(&active.gateway, target),
        None => Admission::without_gateway(),
    }
}

/// One request that is not done with its headers.
struct OpenStream {
    id: u32,
    worker: Rc<Worker>,
    task: Option<Task<Decision>>,
    outcome: Rc<StreamOutcome>,
    /// How much of the body has come.
    body_bytes: usize,
    /// Whether a browser asks on behalf of a page.
    has_origin: bool,
}

impl OpenStream {
    fn new(id: u32, worker: &Rc<Worker>, head: &RequestHead<'_>) -> Self {
        let outcome = StreamOutcome { effect: Cell::new(None), has_proxy_authorization: head.has_proxy_authorization };
        let (worker, outcome) = (Rc::clone(worker), Rc::new(outcome));
        Self { id, worker, task: None, outcome, body_bytes: 0, has_origin: head.has_origin }
    }

    /// Takes the stream in among those that are paused, before anything of it is kept and before
    /// its handler asks anybody for anything; returns how many bytes of its body the handler reads.
    ///
    /// # Errors
    /// What it is refused with: its headers are too large, or there is no room.
    fn enter(&self, target: &[u8], header_bytes: usize, body_ended: bool) -> Result<usize, Box<Resolved>> {
        let mut body_bytes = 0;
        let mut body = None;
        // What a path leads to has to be known of few.
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

    /// Starts deciding a request, of whose body its handler reads up to `body_bytes`.
    fn start(&mut self, request: Request, body_bytes: usize, body_ended: bool) -> Action {
        let inbox = Inbox::keeping(body_bytes, body_ended);
        match Task::start(inbox.clone(), decide(self.worker.clone(), request, inbox)) {
            Started::Ready(verdict) => self.proceed(Some(verdict)),
            Started::Waiting(task) => {
                self.task = Some(task);
                Action::Pause
            }
        }
    }

    /// Acts on a decision, after which nothing is left to wait for.
    fn apply(&mut self, settled: &Resolved) -> Action {
        self.abandon();
        self.outcome.apply(settled, &self.worker.counters)
    }

    fn is_undecided(&self) -> bool {
        self.outcome.effect.get().is_none()
    }

    /// Acts on what the task came to; `None` while it waits.
    fn proceed(&mut self, verdict: Option<Decision>) -> Action {
        let Some(verdict) = verdict else { return Action::Pause };
        self.task = None;
        match verdict {
            Decision::Resolved(settled) => self.apply(&settled),
            Decision::AwaitUpstream { session, decide } => {
                self.wait(Awaited::Session(session), decide, Message::Refresh(session))
            }
            Decision::AwaitProvider { decide } => {
                self.wait(Awaited::Provider, Box::new(|_| decide()), Message::FetchProvider)
            }
        }
    }

    /// Pauses until the root task that the message asks for is done.
    fn wait(&self, awaited: Awaited, decide: Box<dyn FnOnce(&RefreshOutcome) -> Resolved>, message: Message) -> Action {
        let deadline = host::now().saturating_add(MAX_WAIT_SECONDS);
        self.worker.pending.add(PendingStream {
            stream: self.id,
            awaited,
            decide,
            deadline,
            outcome: self.outcome.clone(),
        });
        self.worker.queue.notify_root(message);
        Action::Pause
    }

    /// Takes what is new of a body of which `size` bytes have come. While a request is paused the
    /// host has all of them.
    fn take_body(&mut self, size: usize, end: bool) -> Action {
        if let Some(effect) = self.outcome.effect.get() {
            return effect.action();
        }
        match self.worker.paused.on_body(self.id, size, end) {
            Ok(evicts) => self.answer_evicted(evicts),
            Err(Full(known)) => {
                let admission = known.unwrap_or_else(Admission::without_gateway);
                return self.apply(&admission.refuse(Excess::Full));
            }
        }
        let verdict = self.task.as_mut().and_then(|task| {
            let fresh = size.saturating_sub(self.body_bytes).min(task.wanted_body_bytes());
            let piece = if fresh > 0 { host::request_body(self.body_bytes, fresh) } else { Vec::new() };
            task.on_body(&piece, end)
        });
        self.body_bytes = size;
        self.proceed(verdict)
    }

    /// Gives up deciding.
    fn abandon(&mut self) {
        self.task = None;
        self.worker.pending.remove(self.id);
        self.worker.paused.leave(self.id);
    }

    /// The answer has come; its headers can be read and changed.
    fn on_response_headers(&mut self) {
        match self.outcome.effect.get() {
            // Envoy answered by itself, say that the body was too large: there is nothing left to
            // decide.
            None => self.abandon(),
            Some(effect) if needs_cors(effect, self.has_origin) => add_cors_headers(),
            Some(_) => {}
        }
    }

    fn on_http_call_response(&mut self, id: u32, headers: usize, body: usize) {
        let Some(task) = self.task.as_mut().filter(|task| task.waits_for(id)) else { return };
        let verdict = task.on_call(id, host::call_reply(headers, body));
        if self.proceed(verdict) == Action::Continue {
            host::continue_request();
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if self.is_undecided() {
            self.abandon();
        }
    }
}

/// Decides a request that is not remembered, as soon as there is a gateway to decide it.
async fn decide(worker: Rc<Worker>, request: Request, inbox: Inbox) -> Decision {
    if worker.config.needs_secrets() {
        fetch_secrets::fetch(worker.clone(), Patience::None, TaskCalls::new(inbox.clone())).await;
    }
    match worker.config.gateway() {
        Some(active) => {
            let ports = TaskPorts::new(worker, &active, inbox);
            dispatch::handle(active.gateway, request, ports).await
        }
        None => fetch_secrets::not_ready().into(),
    }
}

/// Lets pages of any origin read a protected resource's answer, unless the resource has its own
/// rule. A page has to hold a token to get one, and no cookie counts (the Fetch standard's
/// credentials mode stays closed).
fn add_cors_headers() {
    if host::response_header(ALLOW_ORIGIN).is_none() {
        host::add_response_header(ALLOW_ORIGIN, "*");
        host::add_response_header("access-control-expose-headers", EXPOSED_HEADERS);
    }
}

/// What tells whether a request can be decided at once.
#[derive(Default)]
struct RequestHead<'a> {
    target: &'a [u8],
    /// The only `Authorization`; with several of them this is none, as none of them can be known.
    authorization: Option<&'a [u8]>,
    /// The cookies, however many fields they came in.
    cookie: Option<Cow<'a, [u8]>>,
    has_origin: bool,
    has_proxy_authorization: bool,
}

impl<'a> RequestHead<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut head = Self::default();
        let mut is_ambiguous = false;
        for (name, value) in headers.iter() {
            match name {
                b":path" => head.target = value,
                b"authorization" => is_ambiguous |= head.authorization.replace(value).is_some(),
                b"cookie" => head.cookie = Some(cookies::joined(head.cookie, value)),
                b"origin" => head.has_origin = true,
                b"proxy-authorization" => head.has_proxy_authorization = true,
                _ => {}
            }
        }
        if is_ambiguous {
            head.authorization = None;
        }
        head
    }
}

fn read_request(headers: &HeaderMap) -> Request {
    let mut request = Request {
        method: Method::Other,
        target: Vec::new(),
        authority: Vec::new(),
        headers: Headers::default(),
        peer: String::new(),
    };
    for (name, value) in headers.iter() {
        match name {
            b":method" => request.method = Method::from_bytes(value),
            b":path" => request.target = value.to_vec(),
            b":authority" => request.authority = value.to_vec(),
            _ => request.headers.extend([(name, value)]),
        }
    }
    if routes::asks_for_peer(&request.target) {
        request.peer = host::peer().unwrap_or_default();
    }
    request
}

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
/// How long a request waits for its session's upstream tokens, or the provider's documents.
const MAX_WAIT_SECONDS: u64 = 10;
/// How long a request waits for a body, which has 16 KiB at most, or 64 KiB at registration.
const MAX_BODY_SECONDS: u64 = 20;
