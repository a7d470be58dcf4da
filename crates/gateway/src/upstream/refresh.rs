//! The provider's tokens of a session or of a user's connection: what a backend is given, and how
//! it is renewed.
//!
//! A refresh runs in the root task, never in the request that needs it: a provider that rotates
//! refresh tokens has already forgotten the old one when its answer arrives, so a client that hangs
//! up must not be able to lose the answer.

use std::rc::Rc;

use portcullis_storage_api::{Key, Kind, Owner, StoreError, Ttl};

use crate::config::Storage;
use crate::decision::{RefreshOutcome, UpstreamAccess};
use crate::error::DependencyError;
use crate::ports::{Ports, SleepResult, Store, TokenOwner, UpstreamTokenRef};
use crate::sessions::end::end_session;
use crate::sessions::keys::{session_key, tokens_key};
use crate::sessions::lifetimes::tokens_life;
use crate::sessions::next_prompt;
use crate::sessions::state::Session;
use crate::state::gateway::{Gateway, RENEWAL_SECONDS};
use crate::store::bridge::longest_change_seconds;
use crate::store::records::{self, Records, VersionedRecord};
use crate::upstream::connections::{offer, stored};
use crate::upstream::endpoint::CALL_TIMEOUT_MS;
use crate::upstream::identity::TokenReply;
use crate::upstream::life;
use crate::upstream::profile::Profile;
use crate::upstream::provider_error::ProviderError;
use crate::upstream::providers;
use crate::upstream::tokens::{Upstream, kept_id_token};

/// How long one refresh may hold its lock, in seconds: longer than it may take, whatever the store
/// and the provider do. A refresh that outlived its lock would run at the same time as another, and
/// a provider that rotates refresh tokens would take one of them for a thief.
///
/// INVARIANT: it covers all of the way from the question for the lock to the end of the last try to
/// store what the provider gave. What is added to that way is added here.
pub(super) fn lock_seconds(storage: &Storage) -> u64 {
    let last_try = match storage {
        Storage::Memory { .. } => 0,
        Storage::Bridge(bridge) => longest_change_seconds(bridge),
    };
    BEGIN_SECONDS
        .saturating_add(PROVIDER_SECONDS)
        .saturating_add(STORE_SECONDS)
        .saturating_add(last_try)
        .saturating_add(SPARE_SECONDS)
}

/// How long after its lock was asked for a refresh may ask the provider, in seconds; later it is
/// left to the next.
const BEGIN_SECONDS: u64 = 8;

/// How long the provider may take for a refresh, in seconds: for its discovery document, its keys
/// and the tokens.
const PROVIDER_SECONDS: u64 = 3 * CALL_TIMEOUT_MS.div_ceil(1000);

/// How often rotated tokens are offered to a store at once, before time is let pass.
const STORE_ATTEMPTS: u32 = 3;

/// How long after the provider's answer another try to store rotated tokens may begin, in seconds:
/// longer than a failover takes.
const STORE_SECONDS: u64 = 20;

/// The time for the rest of a refresh, in seconds: times are compared in whole seconds, and a busy
/// worker wakes its tasks late.
const SPARE_SECONDS: u64 = 5;

/// How long the provider may refuse to renew tokens for a reason that is not the user's grant (our
/// client id or secret, an answer that makes no sense), in seconds. After that a session ends: a
/// new login is the only thing that can help.
const REFUSED_SECONDS: u64 = 3_600;

/// For how long tokens are not doubted that were just obtained, or renewed for a doubt, in seconds.
const DOUBT_SECONDS: u64 = 300;

/// Why upstream tokens are to be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// They are about to expire, or have.
    Due,
    /// Another authorization server does not take them in exchange. They may be revoked, or it may
    /// have a rule of its own: they are in use until they are renewed.
    Doubted,
    /// A backend answered 401 to a request that was sent at this time, in Unix seconds. Tokens that
    /// were obtained later are not the ones that it meant.
    Rejected {
        /// When the request was sent.
        sent_at: u64,
    },
}

/// Renews upstream tokens when they are due or no longer accepted, at most once among all workers,
/// and stores what the provider gave before anyone uses it.
pub async fn refresh<P: Ports>(
    gateway: Rc<Gateway>,
    token: UpstreamTokenRef,
    cause: Cause,
    ports: P,
) -> RefreshOutcome {
    refresh_with(&gateway, token, cause, &ports).await
}

