//! Access tokens (RFC 9068) of a session.

use portcullis_protocol::credentials::{SessionId, TokenId};
use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::jose::jws;
use portcullis_protocol::oauth::access_token::header;
use portcullis_protocol::oauth::scope::GrantedScope;
use serde::Serialize;

use crate::error::DependencyError;
use crate::ports::Ports;
use crate::sessions::state::Session;
use crate::state::gateway::Gateway;

/// The claims of an access token (RFC 9068 §2.2), and the session that it belongs to.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: u64,
    iat: u64,
    jti: &'a str,
    client_id: &'a str,
    scope: &'a str,
    sid: &'a str,
}

/// Makes an access token (RFC 9068 §2).
pub(crate) fn access_token<P: Ports>(
    gateway: &Gateway,
    id: SessionId,
    session: &Session,
    scope: &GrantedScope,
    ports: &P,
) -> Result<Secret<String>, DependencyError> {
    let config = gateway.config();
    let key = config.signing_keys.first().ok_or(DependencyError::Internal)?;
    let now = ports.now();
    let claims = Claims {
        iss: &config.issuer.url,
        sub: &session.user_id.to_string(),
        aud: &session.resource,
        exp: now.saturating_add(config.lifespans.access_token),
        iat: now,
        jti: &TokenId::new(ports.random()?).to_string(),
        client_id: &session.client_id,
        scope: &scope.to_string(),
        sid: &id.to_string(),
    };
    let claims = serde_json::to_string(&claims).map_err(|_| DependencyError::Internal)?;
    let signing_input = jws::encode_text(&header(key), &claims);
    let signature = ports.sign(key, signing_input.as_bytes()).ok_or(DependencyError::Signer)?;
    Ok(Secret::new(jws::attach(&signing_input, &signature)))
}
