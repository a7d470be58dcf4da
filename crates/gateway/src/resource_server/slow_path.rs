//! A call to a protected resource: from the bearer token to what is sent to the backend.
//!
//! The fast path and the slow path share one rule, `decide`, over the same facts; they differ in
//! where the facts come from. The client's token never reaches the backend, and a missing upstream
//! token is a refusal, never an empty header.

use std::borrow::Cow;
use std::rc::Rc;

use portcullis_protocol::http::bearer::{self, Bearer, BearerError};
use portcullis_protocol::http::message::FieldName;

use crate::audit::{Audit, AuditField, AuditFields, Reason};
use crate::browser::cookies;
use crate::config::{Config, Resource};
use crate::context::RequestContext;
use crate::decision::identity::Identity;
use crate::decision::{Decision, Forward, OwnedAccess, RefreshOutcome, Resolved, ResponsePlan};
use crate::error::DependencyError;
use crate::ports::{Crypto, Ports, TokenOwner, UpstreamTokenRef};
use crate::resource_server::connection_required::MissingConnection;
use crate::resource_server::decide::{Allowed, decide, plan_response};
use crate::resource_server::foreign::{Foreign, ForeignCall};
use crate::resource_server::refusal::Refusal;
use crate::resource_server::stored::{Stored, StoredLogin};
use crate::resource_server::verify::verify;
use crate::sessions::end::end_session;
use crate::state::gateway::Gateway;
use crate::state::token_cache::{CachedToken, TokenGrant};

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
        Ok(Granted::Now { facts, upstream, identity, now }) => {
            let cookie = cookies::sent(context.request);
            let audit = Rc::new(known.decided(Reason::ValidToken));
            let granted = CachedToken::new(facts, audit, upstream, identity, now);
            let forward = by_known(resource, &granted, cookie.as_deref(), response);
            call.remember(granted);
            Resolved::Continue(forward).into()
        }
        // Nothing new was proven, so nothing new is remembered.
        Ok(Granted::Before(known)) => {
            let cookie = cookies::sent(context.request);
            Resolved::Continue(by_known(resource, &known, cookie.as_deref(), response)).into()
        }
        Ok(Granted::AfterRefresh { facts, audit, identity, token }) => {
            let cookie = cookies::sent(context.request).map(Cow::into_owned);
            let gateway = Rc::clone(context.gateway);
            let decide = Box::new(move |outcome: &RefreshOutcome| {
                let awaiting = Awaiting { facts: &facts, audit: &audit, token, identity: identity.as_ref() };
                awaiting.decide(gateway.config(), index, cookie.as_deref(), response, outcome)
            });
            Decision::AwaitUpstream { token, decide }
        }
        Ok(Granted::AfterKeys(issuer)) => {
            let cookie = cookies::sent(context.request).map(Cow::into_owned);
            let authorization = authorization.unwrap_or_default().to_vec();
            let gateway = Rc::clone(context.gateway);
            let decide = Box::new(move |crypto: &dyn Crypto, now: u64| {
                after_keys(&gateway, index, &authorization, cookie.as_deref(), response, crypto, now)
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
        identity: Option<Rc<Identity>>,
        /// When the store had answered.
        now: u64,
    },
    /// By what was proven before.
    Before(Rc<CachedToken>),
    AfterRefresh {
        facts: TokenGrant,
        audit: Rc<Audit>,
        identity: Option<Rc<Identity>>,
        token: UpstreamTokenRef,
    },
    /// With keys that are still to be fetched, of the trusted issuer at this place.
    AfterKeys(usize),
    /// Once the user has connected the provider.
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
            return self.by_what_is_known(cached, now);
        }
        match self.foreign(bearer, now, known)? {
            Foreign::Granted(facts, identity) => return Ok(Granted::Now { facts, upstream: None, identity, now }),
            Foreign::AwaitKeys(issuer) => return Ok(Granted::AfterKeys(issuer)),
            Foreign::Own => {}
        }
        let (session, facts) = verify(self.context, self.index, self.resource, bearer, now, known)?;
        let login = StoredLogin { context: self.context, resource: self.resource, session, facts: &facts };
        let stored = login.read(known).await;
        let now = self.context.now();
        let (upstream, identity) = match stored {
            Ok(Stored::Found { upstream, identity }) => (upstream, identity),
            Ok(Stored::NotConnected(missing)) => return Ok(Granted::NotConnected(missing)),
            // While the store is unavailable a token whose session this VM has found before goes on
            // working; one that it has not seen has to wait.
            Err(Refusal::Dependency(cause)) => {
                let cached = cached.ok_or(Refusal::Dependency(cause))?;
                cached.mark_store_unavailable(now);
                return self.by_what_is_known(&cached, now);
            }
            // The session must not be refreshed any more, or the client would never log in again.
            Err(Refusal::LoginRequired) => {
                end_session(self.context.gateway, session, self.context.ports).await?;
                return Err(Refusal::LoginRequired);
            }
            Err(refusal) => return Err(refusal),
        };
        let Some(OwnedAccess { token, access }) = &upstream else {
            return Ok(Granted::Now { facts, upstream: None, identity, now });
        };
        if now >= access.stale_at {
            let audit = Rc::new(std::mem::take(known).decided(Reason::ValidToken));
            return Ok(Granted::AfterRefresh { facts, audit, identity, token: **token });
        }
        if now >= access.refresh_at {
            self.context.ports.refresh_upstream(**token);
        }
        Ok(Granted::Now { facts, upstream, identity, now })
    }

    /// What is proven about a token that another issuer may have made.
    fn foreign(&self, bearer: &str, now: u64, known: &mut AuditFields) -> Result<Foreign, Refusal> {
        let (gateway, index, resource) = (self.context.gateway, self.index, self.resource);
        let call = ForeignCall { gateway, index, resource, bearer, now, has_waited: false };
        if !call.is_possible() {
            return Ok(Foreign::Own);
        }
        call.verify(known, self.context.ports)
    }

    /// What this VM has proven about exactly this token, for this resource.
    fn cached(&self, now: u64) -> Option<Rc<CachedToken>> {
        let known = self.context.gateway.cached(self.authorization?)?;
        decide(&known.facts, self.index, now).is_ok().then_some(known)
    }

    fn by_what_is_known(&self, known: &Rc<CachedToken>, now: u64) -> Result<Granted, Refusal> {
        let known = &self.with_current_identity(known, now)?;
        if let Some(OwnedAccess { token, access }) = known.upstream().as_ref() {
            if now >= access.stale_at {
                let (facts, audit) = (known.facts.clone(), Rc::clone(&known.audit));
                return Ok(Granted::AfterRefresh { facts, audit, identity: known.identity().cloned(), token: **token });
            }
            if now >= access.refresh_at {
                self.context.ports.refresh_upstream(**token);
            }
        }
        if known.take_recheck_due(now) {
            self.context.gateway.ask_for_recheck(Rc::clone(known));
        }
        Ok(Granted::Before(Rc::clone(known)))
    }

    /// A known token with a new statement about its caller, where the last one is over.
    fn with_current_identity(&self, known: &Rc<CachedToken>, now: u64) -> Result<Rc<CachedToken>, DependencyError> {
        let due = known.identity().filter(|identity| !identity.is_current(now));
        let Some((due, settings)) = due.zip(self.resource.identity.as_ref()) else { return Ok(Rc::clone(known)) };
        let renewed = Rc::new(due.renewed(settings, self.context.config(), now, self.context.ports)?);
        self.remember(known.with_identity(Rc::clone(&renewed)));
        // What is of a session that has just ended is not kept; this call is by what was known.
        Ok(self.cached(now).unwrap_or_else(|| Rc::new(known.with_identity(renewed))))
    }

    fn remember(&self, granted: CachedToken) {
        if let Some(authorization) = self.authorization {
            self.context.gateway.remember(authorization, granted);
        }
    }
}

