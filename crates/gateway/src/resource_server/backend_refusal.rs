//! A backend that answers 401 or brings a challenge of its own.
//!
//! The challenge of a protected resource is the gateway's. A backend knows the provider's token,
//! not the client's: its challenge would send the client to another authorization server, say with
//! a `resource_metadata` of its own. So
//!
//! - a `WWW-Authenticate` of a backend never reaches the client;
//! - a 401 gets the gateway's challenge, on which clients refresh, and then log in;
//! - a 401 to a provider's token counts as its end: the root task renews it at once, and calls that
//!   come meanwhile wait ([`crate::upstream::refresh::Cause::Rejected`]). Where the provider renews
//!   it no more, the session ends, and the client's refresh is `invalid_grant`.
//!
//! A backend that answers 401 to every token causes one refresh of a session in
//! [`RENEWAL_SECONDS`](crate::state::gateway::RENEWAL_SECONDS), however many calls there are.
//! Such a session does not end, since a login could not help either.

use portcullis_protocol::oauth::challenge::Challenge;
use portcullis_protocol::oauth::error::ErrorCode;

use crate::decision::Grant;
use crate::ports::UpstreamTokenRef;
use crate::state::gateway::Gateway;

/// The gateway's part of a backend's 401.
pub struct BackendRefusal {
    /// The `WWW-Authenticate` that replaces the backend's.
    pub challenge: String,
    /// The tokens to be renewed, if the backend got one and no 401 led to their renewal a moment
    /// ago.
    pub rejected: Option<UpstreamTokenRef>,
}

/// Returns what a 401 of a backend becomes at `now`, in Unix seconds; `None` if the resource is not
/// in the configuration any more.
#[must_use]
pub fn of(gateway: &Gateway, grant: &Grant, now: u64) -> Option<BackendRefusal> {
    let resource = gateway.config().resources.get(grant.resource)?;
    let challenge = Challenge::new(&resource.metadata_url, &resource.scopes)
        .with_error(ErrorCode::InvalidToken, "the service behind this resource does not accept the login")
        .to_string();
    let rejected = grant.upstream.as_deref().copied().filter(|token| gateway.note_rejected(*token, now));
    Some(BackendRefusal { challenge, rejected })
}
