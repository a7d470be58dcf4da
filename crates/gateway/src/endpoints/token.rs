//! The token endpoint (OAuth 2.1 §3.2): codes and refresh tokens in, access tokens out.

mod authorization_code;
mod error;
mod issue;
mod refresh_token;

use portcullis_protocol::credentials::{AuthorizationCode, RefreshToken};
use portcullis_protocol::http::message::FieldName;
use portcullis_protocol::oauth::token::TokenRequest;
use portcullis_storage_api::Key;

use crate::clients::registered::{Client, client_key, renew_client};
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::endpoints::token::authorization_code::redeem;
use crate::endpoints::token::error::TokenError;
use crate::endpoints::token::issue::issue;
use crate::endpoints::token::refresh_token::rotate;
use crate::ports::Ports;
use crate::responses::refusal;
use crate::routing::endpoint_table::Endpoint;
use crate::sessions::state::{Redemption, Session};
use crate::store::records::SealedRecord;

/// Answers `POST /oauth/token`.
///
/// A code is used up, and a refresh token replaced, in the one compare-and-swap that precedes the
/// answer. An answer that is lost on the way costs the client its code (it starts again), but no
/// refresh token: that gives the same successor again as long as that has not been used.
pub async fn token<P: Ports>(context: &RequestContext<'_, P>) -> Resolved {
    answer(context).await.unwrap_or_else(|error| refusal(error.reply()))
}

async fn answer<P: Ports>(context: &RequestContext<'_, P>) -> Result<Resolved, TokenError> {
    let body = context.ports.body(Endpoint::Token.entry().body_bytes).await.map_err(|_| TokenError::BodyTooLarge)?;
    let content_type = context.request.headers.one(FieldName::ContentType);
    let parsed = TokenRequest::parse(content_type, &body, context.path.query())?;
    if context.request.headers.has(FieldName::Authorization) || parsed.has_client_secret() {
        return Err(TokenError::ClientAuthenticated);
    }
    match parsed {
        TokenRequest::AuthorizationCode { code, client_id, redirect_uri, code_verifier, resource, .. } => {
            let client_key = client_key(&client_id);
            let client = known_client(context, &client_key).await?;
            let code = AuthorizationCode::parse(code.expose(), &context.config().key_ring)
                .map_err(|_| TokenError::CodeForged)?;
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
                .map_err(|_| TokenError::RefreshTokenForged)?;
            let narrowed = |session: &Session| {
                if session.client_id != client_id {
                    return Err(TokenError::OtherClient);
                }
                if resource.as_ref().is_some_and(|resource| resource.as_str() != session.resource) {
                    return Err(TokenError::OtherResource);
                }
                session.scope.narrow(scope.as_ref()).map_err(|_| TokenError::WiderScope)
            };
            let tokens = rotate(context, &token, narrowed).await?;
            renew_client(context.gateway, &client_key, client, context.ports).await;
            Ok(tokens)
        }
    }
}

async fn known_client<P: Ports>(context: &RequestContext<'_, P>, key: &Key) -> Result<SealedRecord, TokenError> {
    context.records().find::<Client>(key).await?.ok_or(TokenError::UnknownClient)
}
