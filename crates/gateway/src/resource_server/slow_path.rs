//! A call to a protected resource: from the bearer token to what is sent to the backend.
//!
//! The fast path and the slow path share one rule, `decide`, over the same facts; they differ in
//! where the facts come from. The client's token never reaches the backend, and a missing upstream
//! token is a refusal, never an empty header.

use std::borrow::Cow;
use std::rc::Rc;

use portcullis_protocol::credentials::{SessionId, UserId};
use portcullis_protocol::http::bearer::{self, Bearer, BearerError};
use portcullis_protocol::http::message::FieldName;
use portcullis_storage_api::{Key, Versioned};

use crate::audit::{Audit, AuditField, AuditFields, Reason};
use crate::browser::cookies;
use crate::config::{Leg, LoginMode, Resource};
use crate::context::RequestContext;
use crate::decision::{CheckSignature, Decision, OwnedAccess, RefreshOutcome, Resolved, ResponsePlan, UpstreamAccess};
use crate::error::DependencyError;
use crate::ports::{Ports, Store, TokenOwner, UpstreamTokenRef};
use crate::resource_server::connection_required::MissingConnection;
use crate::resource_server::decide::{decide, forward, plan_response};
use crate::resource_server::foreign::{Foreign, ForeignCall};
use crate::resource_server::refusal::Refusal;
use crate::resource_server::session_check::check_session;
use crate::resource_server::verify::verify;
use crate::sessions::end::end_session;
use crate::sessions::keys::{connection_key, session_key, tokens_key, upstream_key};
use crate::sessions::missing_upstream::MissingUpstream;
use crate::sessions::state::Session;
use crate::state::gateway::Gateway;
use crate::state::token_cache::{CachedToken, TokenGrant};
use crate::upstream::tokens::{Upstream, UpstreamFields};

/// Decides a call.
///
/// Nothing is consumed: a client that hangs up changes nothing, and a refresh that it asked for
/// goes on without it.
pub async fn protect<P: Ports>(context: &RequestContext<'_, P>, index: usize) -> Decision {
    let Some(resource) = context.config().resources.get(index) else {
        return Refusal::Dependency(DependencyError::Internal).respond(None, AuditFields::default()).into();
    };
    let authorization = context.request.headers.one(FieldName::Authorization);
    let response = plan_response(context.request.headers.has(FieldName::Origin));
    let call = Call { context, index, resource, authorization };
    let mut known = AuditFields::default().with(AuditField::Resource, &resource.name);
    match call.decide(&mut known).await {
        Ok(Granted::Now { facts, upstream, now }) => {
            let cookie = cookies::sent(context.request);
            let audit = Rc::new(known.decided(Reason::ValidToken));
            let forward = forward(resource, &facts, &audit, upstream.as_ref(), cookie.as_deref(), response);
            call.remember(facts, audit, upstream, now);
            Resolved::Continue(forward).into()
        }
        // Nothing new was proven, so nothing new is remembered.
        Ok(Granted::Before(known)) => {
            let cookie = cookies::sent(context.request);
            let (facts, upstream) = (&known.facts, known.upstream());
            Resolved::Continue(forward(resource, facts, &known.audit, upstream.as_ref(), cookie.as_deref(), response))
                .into()
        }
        Ok(Granted::AfterRefresh(facts, audit, token)) => {
            let cookie = cookies::sent(context.request).map(Cow::into_owned);
            let gateway = Rc::clone(context.gateway);
            let decide = Box::new(move |outcome: &RefreshOutcome| {
                let resource = gateway.config().resources.get(index);
                after_refresh(resource, &facts, &audit, token, cookie.as_deref(), response, outcome)
            });
            Decision::AwaitUpstream { token, decide }
        }
        Ok(Granted::AfterKeys(issuer)) => {
            let cookie = cookies::sent(context.request).map(Cow::into_owned);
            let authorization = authorization.unwrap_or_default().to_vec();
            let gateway = Rc::clone(context.gateway);
            let decide = Box::new(move |check: &CheckSignature, now: u64| {
                after_keys(&gateway, index, &authorization, cookie.as_deref(), response, check, now)
            });
            Decision::AwaitKeys { issuer, decide }
        }
        Ok(Granted::NotConnected(missing)) => missing.answer(context, resource, known).await.into(),
        Err(refusal) => refusal.respond(Some(resource), known).into(),
    }
}

