//! Why a call is refused, and the answer that says so.

use std::rc::Rc;

use portcullis_protocol::http::message::Response;
use portcullis_protocol::oauth::challenge::Challenge;
use portcullis_protocol::oauth::error::{ErrorCode, OAuthError};

use crate::audit::{Audit, AuditOutcome};
use crate::config::Resource;
use crate::decision::Resolved;
use crate::error::Unavailable;
use crate::responses::{Cors, cors, try_later, unavailable, uncached};

/// Why a call is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// There is no token: the challenge says where to get one.
    NoToken,
    /// The request itself is not one that RFC 6750 allows.
    Malformed(&'static str),
    /// The token is not valid here (RFC 6750 §3.1).
    InvalidToken(&'static str),
    /// The token lacks a scope.
    InsufficientScope,
    /// The session behind the token has no upstream token any more.
    LoginRequired,
    /// The provider did not renew the upstream token in time.
    UpstreamUnavailable,
    /// A dependency is unavailable.
    Unavailable(Unavailable),
}

impl Refusal {
    /// The answer, with a challenge wherever a token would help (RFC 6750 §3, RFC 9728 §5.1).
    pub(super) fn reply(self, resource: Option<&Resource>) -> Resolved {
        let (code, description, reason) = match self {
            Self::NoToken => (None, "an access token is required", "no_token"),
            Self::Malformed(description) => (Some(ErrorCode::InvalidRequest), description, "malformed_credentials"),
            Self::InvalidToken(description) => (Some(ErrorCode::InvalidToken), description, "invalid_token"),
            Self::InsufficientScope => (
                Some(ErrorCode::InsufficientScope),
                "the token lacks a scope that is needed here",
                "insufficient_scope",
            ),
            Self::LoginRequired => (
                Some(ErrorCode::InvalidToken),
                "the login at the identity provider has ended; authorize again",
                "upstream_login_required",
            ),
            Self::UpstreamUnavailable => {
                let response = try_later("the identity provider did not renew the login in time; try again");
                return Resolved::Respond(response, audit(resource, AuditOutcome::Fail, "upstream_unavailable"));
            }
            Self::Unavailable(cause) => {
                let (response, reason) = unavailable(cause);
                return Resolved::Respond(response, audit(resource, AuditOutcome::Fail, reason));
            }
        };
        let error = OAuthError::new(code.unwrap_or(ErrorCode::InvalidRequest), description);
        let status = match code {
            None | Some(ErrorCode::InvalidToken) => 401,
            Some(ErrorCode::InsufficientScope) => 403,
            Some(_) => 400,
        };
        let challenge = resource.map(|resource| Challenge {
            resource_metadata: &resource.metadata_url,
            scope: &resource.scopes,
            error: code,
            description: code.map(|_| description),
        });
        let mut response = uncached(Response::json(status, error.to_json()));
        if let Some(challenge) = challenge {
            response = response.header("www-authenticate", &challenge.to_string());
        }
        Resolved::Respond(cors(response, Cors::ReadMcp), audit(resource, AuditOutcome::Deny, reason))
    }
}

fn audit(resource: Option<&Resource>, decision: AuditOutcome, reason: &'static str) -> Audit {
    Audit { resource: resource.map(|resource| Rc::clone(&resource.name)), ..Audit::new(decision, reason) }
}
