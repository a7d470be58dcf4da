//! Whether what a token counts by is still there: its session, or its issuer's keys.

use std::rc::Rc;

use portcullis_protocol::credentials::{SessionId, UserId};
use portcullis_storage_api::{Key, Versioned};

use crate::config::Resource;
use crate::error::DependencyError;
use crate::ports::{Ports, Store, TokenOwner, UpstreamTokenRef};
use crate::resource_server::refusal::Refusal;
use crate::sessions::binding::SessionBinding;
use crate::sessions::keys::{session_key, tokens_key};
use crate::sessions::state::Session;
use crate::state::gateway::Gateway;
use crate::state::token_cache::{Basis, CachedToken, TokenGrant};
use crate::store::records::Records;
use crate::upstream::tokens::Upstream;

/// Looks up the session behind a token that this VM goes on serving meanwhile. One that has ended
/// is forgotten; where the store does not answer, nothing changes.
///
/// A token of a trusted issuer goes on being served while its issuer's keys are the ones that have
/// verified it. Otherwise the next call but a moment later verifies it again.
pub async fn recheck<P: Ports>(gateway: Rc<Gateway>, entry: Rc<CachedToken>, ports: P) {
    let session = match &entry.facts.basis {
        Basis::Session(session) => *session,
        Basis::Keys(place, keys) => {
            let now = ports.now();
            let issuer = gateway.config().trusted_issuers.get(*place);
            if issuer.is_some_and(|issuer| gateway.issuer_keys().is_current(*place, issuer, keys, now)) {
                entry.mark_session_seen(now);
            }
            return;
        }
    };
    let Some(resource) = gateway.config().resources.get(entry.facts.resource) else { return };
    let connection = entry.upstream().as_ref().map(|upstream| *upstream.token);
    let connection = connection.filter(|token| matches!(token.owner, TokenOwner::User(_)));
    if let Some(token) = connection {
        recheck_connection(&gateway, token, &ports).await;
    }
    match look_up_session(&gateway, resource, session, &entry.facts, &ports).await {
        Ok(()) => entry.mark_session_seen(ports.now()),
        Err(Refusal::Dependency(_)) => entry.mark_store_unavailable(ports.now()),
        Err(_ended) => gateway.forget_sessions(&[session]),
    }
}

/// Looks up the connection that a token's resource injects. It may have ended, or be to another
/// account, at another Envoy; where the store does not answer, nothing changes.
async fn recheck_connection<P: Ports>(gateway: &Gateway, token: UpstreamTokenRef, ports: &P) {
    let records = Records::new(&gateway.config().sealer, ports);
    match records.load::<Upstream>(&tokens_key(token)).await {
        Ok(Some(found)) => gateway.renew_upstream(token, &found.record.access()),
        Ok(None) => gateway.forget_upstream(token.owner),
        Err(_) => {}
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

/// Looks up the session behind a token: this is how a revoked login ends before its tokens expire.
///
/// # Errors
/// As [`check_session`], and [`Refusal::Dependency`] if the store does not answer.
async fn look_up_session<P: Ports>(
    gateway: &Gateway,
    resource: &Resource,
    session: SessionId,
    facts: &TokenGrant,
    ports: &P,
) -> Result<(), Refusal> {
    let key = session_key(session);
    let found = ports.store().get(&key).await.map_err(DependencyError::from)?;
    check_session(&Records::new(&gateway.config().sealer, ports), &key, found, resource, facts)
}

/// Checks that a session, as it is stored, stands behind a token.
///
/// # Errors
/// A [`Refusal`] about the session.
pub(super) fn check_session<P: Ports>(
    records: &Records<'_, P>,
    key: &Key,
    stored: Option<Versioned>,
    resource: &Resource,
    facts: &TokenGrant,
) -> Result<(), Refusal> {
    let stored = stored.ok_or(Refusal::SessionEnded)?;
    let check = |record: &[u8]| Some(check_binding(&SessionBinding::read(record)?, resource, facts));
    records.read::<Session, _>(key, stored.value, check).unwrap_or(Err(Refusal::SessionUnreadable))
}

fn check_binding(session: &SessionBinding<'_>, resource: &Resource, facts: &TokenGrant) -> Result<(), Refusal> {
    let is_of_token = session.client_id == facts.client.as_bytes()
        && UserId::parse(&facts.subject) == Some(session.user_id)
        && session.resource == resource.uri.as_str().as_bytes();
    match (is_of_token, session.is_active) {
        (true, true) => Ok(()),
        (true, false) => Err(Refusal::SessionRolledBack),
        (false, _) => Err(Refusal::SessionOfAnother),
    }
}