/// Sends on a call by what is known of its token.
fn by_known(resource: &Resource, known: &CachedToken, cookie: Option<&[u8]>, response: ResponsePlan) -> Forward {
    let upstream = known.upstream();
    let (facts, audit, identity) = (&known.facts, &known.audit, known.identity());
    let allowed = Allowed { facts, audit, upstream: upstream.as_ref(), identity };
    allowed.forward(&resource.injection, cookie, response)
}

/// The decision once the keys of an issuer were fetched, or could not be.
fn after_keys(
    gateway: &Rc<Gateway>,
    index: usize,
    authorization: &[u8],
    cookie: Option<&[u8]>,
    response: ResponsePlan,
    crypto: &dyn Crypto,
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
    match call.verify(&mut known, crypto) {
        Ok(Foreign::Granted(facts, identity)) => {
            let audit = Rc::new(known.decided(Reason::ValidToken));
            let granted = CachedToken::new(facts, audit, None, identity, now);
            let forward = by_known(resource, &granted, cookie, response);
            gateway.remember(authorization, granted);
            Resolved::Continue(forward)
        }
        Ok(Foreign::Own | Foreign::AwaitKeys(_)) => {
            Refusal::Dependency(DependencyError::Internal).respond(Some(resource), known)
        }
        Err(refusal) => refusal.respond(Some(resource), known),
    }
}

/// A call that waits for its upstream token.
struct Awaiting<'a> {
    facts: &'a TokenGrant,
    audit: &'a Rc<Audit>,
    token: UpstreamTokenRef,
    identity: Option<&'a Rc<Identity>>,
}

impl Awaiting<'_> {
    /// The decision once a refresh has ended. It remembers nothing: the session may have ended
    /// meanwhile, and only the slow path can look it up again.
    fn decide(
        &self,
        config: &Config,
        index: usize,
        cookie: Option<&[u8]>,
        response: ResponsePlan,
        outcome: &RefreshOutcome,
    ) -> Resolved {
        let resource = config.resources.get(index);
        let refusal = match (outcome, resource) {
            (RefreshOutcome::Ready(access), Some(resource)) => {
                let upstream = OwnedAccess { token: Rc::new(self.token), access: access.clone() };
                let (facts, audit, identity) = (self.facts, self.audit, self.identity);
                let allowed = Allowed { facts, audit, upstream: Some(&upstream), identity };
                return Resolved::Continue(allowed.forward(&resource.injection, cookie, response));
            }
            (RefreshOutcome::LoginRequired, _) => match self.token.owner {
                TokenOwner::Session(_) => Refusal::LoginRequired,
                TokenOwner::User(_) => Refusal::ConnectionEnded,
            },
            (RefreshOutcome::Refused, _) => Refusal::ExchangeRefused,
            (RefreshOutcome::Ready(_) | RefreshOutcome::Unavailable | RefreshOutcome::InProgressElsewhere, _) => {
                Refusal::UpstreamUnavailable
            }
        };
        refusal.respond(resource, self.audit.fields())
    }
}
