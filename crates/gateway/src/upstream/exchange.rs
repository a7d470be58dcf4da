//! Tokens for a backend of another authorization server, in exchange for the user's token of a
//! provider (RFC 8693).
//!
//! The new token is kept as upstream tokens are: sealed, under the session and so under the user,
//! by what was asked for. Every worker and every gateway uses it until shortly before its end, and
//! it ends with its session. One exchange runs at a time, in the root task.
//!
//! The user's token is renewed first where it is due. That alone says whether the login is over: a
//! server that refuses to exchange a token may do so for its own rules (RFC 8693 §2.2.2 has
//! `invalid_request` for both), and a login, after which it would refuse again, does not help with
//! that. So a refusal is a 403. The user's token is renewed once, in case the server knows that it
//! was revoked, and if that works and the server refuses the new one, too, the refusal stands for
//! [`REFUSAL_SECONDS`](crate::state::gateway::REFUSAL_SECONDS).

use std::rc::Rc;

use portcullis_storage_api::{Owner, Ttl};

use crate::config::{AssertionAudience, SubjectTokenType, TokenExchange, TokenMembers};
use crate::decision::{RefreshOutcome, UpstreamAccess};
use crate::error::DependencyError;
use crate::ports::{Ports, Store, TokenOwner, UpstreamTokenRef};
use crate::sessions::end::end_session;
use crate::sessions::keys::{session_key, tokens_key};
use crate::sessions::lifetimes::upstream_life;
use crate::sessions::state::Session;
use crate::state::gateway::Gateway;
use crate::store::records::{Records, VersionedRecord};
use crate::upstream::client_authentication::Method;
use crate::upstream::endpoint::Target;
use crate::upstream::life;
use crate::upstream::provider_error::ProviderError;
use crate::upstream::refresh::{Cause, expire, is_rejected, lock_key, lock_seconds, refresh_with};
use crate::upstream::token_endpoint::TokenEndpoint;
use crate::upstream::tokens::Upstream;

/// Exchanges the user's token when the one of an earlier exchange is due or no longer accepted, at
/// most once among all workers, and stores the new one before it is used.
pub(super) async fn exchange<P: Ports>(
    gateway: &Rc<Gateway>,
    settings: &TokenExchange,
    token: UpstreamTokenRef,
    cause: Cause,
    ports: &P,
) -> RefreshOutcome {
    let now = ports.now();
    if gateway.exchange_is_refused(token, now) {
        return RefreshOutcome::Refused;
    }
    if gateway.refresh_is_held_back(token, now) {
        return RefreshOutcome::Unavailable;
    }
    let exchange = Exchange { gateway, settings, token, ports };
    let outcome = exchange.outcome(cause).await.unwrap_or(RefreshOutcome::Unavailable);
    match &outcome {
        RefreshOutcome::Ready(access) => gateway.renew_upstream(token, access),
        RefreshOutcome::Refused => gateway.note_exchange_refused(token, ports.now()),
        RefreshOutcome::Unavailable => gateway.hold_back_refresh(token, ports.now()),
        RefreshOutcome::LoginRequired | RefreshOutcome::InProgressElsewhere => {}
    }
    outcome
}

/// One exchange of one session.
struct Exchange<'a, P> {
    gateway: &'a Rc<Gateway>,
    settings: &'a TokenExchange,
    token: UpstreamTokenRef,
    ports: &'a P,
}

/// The user's token as it is sent, or why there is none.
enum Subject {
    Ready(Box<Upstream>),
    Not(RefreshOutcome),
}

