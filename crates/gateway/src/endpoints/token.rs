//! The token endpoint (OAuth 2.1 §3.2): codes and refresh tokens in, access tokens out.

mod authorization_code;
mod failure;
mod issue;
mod refresh_token;

use portcullis_protocol::credentials::{AuthorizationCode, RefreshToken};
use portcullis_protocol::http::message::{FieldName, Request};
use portcullis_protocol::http::path::RoutePath;
use portcullis_protocol::oauth::error::{ErrorCode, OAuthError};
use portcullis_protocol::oauth::params::Limits;
use portcullis_protocol::oauth::token::TokenRequest;
use portcullis_storage_api::Key;

use crate::audit::{Audit, AuditOutcome};
use crate::clients::registered::{Client, client_key, renew_client};
use crate::decision::Resolved;
use crate::endpoints::token::authorization_code::redeem;
use crate::endpoints::token::failure::{Failure, invalid_grant};
use crate::endpoints::token::issue::issue;
use crate::endpoints::token::refresh_token::rotate;
use crate::ports::Ports;
use crate::responses::{oauth_error, unavailable};
use crate::sessions::state::{Redemption, Session};
use crate::state::gateway::Gateway;
use crate::store::records::{Records, SealedRecord};

/// Answers `POST /oauth/token`.
///
/// A code is used up, and a refresh token replaced, in the one compare-and-swap that precedes the
/// answer. An answer that is lost on the way costs the client its code (it starts again), but no
/// refresh token: that gives the same successor again as long as that has not been used.
pub async fn token<P: Ports>(gateway: &Gateway, request: &Request, path: &RoutePath<'_>, ports: &P) -> Resolved {
    match answer(gateway, request, path, ports).await {
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

async fn answer<P: Ports>(
    gateway: &Gateway,
    request: &Request,
    path: &RoutePath<'_>,
    ports: &P,
) -> Result<Resolved, Failure> {
    let body = ports.body(Limits::OAUTH.bytes).await.map_err(|_| {
        let error = OAuthError::new(ErrorCode::InvalidRequest, "the body is larger than 16 KiB").with_status(413);
        Failure::Refused(error, "body_too_large")
    })?;
    let parsed =
        TokenRequest::parse(request.headers.one(FieldName::ContentType), &body, path.query()).map_err(|error| {
            Failure::Refused(OAuthError::new(error.code(), error.to_string()), "malformed_token_request")
        })?;
    if request.headers.has(FieldName::Authorization) || parsed.has_client_secret() {
        let description = "this client is public: it must not authenticate";
        return Err(Failure::Refused(OAuthError::new(ErrorCode::InvalidClient, description), "client_authenticated"));
    }
    match parsed {
        TokenRequest::AuthorizationCode { code, client_id, redirect_uri, code_verifier, resource, .. } => {
            let client_key = client_key(&client_id);
            let client = known_client(gateway, &client_key, ports).await?;
            let code = AuthorizationCode::parse(code.expose(), &gateway.config().key_ring)
                .map_err(|_| invalid_grant("the code is not one of this server", "code_forged"))?;
            let attempt = Redemption {
                code: &code,
                client_id: &client_id,
                redirect_uri: &redirect_uri,
                verifier: &code_verifier,
                resource: resource.as_ref(),
            };
            let session = redeem(gateway, &attempt, ports).await?;
            renew_client(gateway, &client_key, client, ports).await;
            issue(gateway, code.session, &session, &session.scope, ports)
        }
        TokenRequest::RefreshToken { refresh_token, client_id, scope, resource, .. } => {
            let client_key = client_key(&client_id);
            let client = known_client(gateway, &client_key, ports).await?;
            let token = RefreshToken::parse(refresh_token.expose(), &gateway.config().key_ring)
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
            let tokens = rotate(gateway, &token, narrowed, ports).await?;
            renew_client(gateway, &client_key, client, ports).await;
            Ok(tokens)
        }
    }
}

async fn known_client<P: Ports>(gateway: &Gateway, key: &Key, ports: &P) -> Result<SealedRecord, Failure> {
    let records = Records::new(&gateway.config().sealer, ports);
    match records.find::<Client>(key).await? {
        Some(found) => Ok(found),
        None => {
            let error =
                OAuthError::new(ErrorCode::InvalidClient, "the client is not known, or its registration expired");
            Err(Failure::Refused(error, "unknown_client"))
        }
    }
}
