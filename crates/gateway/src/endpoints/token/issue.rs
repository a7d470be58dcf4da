//! The answer with new tokens (OAuth 2.1 §3.2.3).

use portcullis_protocol::credentials::{RefreshToken, SessionId};
use portcullis_protocol::http::message::Response;
use portcullis_protocol::oauth::scope::GrantedScope;
use portcullis_protocol::oauth::token::TokenResponse;

use crate::audit::{AuditField, AuditFields, Reason};
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::endpoints::token::error::TokenError;
use crate::ports::Ports;
use crate::responses::{Cors, cors, uncached};
use crate::sessions::access_token::access_token;
use crate::sessions::state::Session;

/// Returns the answer with new tokens of a session, which the grant has shown to be this client's.
/// `known` is what the audit trail says of the client and the session.
pub(super) fn issue<P: Ports>(
    context: &RequestContext<'_, P>,
    id: SessionId,
    session: &Session,
    scope: &GrantedScope,
    known: &AuditFields,
) -> Result<Resolved, TokenError> {
    let config = context.config();
    let refresh_token = session.generation().filter(|_| session.refreshable).map(|generation| {
        RefreshToken { session: id, generation: generation.number, nonce: generation.nonce }.issue(&config.key_ring)
    });
    let response = TokenResponse {
        access_token: access_token(context.gateway, id, session, scope, context.ports)?,
        expires_in: config.lifespans.access_token,
        scope: scope.clone(),
        refresh_token,
    };
    let audit = known.clone().with(AuditField::Scopes, &scope.to_string()).decided(Reason::TokensIssued);
    let response = uncached(Response::json(200, response.to_json())).header("pragma", "no-cache");
    Ok(Resolved::Respond(cors(response, Cors::Read), audit))
}
