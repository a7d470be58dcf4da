//! One request: its events go into its task, and what the task comes to is settled.

use std::cell::Cell;
use std::rc::Rc;

use portcullis_gateway::audit::{Audit, Decision};
use portcullis_gateway::replies::EXPOSED_HEADERS;
use portcullis_gateway::route;
use portcullis_gateway::runtime::{Inbox, Started, Task};
use portcullis_gateway::secret_watch::Patience;
use portcullis_gateway::verdict::{Settled, Verdict};
use portcullis_protocol::http::{Headers, Method, Request, Response};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::host;
use crate::mailbox::Message;
use crate::ports::{TaskCalls, TaskPorts};
use crate::secrets;
use crate::settle::{Progress, settle};
use crate::worker::{Waiter, Worker};

/// One request.
pub(crate) struct Stream {
    id: u32,
    /// `None` when the root was never configured: then nothing is let through.
    worker: Option<Rc<Worker>>,
    task: Option<Task<Verdict>>,
    progress: Rc<Cell<Progress>>,
    /// How much of the body the task has been given.
    body_seen: usize,
    /// Whether a browser asks on behalf of a page.
    has_origin: bool,
}

impl Stream {
    pub(crate) fn new(id: u32, worker: Option<Rc<Worker>>) -> Self {
        let progress = Rc::new(Cell::new(Progress::Undecided));
        Self { id, worker, task: None, progress, body_seen: 0, has_origin: false }
    }

    /// Acts on what the task came to; `None` while it waits.
    fn proceed(&mut self, worker: &Rc<Worker>, verdict: Option<Verdict>) -> Action {
        let Some(verdict) = verdict else { return Action::Pause };
        self.task = None;
        match verdict {
            Verdict::Settled(settled) => settle(&settled, &worker.counters, &self.progress),
            Verdict::AwaitRefresh { session, decide } => {
                let deadline = host::now().saturating_add(LONGEST_WAIT_SECONDS);
                let progress = self.progress.clone();
                worker.waiting.add(Waiter { stream: self.id, session, decide, deadline, progress });
                worker.mailbox.tell_own(Message::Refresh(session));
                Action::Pause
            }
        }
    }

    /// Starts deciding a request.
    fn begin(&mut self, worker: &Rc<Worker>, body_ended: bool) -> Action {
        let inbox = Inbox::new(body_ended);
        match Task::start(inbox.clone(), decide(worker.clone(), read_request(), inbox)) {
            Started::Ready(verdict) => self.proceed(worker, Some(verdict)),
            Started::Waiting(task) => {
                self.task = Some(task);
                Action::Pause
            }
        }
    }

    fn feed(&mut self, piece: &[u8], end: bool) -> Action {
        match self.progress.get() {
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
                settle(&settled, &worker.counters, &self.progress)
            }
            None => {
                self.progress.set(Progress::Answered);
                host::reply(&Response::new(status));
                Action::Pause
            }
        }
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, id: u32, headers: usize, body: usize, _trailers: usize) {
        let Some(worker) = self.worker.clone() else { return };
        let Some(task) = self.task.as_mut().filter(|task| task.waits_for(id)) else { return };
        let verdict = task.on_call(id, host::call_reply(headers, body));
        if self.proceed(&worker, verdict) == Action::Continue {
            host::resume_request();
        }
    }

    fn on_done(&mut self) -> bool {
        self.abandon();
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, headers: usize, end_of_stream: bool) -> Action {
        let Some(worker) = self.worker.clone() else { return self.refuse(503, "not_configured") };
        if headers > host::MOST_HEADERS {
            return self.refuse(431, "too_many_headers");
        }
        #[cfg(feature = "store-suite")]
        if let Some(answer) = crate::store_suite::answer(&worker.store) {
            self.progress.set(Progress::Answered);
            host::reply(&answer);
            return Action::Pause;
        }
        let target = host::request_header(":path").unwrap_or_default();
        let service = worker.in_service.now();
        let passed = service.as_ref().and_then(|service| service.gateway.pass(&target, host::request_cookies));
        if let Some(forward) = passed {
            worker.counters.count("path", "pass");
            return settle(&Settled::Forward(forward), &worker.counters, &self.progress);
        }
        let now = host::now();
        worker.mailbox.list(now);
        self.has_origin = host::request_header("origin").is_some();
        if let Some(authorization) = host::request_header("authorization") {
            let cookie = host::request_cookies();
            let fast =
                service.and_then(|service| service.gateway.fast(now, &target, &authorization, cookie.as_deref()));
            if let Some(forward) = fast {
                worker.counters.count("path", "fast");
                return settle(&Settled::Forward(forward), &worker.counters, &self.progress);
            }
        }
        worker.counters.count("path", "slow");
        self.begin(&worker, end_of_stream)
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if self.task.is_none() {
            return self.feed(&[], end_of_stream);
        }
        // While a request is paused each call brings everything buffered so far.
        let fresh = size.saturating_sub(self.body_seen);
        let piece = host::request_body(self.body_seen, fresh);
        self.body_seen = size;
        self.feed(&piece, end_of_stream)
    }

    fn on_http_request_trailers(&mut self, _trailers: usize) -> Action {
        // Where a request has trailers, its end is told here and not with the body.
        self.feed(&[], true)
    }

    fn on_http_response_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        match self.progress.get() {
            // Envoy answered by itself, say that the body was too large: there is nothing left to decide.
            Progress::Undecided => self.abandon(),
            Progress::Forwarded { protected: true } if self.has_origin => open_to_pages(),
            Progress::Forwarded { .. } | Progress::Answered => {}
        }
        Action::Continue
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

fn read_request() -> Request {
    let mut request = Request {
        method: Method::Other,
        target: Vec::new(),
        authority: Vec::new(),
        headers: Headers::default(),
        peer: String::new(),
    };
    let mut headers = host::request_headers();
    headers.retain_mut(|(name, value)| {
        match name.as_slice() {
            b":method" => request.method = Method::from_bytes(value),
            b":path" => request.target = std::mem::take(value),
            b":authority" => request.authority = std::mem::take(value),
            _ => return name.first() != Some(&b':'),
        }
        false
    });
    request.headers = Headers::new(headers);
    if route::asks_for_peer(&request.target) {
        request.peer = host::text_property(["source", "address"]).unwrap_or_default();
    }
    request
}

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
/// How long a request waits for its session's upstream tokens.
const LONGEST_WAIT_SECONDS: u64 = 10;