/// As [`refresh`], as a part of another job.
pub(super) async fn refresh_with<P: Ports>(
    gateway: &Rc<Gateway>,
    token: UpstreamTokenRef,
    cause: Cause,
    ports: &P,
) -> RefreshOutcome {
    if gateway.refresh_is_held_back(token, ports.now()) {
        return RefreshOutcome::Unavailable;
    }
    let outcome = match refresh_once(gateway, token, cause, ports).await {
        Ok(RefreshOutcome::LoginRequired) => match end(gateway, token, ports).await {
            Ok(()) => RefreshOutcome::LoginRequired,
            Err(_) => RefreshOutcome::Unavailable,
        },
        Ok(outcome) => outcome,
        Err(_) => RefreshOutcome::Unavailable,
    };
    match &outcome {
        RefreshOutcome::Ready(upstream) => gateway.renew_upstream(token, upstream),
        RefreshOutcome::Unavailable => gateway.hold_back_refresh(token, ports.now()),
        RefreshOutcome::LoginRequired | RefreshOutcome::Refused | RefreshOutcome::InProgressElsewhere => {}
    }
    outcome
}

/// Ends what cannot serve any more: a session, since calls say that a login is needed, and then it
/// must not be refreshed any more; of a user's connections this one alone, and no session.
async fn end<P: Ports>(gateway: &Gateway, token: UpstreamTokenRef, ports: &P) -> Result<(), DependencyError> {
    match token.owner {
        TokenOwner::Session(session) => end_session(gateway, session, ports).await,
        TokenOwner::User(user) => stored::remove(gateway, user, token.provider, ports).await,
    }
}

/// A lock about these tokens.
pub(super) fn lock_key(about: &str, token: UpstreamTokenRef) -> Key {
    let provider = token.provider.as_bytes();
    match token.owner {
        TokenOwner::Session(session) => records::key(Kind::Lock, &[about.as_bytes(), session.as_bytes(), provider]),
        TokenOwner::User(user) => {
            records::key(Kind::Lock, &[b"connection", about.as_bytes(), user.as_bytes(), provider])
        }
    }
}

async fn refresh_once<P: Ports>(
    gateway: &Rc<Gateway>,
    token: UpstreamTokenRef,
    cause: Cause,
    ports: &P,
) -> Result<RefreshOutcome, DependencyError> {
    let lock = lock_key("upstream", token);
    let owner = Owner(ports.random()?);
    let began = ports.now();
    if !ports.store().lock(&lock, owner, lock_seconds(&gateway.config().storage)).await? {
        return Ok(RefreshOutcome::InProgressElsewhere);
    }
    let outcome = refresh_locked(gateway, token, cause, began, ports).await;
    // A lock that cannot be given back runs out by itself; the outcome of the refresh
    // does not change.
    let _given_back = ports.store().unlock(&lock, owner).await;
    outcome
}

