//! The end of a session, wherever it is decided: a replay, a refusal of the provider, a grant that
//! cannot serve any more, a client that revokes a token.
//!
//! A session that cannot be served must not be refreshed either. A client that gets a 401 for a
//! call, and has to log in again, first tries its refresh token; as long as that works it never
//! does what it was told. So each answer of that kind is preceded by the end of the session, and
//! its refresh token is `invalid_grant` from then on.

use portcullis_protocol::credentials::SessionId;

use crate::error::DependencyError;
use crate::ports::Ports;
use crate::sessions::ended;
use crate::sessions::keys::{session_key, upstream_key};
use crate::sessions::state::Session;
use crate::state::gateway::Gateway;
use crate::store::records::Records;

/// Ends a session: its tokens stop working here at once, in the other workers of this Envoy as soon
/// as the message arrives, and in other Envoys when they read the list of ended sessions.
///
/// The upstream tokens go first: as long as the session is there, ending it can be tried again.
///
/// # Errors
/// [`DependencyError::Store`]: then it may not have ended, and the caller must not say that it has.
pub async fn end_session<P: Ports>(gateway: &Gateway, session: SessionId, ports: &P) -> Result<(), DependencyError> {
    let records = Records::new(&gateway.config().sealer, ports);
    let key = session_key(session);
    // The session may have tokens of providers that the configuration no longer has.
    let found = records.load::<Session>(&key).await?;
    let mut providers = found.map(|found| found.record.providers).unwrap_or_default();
    let config = gateway.config();
    let exchanged = config.exchanges().map(|exchange| exchange.id);
    for provider in config.providers.iter().map(|provider| provider.id).chain(exchanged) {
        if !providers.contains(&provider) {
            providers.push(provider);
        }
    }
    for provider in providers {
        records.delete(&upstream_key(&key, provider)).await?;
    }
    records.delete(&key).await?;
    gateway.forget_sessions(&[session]);
    ports.session_ended(session);
    ended::announce(gateway, session, ports).await;
    Ok(())
}