/// A call with everything that its decision is made from.
struct Call<'a, P> {
    context: &'a RequestContext<'a, P>,
    index: usize,
    resource: &'a Resource,
    /// The `Authorization` value, where there is one only.
    authorization: Option<&'a [u8]>,
}

enum Granted {
    Now {
        facts: TokenGrant,
        upstream: Option<OwnedAccess>,
        /// When the store had answered.
        now: u64,
    },
    /// By what was proven before.
    Before(Rc<CachedToken>),
    AfterRefresh(TokenGrant, Rc<Audit>, UpstreamTokenRef),
    /// With keys that are still to be fetched, of the trusted issuer at this place.
    AfterKeys(usize),
    /// Once the user has connected the provider.
    NotConnected(MissingConnection),
}

/// What the store has of a call.
enum Stored {
    /// The session; nothing is injected.
    Session,
    /// The session, and the upstream token.
    Injected(OwnedAccess),
    /// The session; the user has not connected the provider.
    NotConnected(MissingConnection),
}

impl<P: Ports> Call<'_, P> {
    /// Decides the call. What is proven about who asks is added to `known`.
    async fn decide(&self, known: &mut AuditFields) -> Result<Granted, Refusal> {
        // A token in the query ends up in logs; it is refused even next to a
        // good header (RFC 9700 §4.3.2).
        if self.context.path.query().is_some_and(bearer::token_in_query) {
            return Err(Refusal::TokenInUrl);
        }
        let bearer = match Bearer::from_headers(self.context.request.headers.all(FieldName::Authorization)) {
            Ok(Some(bearer)) => bearer,
            Ok(None) | Err(BearerError::OtherScheme | BearerError::Empty) => return Err(Refusal::NoToken),
            Err(_) => return Err(Refusal::MalformedCredentials),
        };
        // The clock is a call to the host: it is read once, and once more after the store was
        // asked.
        let now = self.context.now();
        let cached = self.cached(now);
        if let Some(cached) = cached.as_ref().filter(|cached| cached.is_fresh(now)) {
            // Only its upstream token is due. Many requests find that at once: none of them asks
            // the store.
            return Ok(self.by_what_is_known(cached, now));
        }
        match self.foreign(bearer, now, known)? {
            Foreign::Granted(facts) => return Ok(Granted::Now { facts, upstream: None, now }),
            Foreign::AwaitKeys(issuer) => return Ok(Granted::AfterKeys(issuer)),
            Foreign::Own => {}
        }
        let (session, facts) = verify(self.context, self.index, self.resource, bearer, now, known)?;
        let stored = self.stored(session, &facts, known).await;
        let now = self.context.now();
        let upstream = match stored {
            Ok(Stored::Injected(upstream)) => upstream,
            Ok(Stored::Session) => return Ok(Granted::Now { facts, upstream: None, now }),
            Ok(Stored::NotConnected(missing)) => return Ok(Granted::NotConnected(missing)),
            // While the store is unavailable a token whose session this VM has found before goes on
            // working; one that it has not seen has to wait.
            Err(Refusal::Dependency(cause)) => {
                let cached = cached.ok_or(Refusal::Dependency(cause))?;
                cached.mark_store_unavailable(now);
                return Ok(self.by_what_is_known(&cached, now));
            }
            // The session must not be refreshed any more, or the client would never log in again.
            Err(Refusal::LoginRequired) => {
                end_session(self.context.gateway, session, self.context.ports).await?;
                return Err(Refusal::LoginRequired);
            }
            Err(refusal) => return Err(refusal),
        };
        let OwnedAccess { token, access } = &upstream;
        if now >= access.stale_at {
            let audit = Rc::new(std::mem::take(known).decided(Reason::ValidToken));
            return Ok(Granted::AfterRefresh(facts, audit, *token));
        }
        if now >= access.refresh_at {
            self.context.ports.refresh_upstream(*token);
        }
        Ok(Granted::Now { facts, upstream: Some(upstream), now })
    }

    /// What is proven about a token that another issuer may have made.
    fn foreign(&self, bearer: &str, now: u64, known: &mut AuditFields) -> Result<Foreign, Refusal> {
        let (gateway, index, resource) = (self.context.gateway, self.index, self.resource);
        let call = ForeignCall { gateway, index, resource, bearer, now, has_waited: false };
        if !call.is_possible() {
            return Ok(Foreign::Own);
        }
        call.verify(known, |key, alg, message, signature| self.context.ports.verify(key, alg, message, signature))
    }

    /// What the store has to say: that the session lives, and the upstream token where the resource
    /// injects one. Both are asked for at once, since the user's names are in the latter's record;
    /// they are added to `known`. A connection's record has the names of another account.
    async fn stored(&self, session: SessionId, facts: &TokenGrant, known: &mut AuditFields) -> Result<Stored, Refusal> {
        let (config, records) = (self.context.config(), self.context.records());
        let injected = self.resource.injection.as_ref().map(|injection| injection.provider);
        let first = || config.providers.legs().first().and_then(|leg| config.providers.of(leg).next());
        let provider = injected.or_else(|| first().map(|first| first.id)).ok_or(DependencyError::Internal)?;
        let user = || UserId::parse(&facts.subject).ok_or(DependencyError::Internal);
        let owner = match config.providers.get(provider).map(|provider| provider.login) {
            Some(LoginMode::OnDemand) => TokenOwner::User(user()?),
            Some(LoginMode::Required | LoginMode::Choice) | None => TokenOwner::Session(session),
        };
        let token = UpstreamTokenRef { owner, provider };
        let keys = [session_key(session), tokens_key(token)];
        let found = self.context.ports.store().get_both(&keys).await.map_err(DependencyError::from)?;
        let ([session_key, tokens_key], [found, upstream]) = (keys, found);
        check_session(&records, &session_key, found, self.resource, facts)?;
        if let TokenOwner::User(user) = owner {
            return Ok(self.connected(MissingConnection { session, user, provider }, &tokens_key, upstream));
        }
        let upstream = upstream.and_then(|upstream| self.opened(&tokens_key, upstream, known));
        match (injected, upstream) {
            (Some(_), Some(access)) => Ok(Stored::Injected(OwnedAccess { token, access })),
            (Some(_), None) => {
                let missing = MissingConnection { session, user: user()?, provider };
                self.without_tokens(&session_key, missing).await
            }
            (None, Some(_)) => Ok(Stored::Session),
            (None, None) => {
                self.add_chosen_names(&session_key, known).await?;
                Ok(Stored::Session)
            }
        }
    }

    /// What follows from a connection as it is stored.
    fn connected(&self, missing: MissingConnection, key: &Key, stored: Option<Versioned>) -> Stored {
        // None of its names is one by which the user is known here.
        let access = stored.and_then(|stored| self.opened(key, stored, &mut AuditFields::default()));
        let token = UpstreamTokenRef { owner: TokenOwner::User(missing.user), provider: missing.provider };
        match access {
            Some(access) => Stored::Injected(OwnedAccess { token, access }),
            None => Stored::NotConnected(missing),
        }
    }

    /// Opens the record of upstream tokens; the names in it are added to `known`.
    fn opened(&self, key: &Key, stored: Versioned, known: &mut AuditFields) -> Option<UpstreamAccess> {
        let config = self.context.config();
        self.context.records().read::<Upstream, _>(key, stored.value, |record| {
            let upstream = UpstreamFields::read(record)?;
            upstream.add_names(known, config.audits_email);
            Some(upstream.access())
        })
    }

    /// Adds the user's names where the provider of the login is one that the user chose, so that it
    /// is not known without the session.
    async fn add_chosen_names(&self, session: &Key, known: &mut AuditFields) -> Result<(), DependencyError> {
        if !self.context.config().providers.legs().first().is_some_and(Leg::is_choice) {
            return Ok(());
        }
        let found = self.context.records().load::<Session>(session).await?;
        let Some(login) = found.and_then(|found| found.record.providers.first().copied()) else { return Ok(()) };
        let key = upstream_key(session, login);
        if let Some(stored) = self.context.ports.store().get(&key).await? {
            self.opened(&key, stored, known);
        }
        Ok(())
    }

    /// What follows where a session has no tokens of the provider that the resource injects.
    async fn without_tokens(&self, session: &Key, missing: MissingConnection) -> Result<Stored, Refusal> {
        let found = self.context.records().load::<Session>(session).await?.ok_or(Refusal::SessionEnded)?;
        match MissingUpstream::of(self.context.config(), &found.record, missing.provider) {
            MissingUpstream::LogIn => Err(Refusal::LoginRequired),
            MissingUpstream::Connect => {
                let key = connection_key(missing.user, missing.provider);
                let stored = self.context.ports.store().get(&key).await.map_err(DependencyError::from)?;
                Ok(self.connected(missing, &key, stored))
            }
        }
    }

    /// What this VM has proven about exactly this token, for this resource.
    fn cached(&self, now: u64) -> Option<Rc<CachedToken>> {
        let known = self.context.gateway.cached(self.authorization?)?;
        decide(&known.facts, self.index, now).is_ok().then_some(known)
    }

    fn by_what_is_known(&self, known: &Rc<CachedToken>, now: u64) -> Granted {
        if let Some(OwnedAccess { token, access }) = known.upstream().as_ref() {
            if now >= access.stale_at {
                return Granted::AfterRefresh(known.facts.clone(), Rc::clone(&known.audit), *token);
            }
            if now >= access.refresh_at {
                self.context.ports.refresh_upstream(*token);
            }
        }
        if known.take_recheck_due(now) {
            self.context.gateway.ask_for_recheck(Rc::clone(known));
        }
        Granted::Before(Rc::clone(known))
    }

    fn remember(&self, facts: TokenGrant, audit: Rc<Audit>, upstream: Option<OwnedAccess>, now: u64) {
        if let Some(authorization) = self.authorization {
            self.context.gateway.remember(authorization, CachedToken::new(facts, audit, upstream, now));
        }
    }
}

