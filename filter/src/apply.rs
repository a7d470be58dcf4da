//! The one place where a decision becomes an effect on a request.

use std::cell::Cell;

use portcullis_gateway::audit::{Audit, AuditOutcome};
use portcullis_gateway::decision::{Credentials, Forward, Resolved};
use portcullis_protocol::http::message::Response;
use proxy_wasm::types::{Action, Status};

use crate::counters::Counters;
use crate::host;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It went on; `protected` when it went to a protected resource.
    Forwarded {
        /// Whether the gateway stands for the resource towards clients.
        protected: bool,
    },
    /// It was answered here.
    Answered,
}

impl Applied {
    /// What the host is told, in a callback of the request.
    pub(crate) fn action(self) -> Action {
        match self {
            Self::Forwarded { .. } => Action::Continue,
            Self::Answered => Action::Pause,
        }
    }
}

/// What a stream and whoever settles it have to know of each other.
#[derive(Debug)]
pub(crate) struct StreamOutcome {
    /// What became of it; `None` as long as nothing is decided and the request must not go on.
    pub(crate) effect: Cell<Option<Applied>>,
    /// Whether the request came with a `Proxy-Authorization`: taking out what is not there costs as
    /// much.
    pub(crate) has_proxy_authorization: bool,
}

impl StreamOutcome {
    /// Applies a decision to the stream, as [`apply`] does, and keeps what became of it.
    pub(crate) fn apply(&self, settled: &Resolved, counters: &Counters) -> Action {
        let effect = apply(settled, counters, self.has_proxy_authorization);
        self.effect.set(Some(effect));
        effect.action()
    }
}

/// Applies a decision to the stream that the host is in, which must be in its headers callback or
/// paused. The caller returns the action, or resumes the request where it is not in one of the
/// request's callbacks.
pub(crate) fn apply(settled: &Resolved, counters: &Counters, has_proxy_authorization: bool) -> Applied {
    match settled {
        Resolved::Continue(forward) => {
            let protected = !matches!(forward.credentials, Credentials::Unchanged);
            // The headers must be final before the request goes on: afterwards the host has no map
            // to change.
            if edit(forward, protected && has_proxy_authorization).is_err() {
                // Where the client's token cannot be taken out, nothing goes on.
                let audit = Audit::new(AuditOutcome::Fail, "headers_not_changed");
                return apply(&Resolved::Respond(Response::new(503), audit), counters, has_proxy_authorization);
            }
            count(forward.audit.audit(), counters);
            // Nothing was asked of us about the others, and every value of filter state costs.
            if protected {
                host::set_filter_state(AUDIT, forward.audit.json());
            }
            Applied::Forwarded { protected }
        }
        Resolved::Respond(response, audit) => {
            count(audit, counters);
            host::set_filter_state(AUDIT, &audit.to_json());
            host::reply(response);
            Applied::Answered
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
    counters.count(audit.outcome.as_str(), audit.reason);
}

/// The audit trail's name in filter state, where access logs and other filters find it below
/// `wasm.`: one value, since every value that is set costs.
const AUDIT: &str = "portcullis";
const AUTHORIZATION: &str = "authorization";
const PROXY_AUTHORIZATION: &str = "proxy-authorization";