/// The refresh proper. The record is read again under the lock: its previous holder may have
/// renewed it.
async fn refresh_locked<P: Ports>(
    gateway: &Rc<Gateway>,
    token: UpstreamTokenRef,
    cause: Cause,
    began: u64,
    ports: &P,
) -> Result<RefreshOutcome, DependencyError> {
    let config = gateway.config();
    let records = Records::new(&config.sealer, ports);
    let Some(provider) = config.providers.get(token.provider) else { return Ok(RefreshOutcome::LoginRequired) };
    let life = Ttl::Seconds(tokens_life(config, token.owner));
    let key = tokens_key(token);
    let Some(mut loaded) = records.load::<Upstream>(&key).await? else {
        return Ok(RefreshOutcome::LoginRequired);
    };
    if is_rejected(&loaded.record, token, cause, ports).await? {
        let Some(expired) = expire(&records, &key, loaded, life).await? else {
            return Ok(RefreshOutcome::InProgressElsewhere);
        };
        gateway.renew_upstream(token, &expired.record.access());
        ports.upstream_replaced(token.owner);
        loaded = expired;
    }
    let now = ports.now();
    let access = loaded.record.access();
    let is_good = now < access.refresh_at && now < access.stale_at;
    if is_good && !is_doubted(&loaded.record, token, cause, ports).await? {
        return Ok(RefreshOutcome::Ready(access));
    }
    let Some(refresh_token) = &loaded.record.refresh_token else {
        return Ok(if now < access.stale_at { RefreshOutcome::Ready(access) } else { RefreshOutcome::LoginRequired });
    };
    if now.saturating_sub(began) > BEGIN_SECONDS {
        return Ok(not_renewed(gateway, token, access, now));
    }
    match providers::refresh(gateway, provider, refresh_token, &loaded.record.subject, ports).await {
        Ok((reply, profile)) => {
            let mut renewed =
                renewed(&loaded.record, reply, profile, provider.client().default_token_life, ports.now());
            let id_token = renewed.id_token.take().filter(|_| config.keeps_id_token(provider.id));
            renewed.id_token = kept_id_token(id_token, &renewed.access_token, renewed.refresh_token.as_ref());
            store(&records, token, loaded, &renewed, life).await
        }
        Err(ProviderError::GrantEnded { prompt }) => {
            if let Some(prompt) = prompt {
                remember_prompt(gateway, token, prompt, ports).await?;
            }
            Ok(RefreshOutcome::LoginRequired)
        }
        Err(ProviderError::Refused) => Ok(RefreshOutcome::LoginRequired),
        Err(ProviderError::Unreachable(_)) => Ok(not_renewed(gateway, token, access, ports.now())),
        Err(
            ProviderError::ClientRefused
            | ProviderError::NoCommonAuthentication
            | ProviderError::NoAssertion
            | ProviderError::EndpointWithoutCluster(_)
            | ProviderError::WrongIssuer(_)
            | ProviderError::NotJson(_)
            | ProviderError::InvalidDocuments(_)
            | ProviderError::InvalidAnswer(_)
            | ProviderError::OtherLogin
            | ProviderError::OtherTenant
            | ProviderError::InvalidIdToken(_)
            | ProviderError::InvalidUserInfo(_),
        ) => {
            let now = ports.now();
            match loaded.record.refused_since {
                Some(since) if now >= access.stale_at && now.saturating_sub(since) >= REFUSED_SECONDS => {
                    return Ok(RefreshOutcome::LoginRequired);
                }
                Some(_) => {}
                None => note_refused(&records, &key, loaded, now, life).await?,
            }
            Ok(not_renewed(gateway, token, access, now))
        }
    }
}

/// Remembers what the user has to be asked for the next time.
async fn remember_prompt<P: Ports>(
    gateway: &Gateway,
    token: UpstreamTokenRef,
    prompt: &str,
    ports: &P,
) -> Result<(), DependencyError> {
    let session = match token.owner {
        TokenOwner::Session(session) => session_key(session),
        TokenOwner::User(user) => return offer::remember_prompt(gateway, user, token.provider, prompt, ports).await,
    };
    match Records::new(&gateway.config().sealer, ports).load::<Session>(&session).await? {
        Some(ended) => next_prompt::remember(gateway, ended.record.user_id, prompt, ports).await,
        None => Ok(()),
    }
}

/// Returns `true` if a backend rejected these tokens, and no backend's 401 led to a renewal in the
/// last [`RENEWAL_SECONDS`], whichever gateway it was at.
pub(super) async fn is_rejected<P: Ports>(
    record: &Upstream,
    token: UpstreamTokenRef,
    cause: Cause,
    ports: &P,
) -> Result<bool, DependencyError> {
    let Cause::Rejected { sent_at } = cause else { return Ok(false) };
    if record.obtained_at > sent_at {
        return Ok(false);
    }
    let once = lock_key("rejected", token);
    Ok(ports.store().lock(&once, Owner(ports.random()?), RENEWAL_SECONDS).await?)
}

/// Returns `true` if another authorization server does not take these tokens, they are not new, and
/// that has not led to a renewal in the last [`DOUBT_SECONDS`].
async fn is_doubted<P: Ports>(
    record: &Upstream,
    token: UpstreamTokenRef,
    cause: Cause,
    ports: &P,
) -> Result<bool, DependencyError> {
    if cause != Cause::Doubted || ports.now().saturating_sub(record.obtained_at) < DOUBT_SECONDS {
        return Ok(false);
    }
    let once = lock_key("doubted", token);
    Ok(ports.store().lock(&once, Owner(ports.random()?), DOUBT_SECONDS).await?)
}

/// Stores that an access token is of no use any more, so that no worker injects it while it is
/// renewed; `None` if another worker changed the tokens meanwhile.
pub(super) async fn expire<P: Ports>(
    records: &Records<'_, P>,
    key: &Key,
    loaded: VersionedRecord<Upstream>,
    life: Ttl,
) -> Result<Option<VersionedRecord<Upstream>>, DependencyError> {
    let record = Upstream { expires_at: Some(records.ports().now()), ..loaded.record };
    let is_swapped = records.swap(key, loaded.version, &record, life).await?;
    // The version that it has now is not known.
    if is_swapped { records.load::<Upstream>(key).await } else { Ok(None) }
}

