//! The `prompt` that a user's next login has to ask the provider for.
//!
//! A provider that refuses to renew tokens with `interaction_required` and the like wants to see
//! the user. The session ends and the client opens the browser; but a provider that still knows the
//! browser would log the user in without a word, and refuse the next renewal again. So the next
//! login of that user is sent with the `prompt` (OpenID Connect Core §3.1.2.1) that the refusal
//! stands for.

use minicbor::{Decode, Encode};
use portcullis_protocol::credentials::UserId;
use portcullis_storage_api::{Key, Kind, Ttl};

use crate::browser::pending_login::Authorization;
use crate::error::DependencyError;
use crate::ports::Ports;
use crate::state::gateway::Gateway;
use crate::store::records::{self, Record, Records};

/// How long a prompt is waited for, in seconds. A user who logs in later is most likely asked by
/// the provider anyway.
const LIFE_SECONDS: u64 = 24 * 3_600;

/// Remembers what the user's next login has to ask for.
///
/// # Errors
/// [`DependencyError`].
pub async fn remember<P: Ports>(
    gateway: &Gateway,
    user_id: UserId,
    prompt: &str,
    ports: &P,
) -> Result<(), DependencyError> {
    let record = NextPrompt { prompt: prompt.to_owned() };
    let records = Records::new(&gateway.config().sealer, ports);
    records.save(&key(user_id), &record, Ttl::Seconds(LIFE_SECONDS)).await
}

/// Returns what the user's next login has to ask for.
///
/// # Errors
/// [`DependencyError::Store`].
pub async fn due<P: Ports>(gateway: &Gateway, user_id: UserId, ports: &P) -> Result<Option<String>, DependencyError> {
    let records = Records::new(&gateway.config().sealer, ports);
    Ok(records.load::<NextPrompt>(&key(user_id)).await?.map(|loaded| loaded.record.prompt))
}

/// Forgets the prompt once the user has logged in with one.
///
/// # Errors
/// [`DependencyError::Store`].
pub async fn forget<P: Ports>(
    gateway: &Gateway,
    user_id: UserId,
    authorization: &Authorization,
    ports: &P,
) -> Result<(), DependencyError> {
    if authorization.prompt.is_none() {
        return Ok(());
    }
    Records::new(&gateway.config().sealer, ports).delete(&key(user_id)).await
}

/// Among the consents, which a user can lose as well: it costs one more question. A consent has
/// other parts in its name.
fn key(user_id: UserId) -> Key {
    records::key(Kind::Consent, &[b"prompt", user_id.as_bytes()])
}

/// The `prompt` that a user's next login is sent to the provider with.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct NextPrompt {
    /// Its value: `login`, `consent` or `select_account`.
    #[n(1)]
    pub prompt: String,
}

impl Record for NextPrompt {
    const KIND: Kind = Kind::Consent;
    const TYPE: &'static str = "next-prompt";
}
