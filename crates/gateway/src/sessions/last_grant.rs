//! Where the last refresh token is that a provider gave for a user and a client.
//!
//! Some providers give a refresh token at a user's first consent only, and none at later logins, as
//! long as the user has not taken the consent back. A login that brings none goes on with the one
//! of an older session of the same user, client and provider, as long as that session lives. Only
//! the session is noted, not the token: what ends a session, or replaces its token, holds here too.

use minicbor::{Decode, Encode};
use portcullis_protocol::credentials::{SessionId, UserId};
use portcullis_protocol::crypto::secret::Secret;
use portcullis_storage_api::{Key, Kind, Ttl};

use crate::config::ProviderId;
use crate::error::DependencyError;
use crate::ports::Ports;
use crate::sessions::keys::session_keys;
use crate::sessions::state::Session;
use crate::store::records::{self, Record, Records};
use crate::upstream::tokens::Upstream;

/// The session whose upstream tokens can be renewed.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct LastGrant {
    /// Its id.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub session: [u8; 16],
}

impl Record for LastGrant {
    const KIND: Kind = Kind::Consent;
    const TYPE: &'static str = "last-grant";
}

/// Notes a session whose code was redeemed, and whose upstream tokens can be renewed.
///
/// # Errors
/// [`DependencyError`].
pub(crate) async fn note<P: Ports>(
    records: &Records<'_, P>,
    id: SessionId,
    session: &Session,
    provider: ProviderId,
) -> Result<(), DependencyError> {
    let key = key(session.user_id, &session.client_id, provider);
    records.save(&key, &LastGrant { session: *id.as_bytes() }, Ttl::Seconds(LIFE_SECONDS)).await
}

/// Returns the refresh token of the last session of this user and client that has one, where the
/// provider called the user by the same name.
///
/// # Errors
/// [`DependencyError::Store`].
pub(crate) async fn refresh_token<P: Ports>(
    records: &Records<'_, P>,
    user: UserId,
    client: &str,
    provider: ProviderId,
    subject: &str,
) -> Result<Option<Secret<String>>, DependencyError> {
    let Some(last) = records.load::<LastGrant>(&key(user, client, provider)).await? else { return Ok(None) };
    let [_, upstream] = session_keys(SessionId::new(last.record.session), provider);
    let upstream = records.load::<Upstream>(&upstream).await?.filter(|upstream| upstream.record.subject == subject);
    Ok(upstream.and_then(|upstream| upstream.record.refresh_token))
}

/// It is among the consents: a store that loses one loses a convenience.
fn key(user: UserId, client: &str, provider: ProviderId) -> Key {
    records::key(Kind::Consent, &[b"last grant", user.as_bytes(), client.as_bytes(), provider.as_bytes()])
}

/// How long a session is remembered, in seconds. One that is used less often than once in three
/// months has ended, unless refresh tokens live longer than most.
const LIFE_SECONDS: u64 = 90 * 24 * 3_600;