impl<P: Ports> Exchange<'_, P> {
    async fn outcome(&self, cause: Cause) -> Result<RefreshOutcome, DependencyError> {
        if let (Some(access), Cause::Due) = (self.usable().await?, cause) {
            return Ok(RefreshOutcome::Ready(access));
        }
        // It has a lock of its own, and its time is not of this one's.
        let subject = match self.subject(Cause::Due).await? {
            Subject::Ready(subject) => subject,
            Subject::Not(outcome) => return Ok(outcome),
        };
        let (lock, owner) = (lock_key("exchange", self.token), Owner(self.ports.random()?));
        if !self.ports.store().lock(&lock, owner, lock_seconds(&self.gateway.config().storage)).await? {
            return Ok(RefreshOutcome::InProgressElsewhere);
        }
        let outcome = self.locked(cause, &subject).await;
        // A lock that cannot be given back runs out by itself.
        let _given_back = self.ports.store().unlock(&lock, owner).await;
        outcome
    }

    /// The token of an earlier exchange, if it is not due.
    async fn usable(&self) -> Result<Option<UpstreamAccess>, DependencyError> {
        let access =
            self.records().load::<Upstream>(&tokens_key(self.token)).await?.map(|found| exchanged(&found.record));
        let now = self.ports.now();
        Ok(access.filter(|access| now < access.refresh_at && now < access.stale_at))
    }

    /// The user's tokens at the provider, renewed where they are due or `cause` is that they may be
    /// over.
    async fn subject(&self, cause: Cause) -> Result<Subject, DependencyError> {
        let subject = UpstreamTokenRef { owner: self.token.owner, provider: self.settings.subject };
        let key = tokens_key(subject);
        if let Some(found) = self.records().load::<Upstream>(&key).await? {
            let (access, now) = (found.record.access(), self.ports.now());
            if cause == Cause::Due && now < access.refresh_at && now < access.stale_at {
                return Ok(Subject::Ready(Box::new(found.record)));
            }
        }
        match refresh_with(self.gateway, subject, cause, self.ports).await {
            RefreshOutcome::Ready(_) => {}
            outcome => return Ok(Subject::Not(outcome)),
        }
        Ok(match self.records().load::<Upstream>(&key).await? {
            Some(found) => Subject::Ready(Box::new(found.record)),
            None => Subject::Not(RefreshOutcome::LoginRequired),
        })
    }

    /// The exchange proper. The record is read again under the lock: its previous holder may have
    /// exchanged.
    async fn locked(&self, cause: Cause, subject: &Upstream) -> Result<RefreshOutcome, DependencyError> {
        let (records, key) = (self.records(), tokens_key(self.token));
        let mut loaded = records.load::<Upstream>(&key).await?;
        if let Some(found) = loaded.take() {
            let is_over = is_rejected(&found.record, self.token, cause, self.ports).await?;
            let (access, now) = (exchanged(&found.record), self.ports.now());
            if !is_over && now < access.refresh_at && now < access.stale_at {
                return Ok(RefreshOutcome::Ready(access));
            }
            loaded = if is_over { self.expired(found).await? } else { Some(found) };
            if loaded.is_none() {
                return Ok(RefreshOutcome::InProgressElsewhere);
            }
        }
        let still = loaded.as_ref().map(|found| exchanged(&found.record));
        match self.ask(subject).await {
            Ok(record) => self.store(loaded, record).await,
            Err(ProviderError::GrantEnded { .. } | ProviderError::Refused) => self.once_more(loaded, subject).await,
            // What still serves goes on serving.
            Err(_) => Ok(match still.filter(|access| self.ports.now() < access.stale_at) {
                Some(access) => {
                    self.gateway.hold_back_refresh(self.token, self.ports.now());
                    RefreshOutcome::Ready(access)
                }
                None => RefreshOutcome::Unavailable,
            }),
        }
    }

    /// Renews the user's token, which the server has refused, and exchanges the new one.
    async fn once_more(
        &self,
        loaded: Option<VersionedRecord<Upstream>>,
        refused: &Upstream,
    ) -> Result<RefreshOutcome, DependencyError> {
        if refused.refresh_token.is_none() {
            return Ok(RefreshOutcome::Refused);
        }
        let subject = match self.subject(Cause::Doubted).await? {
            Subject::Ready(subject) => subject,
            Subject::Not(RefreshOutcome::LoginRequired) => return Ok(RefreshOutcome::LoginRequired),
            // It says nothing, so the server's word stands.
            Subject::Not(_) => return Ok(RefreshOutcome::Refused),
        };
        if subject.obtained_at == refused.obtained_at {
            return Ok(RefreshOutcome::Refused);
        }
        match self.ask(&subject).await {
            Ok(record) => self.store(loaded, record).await,
            Err(ProviderError::GrantEnded { .. } | ProviderError::Refused) => Ok(RefreshOutcome::Refused),
            Err(_) => Ok(RefreshOutcome::Unavailable),
        }
    }

    /// Asks for a token for the backend (RFC 8693 §2.1); returns the record of it.
    async fn ask(&self, subject: &Upstream) -> Result<Upstream, ProviderError> {
        let TokenExchange { client, endpoint, subject_type, .. } = self.settings;
        let subject_token = match subject_type {
            SubjectTokenType::AccessToken | SubjectTokenType::Jwt => &subject.access_token,
            SubjectTokenType::IdToken => subject.id_token.as_ref().ok_or(ProviderError::Refused)?,
        };
        let mut form = vec![
            ("subject_token", subject_token.expose().as_str()),
            ("subject_token_type", subject_type.urn()),
            ("requested_token_type", SubjectTokenType::AccessToken.urn()),
        ];
        let optional = [
            ("audience", self.settings.audience.as_deref()),
            ("resource", self.settings.resource.as_deref()),
            ("scope", Some(client.scope.as_str()).filter(|scope| !scope.is_empty())),
        ];
        form.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let target = Target::at(client, endpoint).ok_or(ProviderError::EndpointWithoutCluster("tokenUrl"))?;
        let authentication = Method::choose(client, &[])?;
        let endpoint = TokenEndpoint {
            provider: &self.settings.name,
            client,
            target: &target,
            authentication,
            members: &TokenMembers::Standard,
            issuer: None,
            usual_audience: AssertionAudience::TokenEndpoint,
        };
        let tokens = endpoint.exchange_subject(&form, self.ports).await?;
        let now = self.ports.now();
        let expires_at = life::expires_at(tokens.life, true, None, client.default_token_life, now);
        let latest = now.saturating_add(MAX_LIFE_SECONDS);
        Ok(Upstream {
            access_token: tokens.access_token,
            obtained_at: now,
            expires_at: Some(expires_at.map_or(latest, |at| at.min(latest))),
            // The next one is got with the user's token.
            refresh_token: None,
            id_token: None,
            refused_since: None,
            ..subject.clone()
        })
    }

    /// Stores a new token, and only then hands it out. A session that was ended meanwhile stays
    /// ended.
    async fn store(
        &self,
        loaded: Option<VersionedRecord<Upstream>>,
        record: Upstream,
    ) -> Result<RefreshOutcome, DependencyError> {
        let (records, key) = (self.records(), tokens_key(self.token));
        let left = record.expires_at.unwrap_or_default().saturating_sub(record.obtained_at);
        let life = Ttl::Seconds(left.saturating_add(KEPT_SECONDS).min(upstream_life(self.gateway.config())));
        let is_stored = match loaded {
            Some(loaded) => records.swap(&key, loaded.version, &record, life).await?,
            None => records.create(&key, &record, life).await?,
        };
        if !is_stored {
            // It has expired, or its session has ended: the next call finds out which.
            return Ok(self.usable().await?.map_or(RefreshOutcome::Unavailable, RefreshOutcome::Ready));
        }
        if let TokenOwner::Session(session) = self.token.owner
            && records.load::<Session>(&session_key(session)).await?.is_none()
        {
            end_session(self.gateway, session, self.ports).await?;
            return Ok(RefreshOutcome::LoginRequired);
        }
        Ok(RefreshOutcome::Ready(exchanged(&record)))
    }

    /// Stores that a token is of no use any more, so that no worker injects it while another is
    /// got.
    async fn expired(
        &self,
        found: VersionedRecord<Upstream>,
    ) -> Result<Option<VersionedRecord<Upstream>>, DependencyError> {
        let life = Ttl::Seconds(KEPT_SECONDS);
        let expired = expire(&self.records(), &tokens_key(self.token), found, life).await?;
        if let Some(expired) = &expired {
            self.gateway.renew_upstream(self.token, &exchanged(&expired.record));
            self.ports.upstream_replaced(self.token.owner);
        }
        Ok(expired)
    }

    fn records(&self) -> Records<'_, P> {
        Records::new(&self.gateway.config().sealer, self.ports)
    }
}

/// A token of an exchange as it is injected: another can be got for it.
fn exchanged(record: &Upstream) -> UpstreamAccess {
    record.access_in_exchange()
}

/// The longest life of a token of an exchange that counts, in seconds: a day.
const MAX_LIFE_SECONDS: u64 = 24 * 60 * 60;

/// How much longer than it serves a token of an exchange is kept, in seconds.
const KEPT_SECONDS: u64 = 60;
