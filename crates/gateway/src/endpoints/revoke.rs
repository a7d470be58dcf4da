//! The revocation endpoint (RFC 7009).
//!
//! A revoked token ends its session: access tokens are valid by themselves, so a session is the
//! only thing that can be taken back, and a client that revokes one of its tokens logs out (§2.1
//! allows it for each type of token).

use portcullis_protocol::credentials::{RefreshToken, SessionId};
use portcullis_protocol::http::message::{FieldName, Response};
use portcullis_protocol::oauth::error::{ErrorCode, OAuthError};
use portcullis_protocol::oauth::form::FormError;
use portcullis_protocol::oauth::revoke::{RevocationRequest, RevocationRequestError};
use thiserror::Error;

use crate::audit::{Audit, AuditField, AuditFields, Reason};
use crate::clients::authenticate::{AuthenticatedClient, ClientAuthenticationError, authenticate};
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::error::DependencyError;
use crate::ports::Ports;
use crate::responses::{Cors, client_refusal, cors, uncached};
use crate::routing::endpoint_table::Endpoint;
use crate::sessions::access_token;
use crate::sessions::end::end_session;
use crate::sessions::keys::session_key;
use crate::sessions::state::Session;

/// Answers `POST /oauth/revoke`.
///
/// What is no valid token here is answered like one that was revoked (§2.2): there is nothing that
/// the client could do about it.
pub async fn revoke<P: Ports>(context: &RequestContext<'_, P>) -> Resolved {
    let mut known = AuditFields::default();
    answer(context, &mut known).await.unwrap_or_else(|error| client_refusal(context.request, error.reply(), known))
}

/// Why nothing is revoked.
#[derive(Debug, Error)]
enum RevokeError {
    #[error("the body is larger than 16 KiB")]
    BodyTooLarge,
    #[error(transparent)]
    Request(#[from] RevocationRequestError),
    #[error(transparent)]
    Client(#[from] ClientAuthenticationError),
    #[error("the token belongs to another client")]
    OtherClient,
    #[error(transparent)]
    Dependency(#[from] DependencyError),
}

impl RevokeError {
    /// Returns what the client is answered, and the reason in the audit trail.
    fn reply(&self) -> (OAuthError, Reason) {
        match self {
            Self::BodyTooLarge => {
                let error = OAuthError::new(ErrorCode::InvalidRequest, "the body is larger than 16 KiB");
                (error.with_status(413), Reason::RevocationTooLarge)
            }
            Self::Request(error) => (OAuthError::new(error.code(), error.to_string()), reason_of_request(*error)),
            Self::Client(ClientAuthenticationError::Unnamed) => {
                (OAuthError::new(ErrorCode::InvalidRequest, "client_id is missing"), Reason::RevocationUnnamedClient)
            }
            Self::Client(ClientAuthenticationError::Ambiguous) => (
                OAuthError::new(ErrorCode::InvalidRequest, "the request names more than one client"),
                Reason::RevocationSeveralClients,
            ),
            Self::Client(ClientAuthenticationError::UnexpectedCredentials) => (
                OAuthError::new(ErrorCode::InvalidClient, "this client is public: it must not authenticate"),
                Reason::RevocationClientAuthenticated,
            ),
            Self::Client(ClientAuthenticationError::Unknown) => (
                OAuthError::new(
                    ErrorCode::InvalidClient,
                    "the client is not known here, or was deleted; register again",
                ),
                Reason::RevocationUnknownClient,
            ),
            Self::Client(ClientAuthenticationError::DocumentNotAccepted) => (
                OAuthError::new(ErrorCode::InvalidClient, "clients with this URL as their id are not accepted here"),
                Reason::RevocationDocumentNotAccepted,
            ),
            Self::OtherClient => (
                OAuthError::new(ErrorCode::InvalidGrant, "the token belongs to another client"),
                Reason::RevocationOtherClient,
            ),
            Self::Dependency(error) | Self::Client(ClientAuthenticationError::Dependency(error)) => error.reply(),
        }
    }
}

fn reason_of_request(error: RevocationRequestError) -> Reason {
    match error {
        RevocationRequestError::Form(FormError::ContentType) => Reason::RevocationContentType,
        RevocationRequestError::Form(FormError::QueryParameters) => Reason::RevocationInUrl,
        RevocationRequestError::Form(FormError::Body(_)) => Reason::MalformedRevocation,
        RevocationRequestError::Form(FormError::Repeated(_)) => Reason::RevocationRepeatedParameter,
        RevocationRequestError::NoToken => Reason::RevocationWithoutToken,
    }
}

/// Answers a request. What is proven about who asks is added to `known`.
async fn answer<P: Ports>(context: &RequestContext<'_, P>, known: &mut AuditFields) -> Result<Resolved, RevokeError> {
    let body = context.ports.body(Endpoint::Revoke.entry().body_bytes).await.map_err(|_| RevokeError::BodyTooLarge)?;
    let content_type = context.request.headers.one(FieldName::ContentType);
    let request = RevocationRequest::parse(content_type, &body, context.path.query())?;
    let client = authenticate(context, request.client).await?;
    known.add(AuditField::Client, client.id());
    known.add_known(AuditField::ClientName, client.name());
    let revoked = find(context, &client, request.token.expose()).await?;
    let Some((id, session)) = revoked else { return Ok(done(known.clone().decided(Reason::NothingRevoked))) };
    known.add(AuditField::Session, &id.to_string());
    known.add(AuditField::Scopes, &session.scope.to_string());
    session.add_owner(known);
    end_session(context.gateway, id, context.ports).await?;
    Ok(done(known.clone().decided(Reason::TokenRevoked)))
}

/// Finds the session of a token, which has to be this client's; `None` if the token is none of this
/// gateway, not valid any more, or its session has ended.
///
/// A refresh token of any generation will do: its MAC proves that it was issued for the session. A
/// client that lost an answer may hold no later one.
async fn find<P: Ports>(
    context: &RequestContext<'_, P>,
    client: &AuthenticatedClient,
    token: &str,
) -> Result<Option<(SessionId, Session)>, RevokeError> {
    let id = match RefreshToken::parse(token, &context.config().key_ring) {
        Ok(refresh) => refresh.session,
        Err(_) => match access_token::owner(context.gateway, token, context.now(), context.ports) {
            Some((_, owner)) if owner != client.id() => return Err(RevokeError::OtherClient),
            Some((session, _)) => session,
            None => return Ok(None),
        },
    };
    let Some(loaded) = context.records().load::<Session>(&session_key(id)).await? else { return Ok(None) };
    if loaded.record.client_id != client.id() {
        return Err(RevokeError::OtherClient);
    }
    Ok(Some((id, loaded.record)))
}

/// The body says nothing: clients look at the status alone (§2.2).
fn done(audit: Audit) -> Resolved {
    let response = uncached(Response::new(200)).header("pragma", "no-cache");
    Resolved::Respond(cors(response, Cors::Read), audit)
}
