//! The token endpoint (OAuth 2.1 §3.2): codes and refresh tokens in, access tokens out.

use std::rc::Rc;

use portcullis_protocol::credentials::{AuthorizationCode, RefreshToken, SessionId};
use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::http::message::{FieldName, Request, Response};
use portcullis_protocol::http::path::RoutePath;
use portcullis_protocol::jose::jws::{self, Header};
use portcullis_protocol::jose::keys::SigningKey;
use portcullis_protocol::oauth::error::{ErrorCode, OAuthError};
use portcullis_protocol::oauth::params::Limits;
use portcullis_protocol::oauth::scope::GrantedScope;
use portcullis_protocol::oauth::token::{TokenRequest, TokenResponse};
use portcullis_storage_api::{Key, StoreError, Ttl, Versioned};
use serde::Serialize;

use crate::audit::{Audit, Decision};
use crate::decision::Settled;
use crate::endpoints::register::client_key;
use crate::ports::{Oddity, Ports, Store};
use crate::responses::{Cors, cors, oauth_error, unavailable, uncached};
use crate::sessions::end::end_session;
use crate::sessions::state::{RedeemError, Redemption, RotateError, Session};
use crate::state::gateway::Gateway;
use crate::store::records::{Client, Found, Loaded, Records, Unavailable, Upstream, session_keys};
use crate::upstream::refresh::upstream_life;

/// How often a change is tried again that lost a race against another request with the same token.
const ATTEMPTS: u32 = 8;

/// Answers `POST /oauth/token`.
///
/// A code is used up, and a refresh token replaced, in the one compare-and-swap that precedes the
/// answer. An answer that is lost on the way costs the client its code (it starts again), but no
/// refresh token: that gives the same successor again as long as that has not been used.
pub async fn token<P: Ports>(gateway: &Gateway, request: &Request, path: &RoutePath<'_>, ports: &P) -> Settled {
    match answer(gateway, request, path, ports).await {
        Ok(settled) => settled,
        Err(Failure::Refused(error, reason)) => Settled::Reply(oauth_error(&error), Audit::new(Decision::Deny, reason)),
        Err(Failure::Unavailable(cause)) => {
            let (response, reason) = unavailable(cause);
            Settled::Reply(response, Audit::new(Decision::Fail, reason))
        }
    }
}

