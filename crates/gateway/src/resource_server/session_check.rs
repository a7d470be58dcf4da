//! Whether the session behind a token is still there.

use std::rc::Rc;

use portcullis_protocol::credentials::{SessionId, UserId};

use crate::config::Resource;
use crate::error::DependencyError;
use crate::ports::{Ports, Store};
use crate::sessions::binding::SessionBinding;
use crate::sessions::keys::session_key;
use crate::sessions::state::Session;
use crate::state::gateway::Gateway;
use crate::state::token_cache::{CachedToken, TokenGrant};
use crate::store::records::Records;

/// Looks up the session behind a token that this VM goes on serving meanwhile. One that has ended
/// is forgotten; where the store does not answer, nothing changes.
pub async fn recheck<P: Ports>(gateway: Rc<Gateway>, entry: Rc<CachedToken>, ports: P) {
    let Some(resource) = gateway.config().resources.get(entry.facts.resource) else { return };
    match session_lives(&gateway, resource, &entry.facts, &ports).await {
        Ok(true) => entry.mark_session_seen(ports.now()),
        Ok(false) => gateway.forget_sessions(&[entry.facts.session]),
        Err(_) => entry.mark_store_unavailable(ports.now()),
    }
}

/// Returns until when the last refresh of a session lets the session's streams be open, in Unix
/// seconds: as long as the access token lives that it gave. It is 0 where the session was never
/// refreshed, and `None` where it has ended.
///
/// A stream may thus be open until this, or until its own token expires, whichever is later.
///
/// # Errors
/// [`DependencyError::Store`].
pub async fn refreshed_until<P: Ports>(
    gateway: Rc<Gateway>,
    session: SessionId,
    ports: P,
) -> Result<Option<u64>, DependencyError> {
    let records = Records::new(&gateway.config().sealer, &ports);
    let found = records.load::<Session>(&session_key(session)).await?;
    let until = found.as_ref().and_then(|found| found.record.generation()).map(|generation| {
        let refreshed_at = generation.previous.as_ref().map(|previous| previous.replaced_at);
        refreshed_at.map_or(0, |at| at.saturating_add(gateway.config().lifespans.access_token))
    });
    Ok(until)
}

/// Whether the session behind a token is still there: this is how a revoked login ends before its
/// tokens expire.
async fn session_lives<P: Ports>(
    gateway: &Gateway,
    resource: &Resource,
    facts: &TokenGrant,
    ports: &P,
) -> Result<bool, DependencyError> {
    let key = session_key(facts.session);
    let found = ports.store().get(&key).await?;
    let records = Records::new(&gateway.config().sealer, ports);
    let lives =
        found.and_then(|found| records.read::<Session, _>(&key, found.value, |record| lives(record, resource, facts)));
    Ok(lives == Some(true))
}

/// Whether a session's record, read in place, stands behind a token; `None` when it is not such a
/// record.
pub(super) fn lives(record: &[u8], resource: &Resource, facts: &TokenGrant) -> Option<bool> {
    let session = SessionBinding::read(record)?;
    Some(
        session.is_active
            && session.client_id == facts.client.as_bytes()
            && UserId::parse(&facts.subject) == Some(session.user_id)
            && session.resource == resource.uri.as_str().as_bytes(),
    )
}
