//! Access tokens (RFC 9068) of a session: how they are made, and whose they are.

use portcullis_protocol::credentials::{SessionId, TokenId};
use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::jose::claims::{self, Expected};
use portcullis_protocol::jose::jws::{self, Jws};
use portcullis_protocol::oauth::access_token::header;
use portcullis_protocol::oauth::scope::GrantedScope;
use serde::Serialize;

use crate::error::DependencyError;
use crate::ports::Ports;
use crate::sessions::state::Session;
use crate::state::gateway::Gateway;

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

/// Returns the session of a token that is one of this gateway's access tokens, whatever resource it
/// is for, and the client that it was issued to; `None` if it is not, or not valid at `now`.
pub(crate) fn owner<P: Ports>(gateway: &Gateway, token: &str, now: u64, ports: &P) -> Option<(SessionId, String)> {
    let jws = Jws::parse_among(token, gateway.own_headers()).ok()?;
    let verify = |key: &_, alg, message: &[u8], signature: &[u8]| ports.verify(key, alg, message, signature);
    let signed = claims::verify(&jws, gateway.own_keys(), verify).ok()?;
    let config = gateway.config();
    config.resources.iter().find_map(|resource| {
        let expected = Expected {
            issuer: &config.issuer.url,
            audience: resource.uri.as_str(),
            start_leeway: CLOCK_LEEWAY,
            expiry_leeway: 0,
        };
        let token = signed.access_token(&expected, now).ok()?;
        Some((token.session(), token.client_id().to_owned()))
    })
}

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

/// How far the clock of another gateway that issued a token may be ahead of ours, in seconds. Its
/// end is not put off: a gateway whose clock is behind only accepts it for as much longer.
pub(crate) const CLOCK_LEEWAY: u64 = 30;
