//! A session and its upstream tokens in the store, which are read and kept together.

use portcullis_protocol::credentials::SessionId;
use portcullis_storage_api::{Key, Ttl, Versioned};

use crate::config::ProviderId;
use crate::error::DependencyError;
use crate::ports::{Ports, Store};
use crate::sessions::keys::{session_keys, upstream_key};
use crate::sessions::lifetimes::upstream_life;
use crate::sessions::state::Session;
use crate::state::gateway::Gateway;
use crate::store::records::{Records, VersionedRecord};
use crate::upstream::tokens::Upstream;

/// How often a change is tried again that lost a race against another request with the same token.
pub(crate) const ATTEMPTS: u32 = 8;

/// Why there is no session to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSession {
    /// The store has no record of it: it ended or expired.
    Ended,
    /// Its record does not open: it was sealed under a secret that is gone, or was changed or
    /// moved.
    Unreadable,
}

/// A session as it is stored, with its upstream tokens.
pub(crate) struct StoredSession {
    pub(crate) session: VersionedRecord<Session>,
    /// Those at the providers that the configuration still has.
    pub(crate) upstream: Vec<StoredUpstream>,
}

/// Upstream tokens as they are stored.
pub(crate) struct StoredUpstream {
    pub(crate) provider: ProviderId,
    pub(crate) key: Key,
    pub(crate) found: Option<Versioned>,
}

/// Reads a session and its upstream tokens. Where there is one provider only, that is one call.
pub(crate) async fn load_session<P: Ports>(
    gateway: &Gateway,
    records: &Records<'_, P>,
    id: SessionId,
) -> Result<Result<StoredSession, NoSession>, DependencyError> {
    let providers = &gateway.config().providers;
    let likely = providers.legs().first().and_then(|leg| providers.of(leg).next()).ok_or(DependencyError::Internal)?.id;
    let keys = session_keys(id, likely);
    let store = records.ports().store();
    let [session, mut first] = store.get_both(&keys).await?;
    let Some(session) = session else { return Ok(Err(NoSession::Ended)) };
    let Some(session) = records.loaded::<Session>(&keys[0], session) else { return Ok(Err(NoSession::Unreadable)) };
    let mut upstream = Vec::with_capacity(session.record.providers.len());
    for provider in session.record.providers.iter().copied().filter(|id| providers.get(*id).is_some()) {
        let key = upstream_key(&keys[0], provider);
        let found = if provider == likely { first.take() } else { store.get(&key).await? };
        upstream.push(StoredUpstream { provider, key, found });
    }
    Ok(Ok(StoredSession { session, upstream }))
}

/// Keeps upstream tokens, as they were just read, as long as their session, and returns the
/// providers whose tokens are there and open with a gateway secret. A refresh at the provider that
/// changes some at the same time stores newer ones with a new life.
pub(crate) async fn extend_upstream<P: Ports>(
    gateway: &Gateway,
    records: &Records<'_, P>,
    upstream: Vec<StoredUpstream>,
) -> Result<Vec<ProviderId>, DependencyError> {
    let life = Ttl::Seconds(upstream_life(gateway.config()));
    let mut kept = Vec::with_capacity(upstream.len());
    for StoredUpstream { provider, key, found } in upstream {
        if let Some(found) = found
            && records.extend::<Upstream>(&key, found, life).await?
        {
            kept.push(provider);
        }
    }
    Ok(kept)
}
