//! One request: its events go into its task, and what the task comes to is settled.

use std::borrow::Cow;
use std::rc::Rc;

use portcullis_abi::header_map::HeaderMap;
use portcullis_abi::{self as abi, Action};
use portcullis_gateway::audit::{Audit, Decision};
use portcullis_gateway::cookies;
use portcullis_gateway::replies::EXPOSED_HEADERS;
use portcullis_gateway::route;
use portcullis_gateway::runtime::{Inbox, Started, Task};
use portcullis_gateway::secret_watch::Patience;
use portcullis_gateway::verdict::{Settled, Verdict};
use portcullis_protocol::http::{Headers, Method, Request, Response};

use crate::host;
use crate::mailbox::Message;
use crate::ports::{TaskCalls, TaskPorts};
use crate::secrets;
use crate::settle::{Fate, Progress, settle};
use crate::worker::{Waiter, Worker};

/// One request.
pub(crate) struct Stream {
    id: u32,
    /// `None` when the root was never configured: then nothing is let through.
    worker: Option<Rc<Worker>>,
    task: Option<Task<Verdict>>,
    fate: Rc<Fate>,
    /// How much of the body the task has been given.
    body_seen: usize,
    /// Whether a browser asks on behalf of a page.
    has_origin: bool,
}

impl Stream {
    pub(crate) fn new(id: u32, worker: Option<Rc<Worker>>) -> Self {
        Self { id, worker, task: None, fate: Rc::default(), body_seen: 0, has_origin: false }
    }

    /// Acts on what the task came to; `None` while it waits.
    fn proceed(&mut self, worker: &Rc<Worker>, verdict: Option<Verdict>) -> Action {
        let Some(verdict) = verdict else { return Action::Pause };
        self.task = None;
        match verdict {
            Verdict::Settled(settled) => settle(&settled, &worker.counters, &self.fate),
            Verdict::AwaitRefresh { session, decide } => {
                let deadline = host::now().saturating_add(LONGEST_WAIT_SECONDS);
                let fate = self.fate.clone();
                worker.waiting.add(Waiter { stream: self.id, session, decide, deadline, fate });
                worker.mailbox.tell_own(Message::Refresh(session));
                Action::Pause
            }
        }
    }

    /// Starts deciding a request.
    fn begin(&mut self, worker: &Rc<Worker>, request: Request, body_ended: bool) -> Action {
        let inbox = Inbox::new(body_ended);
        match Task::start(inbox.clone(), decide(worker.clone(), request, inbox)) {
            Started::Ready(verdict) => self.proceed(worker, Some(verdict)),
            Started::Waiting(task) => {
                self.task = Some(task);
                Action::Pause
            }
        }
    }

    fn feed(&mut self, piece: &[u8], end: bool) -> Action {
        match self.fate.progress.get() {
            Progress::Forwarded { .. } => Action::Continue,
            Progress::Answered => Action::Pause,
            Progress::Undecided => {
                let Some(worker) = self.worker.clone() else { return Action::Pause };
                let verdict = self.task.as_mut().and_then(|task| task.on_body(piece, end));
                self.proceed(&worker, verdict)
            }
        }
    }

    /// Gives up deciding.
    fn abandon(&mut self) {
        self.task = None;
        if let Some(worker) = &self.worker {
            worker.waiting.remove(self.id);
        }
    }

    /// Answers without any handler.
    fn refuse(&self, status: u16, reason: &'static str) -> Action {
        match &self.worker {
            Some(worker) => {
                let settled = Settled::Reply(Response::new(status), Audit::new(Decision::Fail, reason));
                settle(&settled, &worker.counters, &self.fate)
            }
            None => {
                self.fate.progress.set(Progress::Answered);
                host::reply(&Response::new(status));
                Action::Pause
            }
        }
    }
}

impl abi::Stream for Stream {
    fn on_request_headers(&mut self, count: usize, end_of_stream: bool) -> Action {
        let Some(worker) = self.worker.clone() else { return self.refuse(503, "not_configured") };
        if count > host::MOST_HEADERS {
            return self.refuse(431, "too_many_headers");
        }
        let headers = host::request_headers();
        let seen = Seen::of(&headers);
        #[cfg(feature = "store-suite")]
        if let Some(answer) = crate::store_suite::answer(&worker.store, seen.target) {
            self.fate.progress.set(Progress::Answered);
            host::reply(&answer);
            return Action::Pause;
        }
        self.has_origin = seen.has_origin;
        self.fate.has_proxy_authorization.set(seen.has_proxy_authorization);
        let service = worker.in_service.now();
        let passed = service.as_ref().and_then(|service| service.gateway.pass(seen.target, seen.cookie.as_deref()));
        if let Some(forward) = passed {
            worker.counters.count("path", "pass");
            return settle(&Settled::Forward(forward), &worker.counters, &self.fate);
        }
        let now = host::now();
        worker.mailbox.list(now);
        let fast = service
            .and_then(|service| service.gateway.fast(now, seen.target, seen.authorization?, seen.cookie.as_deref()));
        if let Some(forward) = fast {
            worker.counters.count("path", "fast");
            return settle(&Settled::Forward(forward), &worker.counters, &self.fate);
        }
        worker.counters.count("path", "slow");
        self.begin(&worker, read_request(&headers, count), end_of_stream)
    }