/// The outcome where the provider renewed nothing, but may do so later.
fn not_renewed(gateway: &Gateway, token: UpstreamTokenRef, access: UpstreamAccess, now: u64) -> RefreshOutcome {
    if now >= access.stale_at {
        return RefreshOutcome::Unavailable;
    }
    // The old token still serves, but not every request until its end is to call a provider in
    // trouble.
    gateway.hold_back_refresh(token, now);
    RefreshOutcome::Ready(access)
}

/// Stores since when the provider refuses to renew the tokens.
async fn note_refused<P: Ports>(
    records: &Records<'_, P>,
    key: &Key,
    loaded: VersionedRecord<Upstream>,
    now: u64,
    life: Ttl,
) -> Result<(), DependencyError> {
    let refused = Upstream { refused_since: Some(now), ..loaded.record };
    // A conflict means that another worker changed the tokens meanwhile; the next refusal is noted
    // with those.
    let _noted = records.swap(key, loaded.version, &refused, life).await?;
    Ok(())
}

/// The record after a refresh. What the provider does not send again stays as it was (RFC 6749 §6).
fn renewed(record: &Upstream, reply: TokenReply, profile: Profile, default_life: u64, now: u64) -> Upstream {
    let last = record.expires_at.map(|end| end.saturating_sub(record.obtained_at));
    // Whose login it is, its first provider says.
    let profile = if record.login_subject.is_none() { profile } else { Profile::default() };
    let Profile { name, email, email_verified, groups } = profile.over(record);
    let refresh_token = reply.refresh_token.or_else(|| record.refresh_token.clone());
    let id_token = reply.id_token.or_else(|| record.id_token.clone());
    Upstream {
        access_token: reply.access_token,
        obtained_at: now,
        expires_at: life::expires_at(reply.life, refresh_token.is_some(), last, default_life, now),
        refresh_token,
        subject: record.subject.clone(),
        refused_since: None,
        session: record.session,
        name,
        email,
        client_name: record.client_name.clone(),
        login_subject: record.login_subject.clone(),
        id_token,
        connected: record.connected.clone(),
        groups: groups.unwrap_or_default(),
        email_verified,
    }
}

/// Writes renewed tokens, and only then hands them out. The provider has forgotten the old ones, so
/// a write that fails is tried again, for as long as a failover may take where the task can wait; a
/// session that was ended meanwhile stays ended.
async fn store<P: Ports>(
    records: &Records<'_, P>,
    token: UpstreamTokenRef,
    mut loaded: VersionedRecord<Upstream>,
    renewed: &Upstream,
    ttl: Ttl,
) -> Result<RefreshOutcome, DependencyError> {
    let key = tokens_key(token);
    let mut failure = DependencyError::Store(StoreError::Unavailable);
    let began = records.ports().now();
    let mut attempts: u32 = 0;
    while attempts == 0 || may_try_again(attempts, began, records.ports()).await {
        attempts = attempts.saturating_add(1);
        match records.swap(&key, loaded.version, renewed, ttl).await {
            Ok(true) => {
                records.ports().upstream_replaced(token.owner);
                return Ok(RefreshOutcome::Ready(renewed.access()));
            }
            Ok(false) => match records.load::<Upstream>(&key).await {
                // A later refresh than ours: what it got supersedes what we got.
                Ok(Some(current)) if current.record.obtained_at > renewed.obtained_at => {
                    return Ok(RefreshOutcome::Ready(current.record.access()));
                }
                Ok(Some(current)) => loaded = current,
                Ok(None) => return Ok(RefreshOutcome::LoginRequired),
                Err(error) => failure = error,
            },
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Waits until rotated tokens may be offered to the store again. Returns `false` if they may not: a
/// try that began later, or after the clock was set back, might outlive the lock.
async fn may_try_again<P: Ports>(attempts: u32, began: u64, ports: &P) -> bool {
    let is_in_time = || ports.now().checked_sub(began).is_some_and(|passed| passed < STORE_SECONDS);
    is_in_time() && (attempts < STORE_ATTEMPTS || (ports.sleep().await == SleepResult::Woken && is_in_time()))
}
