//! The token endpoint (OAuth 2.1 §3.2): codes and refresh tokens in, access tokens out.

mod authorization_code;
mod error;
mod issue;
mod refresh_token;

use portcullis_protocol::http::message::FieldName;
use portcullis_protocol::oauth::token::{Grant, TokenRequest};

use crate::audit::{AuditField, AuditFields};
use crate::clients::authenticate::authenticate;
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::endpoints::token::error::TokenError;
use crate::ports::Ports;
use crate::responses::client_refusal;
use crate::routing::endpoint_table::Endpoint;

/// Answers `POST /oauth/token`.
///
/// A code is used up, and a refresh token replaced, in the one compare-and-swap that precedes the
/// answer. An answer that is lost on the way costs the client its code (it starts again), but no
/// refresh token: that gives the same successor again as long as that has not been used.
pub async fn token<P: Ports>(context: &RequestContext<'_, P>) -> Resolved {
    let mut known = AuditFields::default();
    answer(context, &mut known).await.unwrap_or_else(|error| client_refusal(context.request, error.reply(), known))
}

/// Answers a request. What is proven about who asks is added to `known`.
async fn answer<P: Ports>(context: &RequestContext<'_, P>, known: &mut AuditFields) -> Result<Resolved, TokenError> {
    let body = context.ports.body(Endpoint::Token.entry().body_bytes).await.map_err(|_| TokenError::BodyTooLarge)?;
    let content_type = context.request.headers.one(FieldName::ContentType);
    let request = TokenRequest::parse(content_type, &body, context.path.query())?;
    let client = authenticate(context, request.client).await?;
    known.add(AuditField::Client, client.id());
    known.add_known(AuditField::ClientName, client.name());
    // A new grant has its variant, its file, and its arm here.
    let tokens = match request.grant {
        Grant::AuthorizationCode(grant) => authorization_code::grant(context, &client, &grant, known).await?,
        Grant::RefreshToken(grant) => refresh_token::grant(context, &client, &grant, known).await?,
    };
    client.renew(context).await;
    Ok(tokens)
}
