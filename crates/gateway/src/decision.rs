//! What a handler decides about a request. A handler never touches the request itself: the filter's
//! one `settle` applies the decision, and without a decision a request does not go on.

use std::rc::Rc;

use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::http::message::Response;

use crate::audit::{Audit, Rendered};
use crate::upstream::tokens::RefreshOutcome;

/// What a handler came to.
pub enum Verdict {
    /// It is decided.
    Settled(Settled),
    /// Decide when the root task has refreshed this session's upstream tokens.
    ///
    /// The decision is a plain function: whoever settles it may be inside another stream's
    /// callback, where nothing may be dispatched.
    AwaitRefresh {
        /// Whose tokens are awaited.
        session: SessionId,
        /// Turns the refresh's outcome into the decision.
        decide: Box<dyn FnOnce(&RefreshOutcome) -> Settled>,
    },
    /// Decide when the root task has fetched the provider's documents, or could not: however many
    /// logins need them, they are fetched once.
    AwaitProvider {
        /// The decision, by what the gateway knows of the provider then. As above it dispatches
        /// nothing.
        decide: Box<dyn FnOnce() -> Settled>,
    },
}

/// A final decision.
pub enum Settled {
    /// Send the request on, changed so.
    Forward(Forward),
    /// Answer it here.
    Reply(Response, Audit),
}

/// Changes to a request on its way to the back end.
pub struct Forward {
    /// What happens to the client's credentials.
    pub credentials: Credentials,
    /// The `cookie` header without the gateway's own cookies, when it held any; empty removes the
    /// header.
    pub cookie: Option<Vec<u8>>,
    /// What the audit trail says.
    pub audit: Rc<Rendered>,
}

/// What the back end gets in place of the client's credentials.
pub enum Credentials {
    /// What the client sent: only for a path that the configuration leaves unprotected.
    Untouched,
    /// Nothing: `Authorization` and `Proxy-Authorization` are removed.
    Stripped,
    /// As [`Credentials::Stripped`], and then this field is set.
    Injected(Injection),
}

/// One header field that the gateway sets, replacing whatever the client sent under that name.
#[derive(Clone)]
pub struct Injection {
    /// The field's name, lower case.
    pub name: Rc<str>,
    /// The field's value.
    pub value: Rc<Secret<Vec<u8>>>,
}
