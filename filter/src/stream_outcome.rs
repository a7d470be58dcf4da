//! The outcome of a stream's decision.

use std::cell::Cell;

use portcullis_gateway::audit::RequestFields;
use portcullis_gateway::decision::ResponsePlan;

use crate::host::HeaderMap;
use crate::service::open_streams::Place;

/// An applied decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// The request goes on.
    Forwarded(Forwarded),
    /// The request was answered here.
    Responded,
}

/// A request that went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// What is planned for its response.
    pub(crate) response: ResponsePlan,
    /// Where its stream is kept, if a login has let it through.
    pub(crate) place: Option<Place>,
}

impl<'a> AppliedTo<'a> {
    /// Returns what the request adds to the audit trail.
    pub(crate) fn audited(&self) -> RequestFields<'a> {
        RequestFields::new(self.id, self.mcp_method)
    }
}

/// The outcome of a stream, shared with what may decide it in its place: a job of the root, or the
/// bound on paused streams.
#[derive(Debug)]
pub(crate) struct StreamOutcome {
    /// `None` as long as nothing is decided and the request must not go on.
    applied: Cell<Option<Applied>>,
    has_proxy_authorization: bool,
    /// What the request adds to the audit trail: [`RequestFields::values`].
    audited: [Box<[u8]>; 2],
}

/// What is read of a request's headers when a decision is applied to it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AppliedTo<'a> {
    /// Whether the request has a `Proxy-Authorization` header. Checked because a host call to
    /// remove an absent header is not free.
    pub(crate) has_proxy_authorization: bool,
    /// All its headers, as long as they are at hand.
    pub(crate) headers: Option<&'a HeaderMap>,
    /// Its `x-request-id`, for the audit trail; empty if it has none.
    pub(crate) id: &'a [u8],
    /// Its `Mcp-Method`, likewise.
    pub(crate) mcp_method: &'a [u8],
}

impl StreamOutcome {
    pub(crate) fn new(request: &AppliedTo<'_>) -> Self {
        Self {
            applied: Cell::new(None),
            has_proxy_authorization: request.has_proxy_authorization,
            audited: request.audited().values().map(Box::from),
        }
    }

    /// Returns what was applied; `None` while the request is undecided.
    pub(crate) fn applied(&self) -> Option<Applied> {
        self.applied.get()
    }

    /// Keeps what was applied.
    pub(crate) fn set(&self, applied: Applied) {
        self.applied.set(Some(applied));
    }

    /// Returns what is read of the request when a decision is applied.
    pub(crate) fn request(&self) -> AppliedTo<'_> {
        let [id, mcp_method] = &self.audited;
        AppliedTo { has_proxy_authorization: self.has_proxy_authorization, headers: None, id, mcp_method }
    }
}
