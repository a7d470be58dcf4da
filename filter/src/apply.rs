//! The one place where a decision becomes an effect on a request.

use std::cell::Cell;

use portcullis_gateway::audit::{Audit, Reason};
use portcullis_gateway::decision::{Credentials, Forward, Resolved, ResponsePlan};
use portcullis_protocol::http::message::Response;
use proxy_wasm::types::Status;

use crate::counters::Counters;
use crate::host;

/// An applied decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// The request goes on, and this is planned for its response.
    Forwarded(ResponsePlan),
    /// The request was answered here.
    Responded,
}

/// The outcome of a stream, shared with what may decide it in its place: a job of the root, or the
/// bound on paused streams.
#[derive(Debug)]
pub(crate) struct StreamOutcome {
    /// `None` as long as nothing is decided and the request must not go on.
    applied: Cell<Option<Applied>>,
    /// Whether the request has a `Proxy-Authorization` header. Checked because a host call to
    /// remove an absent header is not free.
    has_proxy_authorization: bool,
}

impl StreamOutcome {
    pub(crate) fn new(has_proxy_authorization: bool) -> Self {
        Self { applied: Cell::new(None), has_proxy_authorization }
    }

    /// Returns what was applied; `None` while the request is undecided.
    pub(crate) fn applied(&self) -> Option<Applied> {
        self.applied.get()
    }

    /// Applies a decision to the stream, as [`apply`] does, and keeps what was applied.
    pub(crate) fn apply(&self, decision: &Resolved, counters: &Counters) -> Applied {
        let applied = apply(decision, counters, self.has_proxy_authorization);
        self.applied.set(Some(applied));
        applied
    }
}

/// Applies a decision to the stream that is the host's current context.
///
/// INVARIANT: the stream is in its headers callback or paused; at any other time the host refuses
/// to change headers, and the SDK panics. The caller returns the action, or resumes the request if
/// it is in no callback of the request.
pub(crate) fn apply(decision: &Resolved, counters: &Counters, has_proxy_authorization: bool) -> Applied {
    match decision {
        Resolved::Continue(forward) => {
            let protected = !matches!(forward.credentials, Credentials::Unchanged);
            // The headers must be final before the request goes on: afterwards the host has no map
            // to change.
            if edit(forward, protected && has_proxy_authorization).is_err() {
                // The SDK panics where the host refuses; were it to return instead, the request
                // must not go on with the client's token.
                let audit = Audit::new(Reason::Internal);
                return apply(&Resolved::Respond(Response::new(503), audit), counters, has_proxy_authorization);
            }
            count(forward.audit.audit(), counters);
            // Requests that only pass have no audit trail: every value of filter state costs.
            if protected {
                host::set_filter_state(AUDIT, forward.audit.json());
            }
            Applied::Forwarded(forward.response)
        }
        Resolved::Respond(response, audit) => {
            count(audit, counters);
            host::set_filter_state(AUDIT, &audit.to_json());
            host::reply(response);
            Applied::Responded
        }
    }
}

/// Applies what was planned for the response of the stream that is the host's current context. Only
/// in the response headers callback.
pub(crate) fn apply_plan(plan: ResponsePlan) {
    match plan {
        ResponsePlan::PassThrough => {}
        ResponsePlan::AddHeaders(added) => {
            if host::response_header(added.unless).is_none() {
                added.fields.iter().for_each(|(name, value)| host::add_response_header(name, value));
            }
        }
    }
}

fn edit(forward: &Forward, strips_proxy_authorization: bool) -> Result<(), Status> {
    if strips_proxy_authorization {
        host::remove_request_header(PROXY_AUTHORIZATION)?;
    }
    match &forward.credentials {
        Credentials::Unchanged => {}
        Credentials::Removed => host::remove_request_header(AUTHORIZATION)?,
        Credentials::Injected(injection) => {
            if &*injection.name != AUTHORIZATION {
                host::remove_request_header(AUTHORIZATION)?;
            }
            host::set_request_header(&injection.name, injection.value.expose())?;
        }
    }
    match forward.cookie.as_deref() {
        None => Ok(()),
        Some([]) => host::remove_request_header("cookie"),
        Some(cookie) => host::set_request_header("cookie", cookie),
    }
}

fn count(audit: &Audit, counters: &Counters) {
    counters.count(audit.reason.outcome().as_str(), audit.reason.as_str());
}

/// The audit trail's name in filter state, where access logs and other filters find it below
/// `wasm.`: one value, since every value that is set costs.
const AUDIT: &str = "portcullis";
const AUTHORIZATION: &str = "authorization";
const PROXY_AUTHORIZATION: &str = "proxy-authorization";
