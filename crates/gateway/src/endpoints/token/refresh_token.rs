//! The refresh token grant (OAuth 2.1 §4.3).

use portcullis_protocol::credentials::{RefreshToken, SessionId};
use portcullis_protocol::oauth::scope::GrantedScope;
use portcullis_protocol::oauth::token::RefreshTokenGrant;
use portcullis_storage_api::{Key, Ttl};

use crate::audit::{AuditField, AuditFields};
use crate::clients::authenticate::AuthenticatedClient;
use crate::config::{Config, ProviderId};
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::endpoints::token::error::TokenError;
use crate::endpoints::token::issue::issue;
use crate::error::DependencyError;
use crate::ports::{Ports, StoreAnomaly};
use crate::sessions::end::end_session;
use crate::sessions::keys::session_key;
use crate::sessions::lifetimes::session_life;
use crate::sessions::missing_upstream::MissingUpstream;
use crate::sessions::state::{RotateError, Session};
use crate::sessions::stored::{ATTEMPTS, StoredSession, StoredUpstream, extend_upstream, load_session};
use crate::sessions::users;
use crate::store::encoding::from_bytes;
use crate::store::records::{Records, VersionedRecord};
use crate::upstream::connections::stored;
use crate::upstream::tokens::Upstream;

/// Replaces a refresh token and issues the new tokens. A replay ends the session; a request that
/// asks for too much changes nothing.
pub(super) async fn grant<P: Ports>(
    context: &RequestContext<'_, P>,
    client: &AuthenticatedClient,
    grant: &RefreshTokenGrant,
    known: &mut AuditFields,
) -> Result<Resolved, TokenError> {
    let token = &RefreshToken::parse(grant.refresh_token.expose(), &context.config().key_ring)
        .map_err(|_| TokenError::RefreshTokenForged)?;
    let records = context.records();
    let key = session_key(token.session);
    let successor = token.successor(&context.config().key_ring);
    let life = Ttl::Seconds(session_life(context.config()));
    known.add(AuditField::Session, &token.session.to_string());
    for attempts in 0..ATTEMPTS {
        let found = load_session(context.gateway, &records, token.session).await?;
        let StoredSession { session, upstream } = found.map_err(TokenError::RefreshWithoutSession)?;
        let VersionedRecord { record, version } = session;
        if attempts == 0 {
            record.add_owner(known);
        }
        let (scope, now) = (narrowed(&record, client, grant)?, context.now());
        let next = match record.rotate(token, &successor, now) {
            Ok(next) => next,
            Err(error) => return Err(refused_refresh(context, token.session, error).await?),
        };
        if context.config().users.is_some() && !is_allowed(context, &record, &upstream) {
            end_session(context.gateway, token.session, context.ports).await?;
            return Err(TokenError::UserNotAllowed);
        }
        let kept = extend_upstream(context.gateway, &records, upstream).await?;
        if needs_login(context.config(), &record, &kept, now) {
            end_session(context.gateway, token.session, context.ports).await?;
            return Err(TokenError::UpstreamEnded);
        }
        stored::extend(context.gateway, &record, context.ports).await?;
        // INVARIANT: all that can fail comes before the write. The client gets what
        // was stored.
        let tokens = issue(context, token.session, &next, &scope, known)?;
        match records.swap(&key, version, &next, life).await {
            Ok(true) => return Ok(tokens),
            // Another request with the same token was first; the next round gives its successor.
            Ok(false) => {}
            Err(error) => {
                note_unconfirmed(&records, &key, &next, life).await;
                return Err(error.into());
            }
        }
    }
    Err(DependencyError::Contention.into())
}

/// Whether the user of a session may stay logged in, by what the provider of the login's first leg
/// said last. A user of whom nothing is stored may not.
fn is_allowed<P: Ports>(context: &RequestContext<'_, P>, session: &Session, upstream: &[StoredUpstream]) -> bool {
    let is_allowed = || {
        let stored = upstream.iter().find(|stored| Some(&stored.provider) == session.providers.first())?;
        let (config, sealed) = (context.config(), stored.found.as_ref()?.value.clone());
        let read = |record: &[u8]| from_bytes(record);
        let user = context.records().read::<Upstream, Upstream>(&stored.key, sealed, read)?;
        Some(users::check_again(config, config.providers.get(stored.provider)?, &user).is_ok())
    };
    is_allowed() == Some(true)
}

/// Returns the scope of the new tokens, at most what was granted at login.
fn narrowed(
    session: &Session,
    client: &AuthenticatedClient,
    grant: &RefreshTokenGrant,
) -> Result<GrantedScope, TokenError> {
    if session.client_id != client.id() {
        return Err(TokenError::OtherClient);
    }
    if grant.resource.as_ref().is_some_and(|resource| resource.as_str() != session.resource) {
        return Err(TokenError::OtherResource);
    }
    session.scope.narrow(grant.scope.as_ref()).map_err(|_| TokenError::WiderScope)
}

/// Notes that the client did not get the successor of its refresh token, where the store took the
/// replacement and could not confirm it: the client will come again, maybe long after the grace.
/// This is best effort, as the store is in trouble; without the note the grace still holds.
async fn note_unconfirmed<P: Ports>(records: &Records<'_, P>, key: &Key, attempted: &Session, life: Ttl) {
    if let (Ok(Some(VersionedRecord { record, version })), Some(attempted)) =
        (records.load::<Session>(key).await, attempted.generation())
        && let Some(noted) = record.unconfirmed(attempted)
    {
        let _best_effort = records.swap(key, version, &noted, life).await;
    }
}

/// Returns why a refresh token gets no successor, once the session has ended that has to.
async fn refused_refresh<P: Ports>(
    context: &RequestContext<'_, P>,
    session: SessionId,
    error: RotateError,
) -> Result<TokenError, DependencyError> {
    match error {
        RotateError::NotRefreshable => Ok(TokenError::NotRefreshable),
        RotateError::RolledBack => {
            // As if it were not there, for every older token too.
            context.ports.count(StoreAnomaly::RolledBack);
            end_session(context.gateway, session, context.ports).await?;
            Ok(TokenError::SessionRolledBack)
        }
        RotateError::Replayed => {
            end_session(context.gateway, session, context.ports).await?;
            Ok(TokenError::RefreshTokenReplayed)
        }
    }
}

/// Returns `true` if calls with a session's tokens need upstream tokens that only a login brings:
/// those that the session's resource injects are not among the `kept` ones, or have run out at
/// `now`.
fn needs_login(config: &Config, session: &Session, kept: &[ProviderId], now: u64) -> bool {
    let mut resources = config.resources.iter();
    let resource = resources.find(|resource| resource.uri.as_str() == session.resource);
    let Some(injected) = resource.and_then(|resource| resource.injection.provider()) else { return false };
    if kept.contains(&injected) {
        return session.upstream_is_over(now);
    }
    MissingUpstream::of(config, session, injected) == MissingUpstream::LogIn
}
