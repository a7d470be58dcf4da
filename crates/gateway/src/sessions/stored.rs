//! A session and its upstream tokens in the store, which are read and kept together.

use portcullis_storage_api::{Key, Ttl, Versioned};

use crate::error::DependencyError;
use crate::ports::{Ports, Store};
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

/// Reads a session, and its upstream tokens as they are stored; both at once.
pub(crate) async fn load_session<P: Ports>(
    records: &Records<'_, P>,
    keys: &[Key; 2],
) -> Result<(Result<VersionedRecord<Session>, NoSession>, Option<Versioned>), DependencyError> {
    let [session, upstream] = records.ports().store().get_both(keys).await?;
    let session = session.ok_or(NoSession::Ended);
    Ok((session.and_then(|session| records.loaded(&keys[0], session).ok_or(NoSession::Unreadable)), upstream))
}

/// Keeps upstream tokens, as they were just read, as long as their session; returns `false` if
/// there are none, or none that a gateway secret opens. A refresh at the provider that changes them
/// at the same time stores newer ones with a new life.
pub(crate) async fn extend_upstream<P: Ports>(
    gateway: &Gateway,
    records: &Records<'_, P>,
    keys: &[Key; 2],
    upstream: Option<Versioned>,
) -> Result<bool, DependencyError> {
    let Some(upstream) = upstream else { return Ok(false) };
    records.extend::<Upstream>(&keys[1], upstream, Ttl::Seconds(upstream_life(gateway.config()))).await
}