    fn on_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if self.task.is_none() {
            return self.feed(&[], end_of_stream);
        }
        // While a request is paused each call brings everything buffered so far.
        let fresh = size.saturating_sub(self.body_seen);
        let piece = host::request_body(self.body_seen, fresh);
        self.body_seen = size;
        self.feed(&piece, end_of_stream)
    }

    fn on_request_trailers(&mut self) -> Action {
        // Where a request has trailers, its end is told here and not with the body.
        self.feed(&[], true)
    }

    fn on_response_headers(&mut self) {
        match self.fate.progress.get() {
            // Envoy answered by itself, say that the body was too large: there is nothing left to decide.
            Progress::Undecided => self.abandon(),
            Progress::Forwarded { protected: true } if self.has_origin => open_to_pages(),
            Progress::Forwarded { .. } | Progress::Answered => {}
        }
    }

    fn on_http_call_response(&mut self, id: u32, headers: usize, body: usize) {
        let Some(worker) = self.worker.clone() else { return };
        let Some(task) = self.task.as_mut().filter(|task| task.waits_for(id)) else { return };
        let verdict = task.on_call(id, host::call_reply(headers, body));
        if self.proceed(&worker, verdict) == Action::Continue {
            host::continue_request();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Decides a request that is not remembered, as soon as there is a gateway to decide it.
async fn decide(worker: Rc<Worker>, request: Request, inbox: Inbox) -> Verdict {
    if worker.in_service.is_behind() {
        secrets::ask(worker.clone(), Patience::None, TaskCalls::new(inbox.clone())).await;
    }
    match worker.in_service.now() {
        Some(service) => {
            let ports = TaskPorts::new(worker, &service, inbox);
            route::handle(service.gateway, request, ports).await
        }
        None => secrets::not_ready().into(),
    }
}

/// Lets pages of any origin read a protected resource's answer, unless the resource has its own rule. A page has to hold
/// a token to get one, and no cookie counts (the Fetch standard's credentials mode stays closed).
fn open_to_pages() {
    if host::response_header(ALLOW_ORIGIN).is_none() {
        host::add_response_header(ALLOW_ORIGIN, "*");
        host::add_response_header("access-control-expose-headers", EXPOSED_HEADERS);
    }
}

/// What tells whether a request can be decided at once.
#[derive(Default)]
struct Seen<'a> {
    target: &'a [u8],
    /// The only `Authorization`; with several of them this is none, as none of them can be known.
    authorization: Option<&'a [u8]>,
    /// The cookies, however many fields they came in.
    cookie: Option<Cow<'a, [u8]>>,
    has_origin: bool,
    has_proxy_authorization: bool,
}

impl<'a> Seen<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut seen = Self::default();
        let mut is_ambiguous = false;
        for (name, value) in headers.iter() {
            match name {
                b":path" => seen.target = value,
                b"authorization" => is_ambiguous |= seen.authorization.replace(value).is_some(),
                b"cookie" => seen.cookie = Some(cookies::joined(seen.cookie, value)),
                b"origin" => seen.has_origin = true,
                b"proxy-authorization" => seen.has_proxy_authorization = true,
                _ => {}
            }
        }
        if is_ambiguous {
            seen.authorization = None;
        }
        seen
    }
}

fn read_request(headers: &HeaderMap, count: usize) -> Request {
    let mut request = Request {
        method: Method::Other,
        target: Vec::new(),
        authority: Vec::new(),
        headers: Headers::with_capacity(count, headers.text_bytes()),
        peer: String::new(),
    };
    for (name, value) in headers.iter() {
        match name {
            b":method" => request.method = Method::from_bytes(value),
            b":path" => request.target = value.to_vec(),
            b":authority" => request.authority = value.to_vec(),
            [b':', ..] => {}
            _ => request.headers.extend([(name, value)]),
        }
    }
    if route::asks_for_peer(&request.target) {
        request.peer = host::peer().unwrap_or_default();
    }
    request
}

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
/// How long a request waits for its session's upstream tokens.
const LONGEST_WAIT_SECONDS: u64 = 10;
