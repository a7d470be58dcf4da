//! One request as a state machine over Envoy's callbacks: it is being decided, then forwarded or
//! responded to. Without a decision it does not go on.

mod deciding;
mod request_head;

use std::rc::Rc;

use portcullis_gateway::audit::{Audit, Reason};
use portcullis_gateway::decision::{Forward, Resolved};
use portcullis_gateway::resource_server::fast_path;
use portcullis_gateway::responses::{self, Cors};
use portcullis_protocol::http::message::Response;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::apply::{apply, apply_plan, remove_trailers};
use crate::host;
use crate::service::worker::Worker;
use crate::stream_outcome::{Applied, AppliedTo, Forwarded};
use deciding::Deciding;
use request_head::RequestHead;

/// One request.
pub(crate) struct RequestStream {
    id: u32,
    /// `None` if the root was never configured.
    worker: Option<Rc<Worker>>,
    state: State,
}

/// How far a request has come.
enum State {
    /// Its headers are still to come.
    Announced,
    /// It waits for its body, for a call, or for a job of the root.
    Deciding(Box<Deciding>),
    /// It went on.
    Forwarded(Forwarded),
    /// It was answered here, or by Envoy itself.
    Responded,
}

impl From<Applied> for State {
    fn from(applied: Applied) -> Self {
        match applied {
            Applied::Forwarded(forwarded) => Self::Forwarded(forwarded),
            Applied::Responded => Self::Responded,
        }
    }
}

impl State {
    /// The action that the request's callbacks return.
    fn action(&self) -> Action {
        match self {
            Self::Forwarded(_) => Action::Continue,
            Self::Announced | Self::Deciding(_) | Self::Responded => Action::Pause,
        }
    }
}

impl RequestStream {
    pub(crate) fn new(id: u32, worker: Option<Rc<Worker>>) -> Self {
        Self { id, worker, state: State::Announced }
    }

    /// Hands an event to a request that is still undecided, and leaves that state once it is
    /// decided. A job of the root may have decided it before.
    fn advance(&mut self, event: impl FnOnce(&mut Deciding) -> Option<Applied>) {
        let State::Deciding(deciding) = &mut self.state else { return };
        if let Some(applied) = deciding.applied().or_else(|| event(deciding)) {
            self.state = applied.into();
        }
    }
}

impl Context for RequestStream {
    fn on_http_call_response(&mut self, id: u32, headers: usize, body: usize, _trailers: usize) {
        host::begin_callback();
        // A request that the root decided was resumed by it.
        self.advance(|deciding| {
            let applied = deciding.on_call(id, headers, body)?;
            if let Applied::Forwarded(_) = applied {
                host::continue_request();
            }
            Some(applied)
        });
    }
}

impl HttpContext for RequestStream {
    fn on_http_request_headers(&mut self, count: usize, end: bool) -> Action {
        host::begin_callback();
        self.state = match &self.worker {
            Some(worker) => on_headers(worker, self.id, count, end),
            // Nothing is let through.
            None => {
                host::reply(&Response::new(503));
                State::Responded
            }
        };
        self.state.action()
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        host::begin_callback();
        self.advance(|deciding| deciding.on_body(size, end));
        self.state.action()
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        host::begin_callback();
        let removed = self.worker.as_ref().map(|worker| remove_trailers(worker));
        if !matches!(removed, Some(Ok(()))) {
            // They stay here, and the request with them, until Envoy gives it up.
            return Action::Pause;
        }
        self.advance(Deciding::on_trailers);
        self.state.action()
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        host::begin_callback();
        self.advance(|_| None);
        match self.state {
            State::Forwarded(forwarded) => {
                if let Some(worker) = &self.worker {
                    apply_plan(forwarded, worker);
                }
            }
            State::Responded => {}
            // Envoy answered by itself, say that the body was too large: there is nothing left to
            // decide.
            State::Announced | State::Deciding(_) => self.state = State::Responded,
        }
        Action::Continue
    }
}

impl Drop for RequestStream {
    fn drop(&mut self) {
        // A job of the root may have let it through since the last callback.
        self.advance(|_| None);
        if let (State::Forwarded(Forwarded { place: Some(place), .. }), Some(worker)) = (&self.state, &self.worker) {
            worker.open.leave(*place);
        }
    }
}

/// Decides a request by its headers, or starts to.
fn on_headers(worker: &Rc<Worker>, id: u32, count: usize, end: bool) -> State {
    if count > host::MAX_HEADERS {
        let response = responses::cors(Response::new(431), Cors::Read);
        let refusal = Resolved::Respond(response, Audit::new(Reason::TooManyHeaders));
        return apply(&refusal, id, worker, &AppliedTo::default()).into();
    }
    let headers = host::request_headers();
    let head = RequestHead::of(&headers);
    if let Some(forward) = try_fast_path(worker, &head) {
        return apply(&Resolved::Continue(forward), id, worker, &head.applied_to()).into();
    }
    worker.counters.count("path", "slow");
    let mut deciding = Deciding::new(id, worker, &head);
    match deciding.start(&head, &headers, end) {
        Some(applied) => applied.into(),
        None => State::Deciding(Box::new(deciding)),
    }
}

/// Returns the decision that needs no call: for a path that passes, and for a token that this
/// worker has verified before.
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
    let forward = fast_path::fast(&active?.gateway, now, head.target, head.authorization?, cookie, head.has_origin)?;
    worker.counters.count("path", "fast");
    Some(forward)
}