/// The decision once the keys of an issuer were fetched, or could not be.
fn after_keys(
    gateway: &Rc<Gateway>,
    index: usize,
    authorization: &[u8],
    cookie: Option<&[u8]>,
    response: ResponsePlan,
    check: &CheckSignature,
    now: u64,
) -> Resolved {
    let resource = gateway.config().resources.get(index);
    // It was read as one before it waited.
    let bearer = Bearer::from_headers(std::iter::once(authorization)).ok().flatten();
    let Some((resource, bearer)) = resource.zip(bearer) else {
        return Refusal::Dependency(DependencyError::Internal).respond(resource, AuditFields::default());
    };
    let call = ForeignCall { gateway, index, resource, bearer, now, has_waited: true };
    let mut known = AuditFields::default().with(AuditField::Resource, &resource.name);
    match call.verify(&mut known, check) {
        Ok(Foreign::Granted(facts)) => {
            let audit = Rc::new(known.decided(Reason::ValidToken));
            let forward = forward(resource, &facts, &audit, None, cookie, response);
            gateway.remember(authorization, CachedToken::new(facts, audit, None, now));
            Resolved::Continue(forward)
        }
        Ok(Foreign::Own | Foreign::AwaitKeys(_)) => {
            Refusal::Dependency(DependencyError::Internal).respond(Some(resource), known)
        }
        Err(refusal) => refusal.respond(Some(resource), known),
    }
}

/// The decision once a refresh has ended. It remembers nothing: the session may have ended
/// meanwhile, and only the slow path can look it up again.
fn after_refresh(
    resource: Option<&Resource>,
    facts: &TokenGrant,
    audit: &Rc<Audit>,
    token: UpstreamTokenRef,
    cookie: Option<&[u8]>,
    response: ResponsePlan,
    outcome: &RefreshOutcome,
) -> Resolved {
    let refusal = match (outcome, resource) {
        (RefreshOutcome::Ready(access), Some(resource)) => {
            let upstream = OwnedAccess { token, access: access.clone() };
            return Resolved::Continue(forward(resource, facts, audit, Some(&upstream), cookie, response));
        }
        (RefreshOutcome::LoginRequired, _) => match token.owner {
            TokenOwner::Session(_) => Refusal::LoginRequired,
            TokenOwner::User(_) => Refusal::ConnectionEnded,
        },
        (RefreshOutcome::Ready(_) | RefreshOutcome::Unavailable | RefreshOutcome::InProgressElsewhere, _) => {
            Refusal::UpstreamUnavailable
        }
    };
    refusal.respond(resource, audit.fields())
}