enum Failure {
    Refused(OAuthError, &'static str),
    Unavailable(Unavailable),
}

impl From<Unavailable> for Failure {
    fn from(cause: Unavailable) -> Self {
        Self::Unavailable(cause)
    }
}

async fn answer<P: Ports>(
    gateway: &Gateway,
    request: &Request,
    path: &RoutePath<'_>,
    ports: &P,
) -> Result<Settled, Failure> {
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

async fn known_client<P: Ports>(gateway: &Gateway, key: &Key, ports: &P) -> Result<Found, Failure> {
    let records = Records::new(&gateway.config().key_ring, ports);
    match records.find::<Client>(key).await? {
        Some(found) => Ok(found),
        None => {
            let error =
                OAuthError::new(ErrorCode::InvalidClient, "the client is not known, or its registration expired");
            Err(Failure::Refused(error, "unknown_client"))
        }
    }
}

/// Redeems a code. Whatever does not fit ends the session and everything issued from it.
async fn redeem<P: Ports>(gateway: &Gateway, attempt: &Redemption<'_>, ports: &P) -> Result<Session, Failure> {
    let records = Records::new(&gateway.config().key_ring, ports);
    let id = attempt.code.session;
    let keys = session_keys(id, gateway.config().provider.id);
    let nonce = ports.random().map_err(Unavailable::from)?;
    let life = Ttl::Seconds(session_life(gateway));
    for _ in 0..ATTEMPTS {
        let (Some(Loaded { record, version }), upstream) = load_session(&records, &keys).await? else {
            return Err(invalid_grant("the code has expired or was used before", "code_expired"));
        };
        match record.redeem(attempt, ports.now(), nonce) {
            Ok(active) => {
                // Until now the upstream tokens last as long as the code. They are extended first:
                // were that to fail after the code is used up, the login would end with the code's
                // life.
                extend_upstream(gateway, &records, &keys, upstream).await?;
                if records.swap(&keys[0], version, &active, life).await? {
                    return Ok(active);
                }
                // Somebody else redeemed it first; the next round sees that and ends the session.
            }
            Err(error) => {
                end_session(gateway, id, ports).await?;
                return Err(refused_code(error));
            }
        }
    }
    Err(Failure::Unavailable(Unavailable::Store(StoreError::Unavailable)))
}

/// Replaces a refresh token and gives the new tokens. A replay ends the session; a request that
/// asks for too much changes nothing.
async fn rotate<P: Ports>(
    gateway: &Gateway,
    token: &RefreshToken,
    narrowed: impl Fn(&Session) -> Result<GrantedScope, Failure>,
    ports: &P,
) -> Result<Settled, Failure> {
    let records = Records::new(&gateway.config().key_ring, ports);
    let keys = session_keys(token.session, gateway.config().provider.id);
    let successor = token.successor(&gateway.config().key_ring);
    let life = Ttl::Seconds(session_life(gateway));
    for _ in 0..ATTEMPTS {
        let (Some(Loaded { record, version }), upstream) = load_session(&records, &keys).await? else {
            return Err(invalid_grant("the login has ended", "refresh_session_ended"));
        };
        let (scope, now) = (narrowed(&record)?, ports.now());
        let next = match record.rotate(token, &successor, now) {
            Ok(next) => next,
            Err(error) => return Err(refused_refresh(gateway, token.session, error, ports).await?),
        };
        if needs_upstream(gateway, &record) && (upstream.is_none() || record.upstream_is_over(now)) {
            end_session(gateway, token.session, ports).await?;
            return Err(invalid_grant("the login at the identity provider has ended", "refresh_upstream_ended"));
        }
        extend_upstream(gateway, &records, &keys, upstream).await?;
        // INVARIANT: all that can fail comes before the write. What was stored is told to the
        // client.
        let tokens = issue(gateway, token.session, &next, &scope, ports)?;
        match records.swap(&keys[0], version, &next, life).await {
            Ok(true) => return Ok(tokens),
            // Another request with the same token was first; the next round gives its successor.
            Ok(false) => {}
            Err(error) => {
                note_unconfirmed(&records, &keys[0], &next, life).await;
                return Err(error.into());
            }
        }
    }
    Err(Failure::Unavailable(Unavailable::Store(StoreError::Unavailable)))
}

/// Reads a session, and its upstream tokens as they are stored; both at once.
async fn load_session<P: Ports>(
    records: &Records<'_, P>,
    keys: &[Key; 2],
) -> Result<(Option<Loaded<Session>>, Option<Versioned>), Unavailable> {
    let [session, upstream] = records.ports().store().get_both(keys).await?;
    Ok((session.and_then(|session| records.loaded(&keys[0], session)), upstream))
}

/// Keeps upstream tokens, as they were just read, as long as their session. A refresh at the
/// provider that changes them at the same time stores newer ones with a new life.
async fn extend_upstream<P: Ports>(
    gateway: &Gateway,
    records: &Records<'_, P>,
    keys: &[Key; 2],
    upstream: Option<Versioned>,
) -> Result<(), Unavailable> {
    let Some(upstream) = upstream else { return Ok(()) };
    records.extend::<Upstream>(&keys[1], upstream, Ttl::Seconds(upstream_life(gateway))).await
}

/// Notes that the client did not get the successor of its refresh token, where the store took the
/// replacement and could not confirm it: the client will come again, maybe long after the grace.
/// This is best effort, as the store is in trouble; without the note the grace still holds.
async fn note_unconfirmed<P: Ports>(records: &Records<'_, P>, key: &Key, attempted: &Session, life: Ttl) {
    if let (Ok(Some(Loaded { record, version })), Some(attempted)) =
        (records.load::<Session>(key).await, attempted.generation())
        && let Some(noted) = record.unconfirmed(attempted)
    {
        let _best_effort = records.swap(key, version, &noted, life).await;
    }
}

/// What a refresh token comes to that gives no successor.
async fn refused_refresh<P: Ports>(
    gateway: &Gateway,
    session: SessionId,
    error: RotateError,
    ports: &P,
) -> Result<Failure, Unavailable> {
    match error {
        RotateError::NotRefreshable => Ok(invalid_grant("this client has no refresh tokens", "refresh_not_granted")),
        RotateError::RolledBack => {
            // As if it were not there, for every older token too.
            ports.count(Oddity::RolledBack);
            end_session(gateway, session, ports).await?;
            Ok(invalid_grant("the login has ended", "refresh_session_ended"))
        }
        RotateError::Replayed => {
            end_session(gateway, session, ports).await?;
            let description = "the refresh token was used before; the login has been ended";
            Ok(invalid_grant(description, "refresh_token_replayed"))
        }
    }
}

/// Whether calls with a session's tokens need the provider's.
fn needs_upstream(gateway: &Gateway, session: &Session) -> bool {
    let mut resources = gateway.config().resources.iter();
    resources.any(|resource| resource.uri.as_str() == session.resource && resource.injector.is_some())
}

/// A client that gets tokens is in use, so its registration starts anew. A failure only leaves its
/// old end in place.
async fn renew_client<P: Ports>(gateway: &Gateway, key: &Key, client: Found, ports: &P) {
    if let Some(policy) = gateway.config().registration {
        let records = Records::new(&gateway.config().key_ring, ports);
        let _kept = records.renew::<Client>(key, client, Ttl::Seconds(policy.lifetime)).await;
    }
}

/// A session lives as long as its last refresh token or access token, whichever is longer.
fn session_life(gateway: &Gateway) -> u64 {
    let lifespans = gateway.config().lifespans;
    lifespans.refresh_token.max(lifespans.access_token)
}

fn issue<P: Ports>(
    gateway: &Gateway,
    id: SessionId,
    session: &Session,
    scope: &GrantedScope,
    ports: &P,
) -> Result<Settled, Failure> {
    let config = gateway.config();
    let refresh_token = session.generation().filter(|_| session.refreshable).map(|generation| {
        RefreshToken { session: id, generation: generation.number, nonce: generation.nonce }.issue(&config.key_ring)
    });
    let response = TokenResponse {
        access_token: access_token(gateway, id, session, scope, ports)?,
        expires_in: config.lifespans.access_token,
        scope: scope.clone(),
        refresh_token,
    };
    let audit = Audit {
        subject: Some(Rc::from(session.user_id.as_str())),
        client: Some(Rc::from(session.client_id.as_str())),
        resource: Some(Rc::from(session.resource.as_str())),
        ..Audit::new(Decision::Serve, "tokens_issued")
    };
    let response = uncached(Response::json(200, response.to_json())).header("pragma", "no-cache");
    Ok(Settled::Reply(cors(response, Cors::Read), audit))
}

/// What an access token says (RFC 9068 §2.2), and which session it is of.
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
fn access_token<P: Ports>(
    gateway: &Gateway,
    id: SessionId,
    session: &Session,
    scope: &GrantedScope,
    ports: &P,
) -> Result<Secret<String>, Unavailable> {
    let config = gateway.config();
    let key = config.signing_keys.first().ok_or(Unavailable::Signer)?;
    let now = ports.now();
    let claims = Claims {
        iss: &config.issuer.url,
        sub: &session.user_id,
        aud: &session.resource,
        exp: now.saturating_add(config.lifespans.access_token),
        iat: now,
        jti: &SessionId::new(ports.random()?).to_string(),
        client_id: &session.client_id,
        scope: &scope.to_string(),
        sid: &id.to_string(),
    };
    // Writing text and numbers cannot fail; were it to, nothing is signed.
    let claims = serde_json::to_string(&claims).map_err(|_| Unavailable::Signer)?;
    let signing_input = jws::encode_text(&header(key), &claims);
    let signature = ports.sign(key, signing_input.as_bytes()).ok_or(Unavailable::Signer)?;
    Ok(Secret::new(jws::attach(&signing_input, &signature)))
}

/// The header of every access token that a key signs (RFC 9068 §2.1).
pub(crate) fn header(key: &SigningKey) -> Header<'_> {
    Header { alg: key.alg(), kid: key.kid(), typ: "at+jwt" }
}

fn refused_code(error: RedeemError) -> Failure {
    let (code, description, reason) = match error {
        RedeemError::Replayed => (
            ErrorCode::InvalidGrant,
            "the code was used before; everything issued from it has been revoked",
            "code_replayed",
        ),
        RedeemError::Expired => (ErrorCode::InvalidGrant, "the code has expired or was used before", "code_expired"),
        RedeemError::OtherClient => {
            (ErrorCode::InvalidGrant, "the code belongs to another client", "code_other_client")
        }
        RedeemError::OtherRedirect => (
            ErrorCode::InvalidGrant,
            "the redirect_uri is not the one of the authorization request",
            "code_other_redirect",
        ),
        RedeemError::WrongVerifier => {
            (ErrorCode::InvalidGrant, "the code_verifier does not meet the code_challenge", "code_wrong_verifier")
        }
        RedeemError::OtherResource => (
            ErrorCode::InvalidTarget,
            "the resource is not the one of the authorization request",
            "code_other_resource",
        ),
    };
    Failure::Refused(OAuthError::new(code, description), reason)
}

fn invalid_grant(description: &'static str, reason: &'static str) -> Failure {
    Failure::Refused(OAuthError::new(ErrorCode::InvalidGrant, description), reason)
}
