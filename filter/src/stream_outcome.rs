//! The outcome of a stream's decision.

use std::cell::Cell;

use portcullis_gateway::decision::ResponsePlan;

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

    /// Keeps what was applied.
    pub(crate) fn set(&self, applied: Applied) {
        self.applied.set(Some(applied));
    }

    pub(crate) fn has_proxy_authorization(&self) -> bool {
        self.has_proxy_authorization
    }
}
