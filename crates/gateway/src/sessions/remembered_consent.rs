//! Consents that are remembered, so that the page is not shown again for the same request.
//!
//! Only a client that gets its answer at a web site can be recognized by it. Any program can name
//! the `client_id` of another one and listen on loopback, or take its private-use scheme; to such a
//! client the page is shown at each login (RFC 8252 §8.6).

use minicbor::{Decode, Encode};
use portcullis_protocol::credentials::UserId;
use portcullis_protocol::oauth::redirect::RedirectUri;
use portcullis_storage_api::{Key, Kind, Ttl};

use crate::browser::pending_login::Authorization;
use crate::config::Config;
use crate::error::DependencyError;
use crate::ports::Ports;
use crate::store::records::{self, Record, Records};

/// A consent to be remembered. Its name holds everything it covers.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Consent {
    /// When it was given, in Unix seconds.
    #[cbor(n(1), default)]
    pub given_at: u64,
}

impl Record for Consent {
    const KIND: Kind = Kind::Consent;
    const TYPE: &'static str = "consent";
}

/// Whether the user has consented to exactly this before.
///
/// # Errors
/// [`DependencyError::Store`].
pub async fn is_remembered<P: Ports>(
    config: &Config,
    user_id: UserId,
    authorization: &Authorization,
    ports: &P,
) -> Result<bool, DependencyError> {
    if !is_kept(config, authorization) {
        return Ok(false);
    }
    let records = Records::new(&config.sealer, ports);
    Ok(records.load::<Consent>(&consent_key(user_id, authorization)).await?.is_some())
}

/// Remembers a consent, now that it is known who gave it.
///
/// # Errors
/// [`DependencyError`].
pub async fn remember<P: Ports>(
    config: &Config,
    user_id: UserId,
    authorization: &Authorization,
    ports: &P,
) -> Result<(), DependencyError> {
    if !is_kept(config, authorization) {
        return Ok(());
    }
    let records = Records::new(&config.sealer, ports);
    let key = consent_key(user_id, authorization);
    records.save(&key, &Consent { given_at: ports.now() }, Ttl::Seconds(config.consent.remember)).await
}

/// Returns `true` if a consent to this is remembered.
fn is_kept(config: &Config, authorization: &Authorization) -> bool {
    let leads_to_web_site = || RedirectUri::register(&authorization.redirect_uri).is_ok_and(|uri| uri.is_web_site());
    config.consent.remember > 0 && leads_to_web_site()
}

/// A consent's name holds all that it was given for: another client, redirect, scope or resource is
/// another consent.
fn consent_key(user_id: UserId, authorization: &Authorization) -> Key {
    let scope = authorization.scope.to_string();
    let Authorization { client_id, redirect_uri, resource, .. } = authorization;
    let parts = [client_id, redirect_uri, &scope, resource].map(|part| part.as_bytes());
    let [client_id, redirect_uri, scope, resource] = parts;
    records::key(Kind::Consent, &[user_id.as_bytes(), client_id, redirect_uri, scope, resource])
}
