//! The token endpoint (OAuth 2.1 §3.2): codes and refresh tokens in, access tokens out.

mod authorization_code;
mod failure;
mod issue;
mod refresh_token;

use portcullis_protocol::credentials::{AuthorizationCode, RefreshToken};
use portcullis_protocol::http::message::FieldName;
use portcullis_protocol::oauth::error::{ErrorCode, OAuthError};
use portcullis_protocol::oauth::params::Limits;
use portcullis_protocol::oauth::token::TokenRequest;
use portcullis_storage_api::Key;

use crate::audit::{Audit, AuditOutcome};
use crate::clients::registered::{Client, client_key, renew_client};
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::endpoints::token::authorization_code::redeem;
use crate::endpoints::token::failure::{Failure, invalid_grant};
use crate::endpoints::token::issue::issue;
use crate::endpoints::token::refresh_token::rotate;
use crate::ports::Ports;
use crate::responses::{oauth_error, unavailable};
use crate::sessions::state::{Redemption, Session};
use crate::store::records::SealedRecord;

/// Answers `POST /oauth/token`.
///
/// A code is used up, and a refresh token replaced, in the one compare-and-swap that precedes the
/// answer. An answer that is lost on the way costs the client its code (it starts again), but no
/// refresh token: that gives the same successor again as long as that has not been used.
pub async fn token<P: Ports>(context: &RequestContext<'_, P>) -> Resolved {
    match answer(context).await {
        Ok(settled) => settled,
        Err(Failure::Refused(error, reason)) => {
            Resolved::Respond(oauth_error(&error), Audit::new(AuditOutcome::Deny, reason))
        }
        Err(Failure::Unavailable(cause)) => {
            let (response, reason) = unavailable(cause);
            Resolved::Respond(response, Audit::new(AuditOutcome::Fail, reason))
        }
    }
}

async fn answer<P: Ports>(context: &RequestContext<'_, P>) -> Result<Resolved, Failure> {
    let body = context.ports.body(Limits::OAUTH.bytes).await.map_err(|_| {
        let error = OAuthError::new(ErrorCode::InvalidRequest, "the body is larger than 16 KiB").with_status(413);
        Failure::Refused(error, "body_too_large")
    })?;
    let parsed = TokenRequest::parse(context.request.headers.one(FieldName::ContentType), &body, context.path.query())
        .map_err(|error| {
            Failure::Refused(OAuthError::new(error.code(), error.to_string()), "malformed_token_request")
        })?;
    if context.request.headers.has(FieldName::Authorization) || parsed.has_client_secret() {
        let description = "this client is public: it must not authenticate";
        return Err(Failure::Refused(OAuthError::new(ErrorCode::InvalidClient, description), "client_authenticated"));
    }
    match parsed {
        TokenRequest::AuthorizationCode { code, client_id, redirect_uri, code_verifier, resource, .. } => {
            let client_key = client_key(&client_id);
            let client = known_client(context, &client_key).await?;
            let code = AuthorizationCode::parse(code.expose(), &context.config().key_ring)
                .map_err(|_| invalid_grant("the code is not one of this server", "code_forged"))?;
            let attempt = Redemption {
                code: &code,
                client_id: &client_id,
                redirect_uri: &redirect_uri,
                verifier: &code_verifier,
                resource: resource.as_ref(),
            };
            let session = redeem(context, &attempt).await?;
            renew_client(context.gateway, &client_key, client, context.ports).await;
            issue(context, code.session, &session, &session.scope)
        }
        TokenRequest::RefreshToken { refresh_token, client_id, scope, resource, .. } => {
            let client_key = client_key(&client_id);
            let client = known_client(context, &client_key).await?;
            let token = RefreshToken::parse(refresh_token.expose(), &context.config().key_ring)
                .map_err(|_| invalid_grant("the refresh token is not one of this server", "refresh_token_forged"))?;
            let narrowed = |session: &Session| {
                if session.client_id != client_id {
                    return Err(invalid_grant("the refresh token belongs to another client", "refresh_other_client"));
                }
                if resource.as_ref().is_some_and(|resource| resource.as_str() != session.resource) {
                    let error = OAuthError::new(ErrorCode::InvalidTarget, "the login was for another resource");
                    return Err(Failure::Refused(error, "refresh_other_resource"));
                }
                session.scope.narrow(scope.as_ref()).map_err(|_| {
                    let error = OAuthError::new(ErrorCode::InvalidScope, "a scope was not granted at login");
                    Failure::Refused(error, "refresh_wider_scope")
                })
            };
            let tokens = rotate(context, &token, narrowed).await?;
            renew_client(context.gateway, &client_key, client, context.ports).await;
            Ok(tokens)
        }
    }
}

async fn known_client<P: Ports>(context: &RequestContext<'_, P>, key: &Key) -> Result<SealedRecord, Failure> {
    match context.records().find::<Client>(key).await? {
        Some(found) => Ok(found),
        None => {
            let error =
                OAuthError::new(ErrorCode::InvalidClient, "the client is not known, or its registration expired");
            Err(Failure::Refused(error, "unknown_client"))
        }
    }
}
