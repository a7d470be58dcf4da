//! What is remembered about asking a user to connect a provider.
//!
//! A call that needs a connection which is not there is answered with a 401 once, so that a client
//! which knows of nothing else logs in again; that login goes to the provider, too. A user who does
//! not want to connect has been asked then: calls are refused without a challenge for a day, or the
//! client would open a browser again and again.

use minicbor::{Decode, Encode};
use portcullis_protocol::credentials::UserId;
use portcullis_storage_api::{Key, Kind, Ttl};

use crate::config::ProviderId;
use crate::error::DependencyError;
use crate::ports::Ports;
use crate::state::gateway::Gateway;
use crate::store::records::{self, Record, Records};

/// How long it is remembered, in seconds.
const LIFE_SECONDS: u64 = 24 * 3_600;

/// How long a login that could not go to the provider is remembered, in seconds: it may be
/// unavailable for a while only.
const SKIPPED_SECONDS: u64 = 600;

/// What is remembered of a user and a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Offer {
    /// Whether the user is to be asked, or was.
    #[cbor(n(1), default)]
    pub asked: Asked,
    /// The `prompt` that the provider wants to be asked with (OpenID Connect Core §3.1.2.1).
    #[n(2)]
    pub prompt: Option<String>,
}

/// Whether a user is to be asked to connect a provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Asked {
    /// No call has needed it.
    #[n(0)]
    #[default]
    No,
    /// The next login asks.
    #[n(1)]
    Due,
    /// A login has asked.
    #[n(2)]
    Done,
}

impl Record for Offer {
    const KIND: Kind = Kind::Consent;
    const TYPE: &'static str = "connection-offer";
}

/// Has the user's next login ask. Returns `false` if one has done so.
///
/// # Errors
/// [`DependencyError`].
pub async fn request<P: Ports>(
    gateway: &Gateway,
    user: UserId,
    provider: ProviderId,
    ports: &P,
) -> Result<bool, DependencyError> {
    let offer = load(gateway, user, provider, ports).await?;
    match offer.asked {
        Asked::Done => Ok(false),
        Asked::Due => Ok(true),
        Asked::No => {
            let due = Offer { asked: Asked::Due, ..offer };
            save(gateway, user, provider, &due, LIFE_SECONDS, ports).await.map(|()| true)
        }
    }
}

/// Returns what is remembered.
///
/// # Errors
/// [`DependencyError::Store`].
pub async fn load<P: Ports>(
    gateway: &Gateway,
    user: UserId,
    provider: ProviderId,
    ports: &P,
) -> Result<Offer, DependencyError> {
    let records = Records::new(&gateway.config().sealer, ports);
    Ok(records.load::<Offer>(&key(user, provider)).await?.map(|loaded| loaded.record).unwrap_or_default())
}

/// Notes that a login has asked, or has had to leave it out.
///
/// # Errors
/// [`DependencyError`].
pub async fn note_asked<P: Ports>(
    gateway: &Gateway,
    user: UserId,
    provider: ProviderId,
    offer: Offer,
    was_skipped: bool,
    ports: &P,
) -> Result<(), DependencyError> {
    let done = Offer { asked: Asked::Done, ..offer };
    let life = if was_skipped { SKIPPED_SECONDS } else { LIFE_SECONDS };
    save(gateway, user, provider, &done, life, ports).await
}

/// Remembers the `prompt` that the next connection needs.
///
/// # Errors
/// [`DependencyError`].
pub async fn remember_prompt<P: Ports>(
    gateway: &Gateway,
    user: UserId,
    provider: ProviderId,
    prompt: &str,
    ports: &P,
) -> Result<(), DependencyError> {
    let offer = Offer { asked: Asked::No, prompt: Some(prompt.to_owned()) };
    save(gateway, user, provider, &offer, LIFE_SECONDS, ports).await
}

/// Forgets it all, once the user has connected.
///
/// # Errors
/// [`DependencyError::Store`].
pub async fn forget<P: Ports>(
    gateway: &Gateway,
    user: UserId,
    provider: ProviderId,
    ports: &P,
) -> Result<(), DependencyError> {
    Records::new(&gateway.config().sealer, ports).delete(&key(user, provider)).await
}

async fn save<P: Ports>(
    gateway: &Gateway,
    user: UserId,
    provider: ProviderId,
    offer: &Offer,
    life: u64,
    ports: &P,
) -> Result<(), DependencyError> {
    Records::new(&gateway.config().sealer, ports).save(&key(user, provider), offer, Ttl::Seconds(life)).await
}

/// Among the consents, which a user can lose as well: it costs one more question.
fn key(user: UserId, provider: ProviderId) -> Key {
    records::key(Kind::Consent, &[b"connection offer", user.as_bytes(), provider.as_bytes()])
}
