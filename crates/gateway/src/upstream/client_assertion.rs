//! The assertion by which the gateway proves itself at a provider's token endpoint
//! (`private_key_jwt`, RFC 7523 §3, OIDC Core §9).

use portcullis_protocol::credentials::TokenId;
use portcullis_protocol::jose::jws::{self, Header};
use serde::Serialize;

use crate::config::ClientKey;
use crate::ports::Ports;
use crate::upstream::provider_error::ProviderError;

/// Returns an assertion for one request to a server with this audience.
///
/// # Errors
/// [`ProviderError::NoAssertion`] if the host does not sign with the key, or has no randomness.
pub(super) fn client_assertion<P: Ports>(
    key: &ClientKey,
    client_id: &str,
    audience: &str,
    ports: &P,
) -> Result<String, ProviderError> {
    let now = ports.now();
    let id = TokenId::new(ports.random().map_err(|_| ProviderError::NoAssertion)?).to_string();
    let claims = Claims {
        iss: client_id,
        sub: client_id,
        aud: audience,
        jti: &id,
        iat: now,
        exp: now.saturating_add(LIFE_SECONDS),
    };
    let claims = serde_json::to_string(&claims).map_err(|_| ProviderError::NoAssertion)?;
    let input = jws::encode_text(&Header { alg: key.key.alg(), kid: &key.id, typ: "JWT" }, &claims);
    let signature = ports.sign(&key.key, input.as_bytes()).ok_or(ProviderError::NoAssertion)?;
    Ok(jws::attach(&input, &signature))
}

/// RFC 7523 §3. `aud` is one string: a server must be the only audience (OIDC Core §9).
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: &'a str,
    iat: u64,
    exp: u64,
}

/// How long an assertion may be used, in seconds: for one call, with clocks that differ a little.
const LIFE_SECONDS: u64 = 60;
