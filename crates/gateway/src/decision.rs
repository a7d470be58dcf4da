//! A handler's decision about a request. A handler never touches the request itself: the filter
//! applies the decision in one place, and without a decision a request does not go on.
//!
//! What happens to the backend's response is planned with the request, since only the handler knows
//! why the request goes on. A plan is data: what the filter does with a response follows from it.
//! What would read bodies, to filter a list say, is one more variant of [`ResponsePlan`], and the
//! only one for which the filter would ask the host for the response's body.

pub mod header_field;
pub mod identity;

use std::rc::Rc;

use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::http::message::Response;

use crate::audit::Audit;
use crate::config::ProviderId;
use crate::decision::header_field::HeaderField;
use crate::decision::identity::Identity;
use crate::ports::{Crypto, UpstreamTokenRef};

/// A handler's decision about a request.
pub enum Decision {
    /// The request is decided.
    Resolved(Resolved),
    /// Decide when the root task has refreshed these upstream tokens.
    ///
    /// `decide` is a plain function: it may be called inside another stream's callback, where
    /// nothing may be dispatched.
    AwaitUpstream {
        /// The tokens that are awaited.
        token: UpstreamTokenRef,
        /// Turns the refresh's outcome into the decision.
        decide: Box<dyn FnOnce(&RefreshOutcome) -> Resolved>,
    },
    /// Decide when the root task has fetched the keys of a trusted issuer, or failed to.
    AwaitKeys {
        /// The issuer, by its place in the configuration.
        issuer: usize,
        /// Decides with the keys that are known then, given what checks and makes signatures, and
        /// the time in Unix seconds. Dispatches nothing, as above.
        decide: Box<DecideWithKeys>,
    },
    /// Decide when the root task has fetched a provider's documents, or failed to. They are fetched
    /// once, however many logins wait for them, and no login waits for another provider's.
    AwaitProvider {
        /// The provider.
        provider: ProviderId,
        /// Decides by what the gateway knows of it then. Dispatches nothing, as above.
        decide: Box<dyn FnOnce() -> Resolved>,
    },
}

/// A decision by the keys that are known when it is made, at a time in Unix seconds.
pub type DecideWithKeys = dyn FnOnce(&dyn Crypto, u64) -> Resolved;

/// An upstream access token as it is injected.
#[derive(Clone)]
pub struct UpstreamAccess {
    /// The header's value, `Bearer <token>`.
    pub value: Rc<Secret<Vec<u8>>>,
    /// From when on it is to be refreshed ahead of its expiry, in Unix seconds.
    pub refresh_at: u64,
    /// From when on it is of no use, in Unix seconds.
    pub stale_at: u64,
}

impl UpstreamAccess {
    /// None yet, as if it had run out.
    pub(crate) fn none() -> Self {
        Self { value: Rc::new(Secret::new(Vec::new())), refresh_at: 0, stale_at: 0 }
    }
}

/// An upstream access token, and the tokens that it is one of.
#[derive(Clone)]
pub struct OwnedAccess {
    /// The tokens, shared by the streams that are open with one.
    pub token: Rc<UpstreamTokenRef>,
    /// The access token.
    pub access: UpstreamAccess,
}

/// The outcome of a refresh of upstream tokens.
#[derive(Clone)]
pub enum RefreshOutcome {
    /// There is a fresh token.
    Ready(UpstreamAccess),
    /// The provider will not give another: the user has to log in again.
    LoginRequired,
    /// The authorization server of the backend does not exchange the user's token, for a reason
    /// that a login does not mend.
    Refused,
    /// The provider or the store did not answer; it may work later.
    Unavailable,
    /// Another worker is at it.
    InProgressElsewhere,
}

/// A final decision.
pub enum Resolved {
    /// Send the request on, changed so.
    Continue(Forward),
    /// Answer it here.
    Respond(Response, Audit),
}

/// Changes to a request on its way to the backend.
pub struct Forward {
    /// What happens to the client's credentials.
    pub credentials: Credentials,
    /// The headers about the caller, which replace those of the client; `None` where the gateway
    /// sets no field but credentials.
    pub identity: Option<Rc<Identity>>,
    /// The `cookie` header without the gateway's own cookies, when it held any; empty removes the
    /// header.
    pub cookie: Option<Vec<u8>>,
    /// What the audit trail says.
    pub audit: Rc<Audit>,
    /// What happens to the backend's response.
    pub response: ResponsePlan,
    /// By what it goes on, and therefore how long its stream may be open; `None` for a path that
    /// the configuration leaves unprotected.
    pub grant: Option<Grant>,
}

/// The login and the token by which a request to a protected resource goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The session of the token; `None` for a token of a trusted issuer.
    pub session: Option<SessionId>,
    /// The resource, by its place in the configuration.
    pub resource: usize,
    /// When the token expires, in Unix seconds.
    pub expires_at: u64,
    /// The upstream tokens of which the backend gets one.
    pub upstream: Option<Rc<UpstreamTokenRef>>,
}

/// What the backend gets in place of the client's credentials.
pub enum Credentials {
    /// What the client sent: only for a path that the configuration leaves unprotected.
    Unchanged,
    /// Nothing: `Authorization` and `Proxy-Authorization` are removed.
    Removed,
    /// As [`Credentials::Removed`], and then this field is set.
    Injected(HeaderField),
}

/// What happens to the headers of the backend's response to a request that goes on.
///
/// Whatever the plan, the backend sets no cookie in the gateway's names
/// ([`crate::browser::cookies::sets_own`]).
///
/// It is copied into the state of each request, so whatever it holds is static or small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponsePlan {
    /// Nothing more.
    PassThrough,
    /// The challenge of a protected resource is the gateway's
    /// ([`crate::resource_server::backend_refusal`]), and the response gets these fields.
    Protected(Option<&'static AddedHeaders>),
}

/// Header fields that a response gets, all or none.
#[derive(Debug, PartialEq, Eq)]
pub struct AddedHeaders {
    /// The field by which the backend shows that it sets them itself; then none is added. Lower
    /// case.
    pub unless: &'static str,
    /// The fields, each with its name in lower case.
    pub fields: &'static [(&'static str, &'static str)],
}

impl From<Resolved> for Decision {
    fn from(resolved: Resolved) -> Self {
        Self::Resolved(resolved)
    }
}
