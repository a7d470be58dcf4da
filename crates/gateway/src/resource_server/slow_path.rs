//! A call to a protected resource: from the bearer token to what the back end is given.
//!
//! The fast path and the slow path share one rule, `decide`, over the same facts; they differ in
//! where the facts come from. The client's token never reaches the back end, and a missing upstream
//! token is a refusal, never an empty header.

use std::borrow::Cow;
use std::rc::Rc;

use portcullis_protocol::http::bearer::{self, Bearer, BearerError};
use portcullis_protocol::http::message::{FieldName, Request, Response};
use portcullis_protocol::http::path::RoutePath;
use portcullis_protocol::jose::claims::{self, ClaimError, Expected, SignatureError, Typ};
use portcullis_protocol::jose::jws::{Jws, JwsError};
use portcullis_protocol::oauth::challenge::Challenge;
use portcullis_protocol::oauth::error::{ErrorCode, OAuthError};

use crate::audit::{Audit, Decision, Rendered};
use crate::browser::cookies;
use crate::config::Resource;
use crate::decision::{Credentials, Forward, Injection, Settled, Verdict};
use crate::dispatch;
use crate::ports::{Ports, Store};
use crate::responses::{Cors, cors, try_later, unavailable, uncached};
use crate::sessions::end::end_session;
use crate::sessions::state::{Bound, Session};
use crate::state::gateway::Gateway;
use crate::state::token_cache::{CachedToken, TokenFacts};
use crate::store::records::{Records, Unavailable, Upstream, session_key, session_keys};
use crate::upstream::refresh::{RefreshOutcome, UpstreamAccess};

/// How far the clock of another gateway that issued a token may be ahead of ours, in seconds. Its
/// end is not put off: a gateway whose clock is behind only accepts it for as much longer.
const CLOCK_LEEWAY: u64 = 30;

/// Why a call is refused.
#[derive(Debug)]
enum Refusal {
    /// There is no token: the challenge says where to get one.
    NoToken,
    /// The request itself is not one that RFC 6750 allows.
    Malformed(&'static str),
    /// The token is not valid here (RFC 6750 §3.1).
    InvalidToken(&'static str),
    /// The token lacks a scope.
    InsufficientScope,
    /// The session behind the token has no upstream token any more.
    LoginRequired,
    /// The provider did not renew the upstream token in time.
    UpstreamUnavailable,
    /// Something of ours is away.
    Unavailable(Unavailable),
}

/// Decides a call with a token that this VM has verified before.
pub(crate) fn fast(
    gateway: &Gateway,
    now: u64,
    target: &[u8],
    authorization: &[u8],
    cookie: Option<&[u8]>,
) -> Option<Forward> {
    let cached = gateway.cached(authorization)?;
    // Anything out of the ordinary, also an ordinary refusal, is the slow path's to say.
    let is_known = cached.was_let_through_to(target);
    let index = if is_known {
        cached.facts.resource
    } else {
        let path = RoutePath::parse(target).ok()?;
        if path.query().is_some_and(bearer::token_in_query) {
            return None;
        }
        dispatch::protected(gateway.config(), &path)?
    };
    let usable = cached.is_served(now) && decide(&cached.facts, index, now).is_ok();
    let upstream = cached.upstream();
    let fresh = upstream.as_ref().is_none_or(|upstream| now < upstream.refresh_at && now < upstream.stale_at);
    if !usable || !fresh {
        return None;
    }
    if !is_known {
        cached.let_through_to(target);
    }
    let resource = gateway.config().resources.get(index)?;
    let forward = forward(resource, &cached.facts, upstream.as_ref(), cookie);
    drop(upstream);
    if cached.is_due(now) {
        gateway.ask_for_recheck(cached);
    }
    Some(forward)
}

/// Looks up the session behind a token that this VM goes on serving meanwhile. One that has ended
/// is forgotten; where the store does not answer, nothing changes.
pub async fn recheck<P: Ports>(gateway: Rc<Gateway>, entry: Rc<CachedToken>, ports: P) {
    let Some(resource) = gateway.config().resources.get(entry.facts.resource) else { return };
    match session_lives(&gateway, resource, &entry.facts, &ports).await {
        Ok(true) => entry.session_found(ports.now()),
        Ok(false) => gateway.forget_session(entry.facts.session),
        Err(_) => entry.store_was_away(ports.now()),
    }
}

/// Decides a call.
///
/// Nothing is consumed: a client that hangs up changes nothing, and a refresh that it asked for
/// goes on without it.
pub async fn protect<P: Ports>(
    gateway: Rc<Gateway>,
    index: usize,
    request: &Request,
    path: &RoutePath<'_>,
    ports: &P,
) -> Verdict {
    let Some(resource) = gateway.config().resources.get(index) else {
        return Refusal::Malformed("there is no such resource").reply(None).into();
    };
    let authorization = request.headers.one(FieldName::Authorization);
    let call = Call { gateway: &gateway, index, resource, request, path, authorization };
    match call.decide(ports).await {
        Ok(Granted::Now { facts, upstream, now }) => {
            let forward = forward(resource, &facts, upstream.as_ref(), cookies::sent(request).as_deref());
            call.remember(facts, upstream, now);
            Settled::Forward(forward).into()
        }
        // Nothing new was proven, so nothing is remembered anew.
        Ok(Granted::Before(known)) => {
            let cookie = cookies::sent(request);
            Settled::Forward(forward(resource, &known.facts, known.upstream().as_ref(), cookie.as_deref())).into()
        }
        Ok(Granted::AfterRefresh(facts)) => {
            let session = facts.session;
            let cookie = cookies::sent(request).map(Cow::into_owned);
            let gateway = Rc::clone(&gateway);
            let decide = Box::new(move |outcome: &RefreshOutcome| {
                after_refresh(gateway.config().resources.get(index), &facts, cookie.as_deref(), outcome)
            });
            Verdict::AwaitRefresh { session, decide }
        }
        Err(refusal) => refusal.reply(Some(resource)).into(),
    }
}

/// The rule for a call with a verified token, wherever the facts come from.
fn decide(facts: &TokenFacts, resource: usize, now: u64) -> Result<(), Refusal> {
    if facts.resource != resource {
        return Err(Refusal::InvalidToken(ClaimError::WrongAudience.public_reason()));
    }
    if now >= facts.expires_at {
        return Err(Refusal::InvalidToken(ClaimError::Expired.public_reason()));
    }
    Ok(())
}

/// A call with everything that its decision is made from.
struct Call<'a> {
    gateway: &'a Gateway,
    index: usize,
    resource: &'a Resource,
    request: &'a Request,
    path: &'a RoutePath<'a>,
    /// The `Authorization` value, where there is one only.
    authorization: Option<&'a [u8]>,
}

enum Granted {
    Now {
        facts: TokenFacts,
        upstream: Option<UpstreamAccess>,
        /// When the store had answered.
        now: u64,
    },
    /// By what was proven before.
    Before(Rc<CachedToken>),
    AfterRefresh(TokenFacts),
}

impl Call<'_> {
    async fn decide<P: Ports>(&self, ports: &P) -> Result<Granted, Refusal> {
        // A token in the query ends up in logs; it is refused even where a good header stands
        // beside it (RFC 9700 §4.3.2).
        if self.path.query().is_some_and(bearer::token_in_query) {
            return Err(Refusal::Malformed("an access token must not be in the URL"));
        }
        let bearer = match Bearer::from_headers(self.request.headers.all(FieldName::Authorization)) {
            Ok(Some(bearer)) => bearer,
            Ok(None) | Err(BearerError::OtherScheme) => return Err(Refusal::NoToken),
            Err(_) => return Err(Refusal::Malformed("the Authorization header must be one bearer token")),
        };
        // The clock is a call to the host: it is read once, and once more after the store was
        // asked.
        let now = ports.now();
        let known = self.known(now);
        if let Some(known) = known.as_ref().filter(|known| known.is_served(now)) {
            // Only its upstream token is due. Many requests find that at once: none of them asks
            // the store.
            return Ok(self.by_what_is_known(known, now, ports));
        }
        let facts = self.verify(bearer, now, ports)?;
        let stored = self.stored(&facts, ports).await;
        let now = ports.now();
        let upstream = match stored {
            Ok(Some(upstream)) => upstream,
            Ok(None) => return Ok(Granted::Now { facts, upstream: None, now }),
            // While the store is away a token whose session this VM has found before goes on
            // working; one that it has not seen has to wait.
            Err(Refusal::Unavailable(cause)) => {
                let known = known.ok_or(Refusal::Unavailable(cause))?;
                known.store_was_away(now);
                return Ok(self.by_what_is_known(&known, now, ports));
            }
            // The session must not be refreshed any more, or the client would never log in again.
            Err(Refusal::LoginRequired) => {
                end_session(self.gateway, facts.session, ports).await.map_err(Refusal::Unavailable)?;
                return Err(Refusal::LoginRequired);
            }
            Err(refusal) => return Err(refusal),
        };
        if now >= upstream.stale_at {
            return Ok(Granted::AfterRefresh(facts));
        }
        if now >= upstream.refresh_at {
            ports.refresh_upstream(facts.session);
        }
        Ok(Granted::Now { facts, upstream: Some(upstream), now })
    }

    /// What a token says that may do this call, by itself.
    fn verify<P: Ports>(&self, bearer: &str, now: u64, ports: &P) -> Result<TokenFacts, Refusal> {
        let invalid = |reason| Refusal::InvalidToken(reason);
        let jws = Jws::parse_among(bearer, self.gateway.own_headers())
            .map_err(|error: JwsError| invalid(error.public_reason()))?;
        let signed = claims::verify(&jws, self.gateway.own_keys(), |key, alg, message, signature| {
            ports.verify(key, alg, message, signature)
        })
        .map_err(|error: SignatureError| invalid(error.public_reason()))?;
        let expected = Expected {
            issuer: &self.gateway.config().issuer.url,
            audience: self.resource.uri.as_str(),
            typ: Typ::AccessToken,
            start_leeway: CLOCK_LEEWAY,
            expiry_leeway: 0,
        };
        let token = signed.access_token(&expected, now).map_err(|error| invalid(error.public_reason()))?;
        let (subject, client) = (Rc::from(token.subject()), Rc::from(token.client_id()));
        let facts = TokenFacts {
            audit: Rendered::new(Audit {
                subject: Some(Rc::clone(&subject)),
                client: Some(Rc::clone(&client)),
                resource: Some(Rc::clone(&self.resource.name)),
                ..Audit::new(Decision::Allow, "valid_token")
            }),
            subject,
            client,
            session: token.session(),
            resource: self.index,
            expires_at: token.expires_at(),
        };
        decide(&facts, self.index, now)?;
        if !self.resource.scopes.iter().all(|needed| token.scopes().any(|scope| scope == needed)) {
            return Err(Refusal::InsufficientScope);
        }
        Ok(facts)
    }

    /// What the store has to say: that the session lives, and the upstream token where the resource
    /// injects one. Both are asked for at once.
    async fn stored<P: Ports>(&self, facts: &TokenFacts, ports: &P) -> Result<Option<UpstreamAccess>, Refusal> {
        const ENDED: Refusal = Refusal::InvalidToken("the session of this token has ended");
        if self.resource.injector.is_none() {
            let lives = session_lives(self.gateway, self.resource, facts, ports).await.map_err(Refusal::Unavailable)?;
            return if lives { Ok(None) } else { Err(ENDED) };
        }
        let config = self.gateway.config();
        let records = Records::new(&config.key_ring, ports);
        let keys = session_keys(facts.session, config.provider.id);
        let found = ports.store().get_both(&keys).await.map_err(|error| Refusal::Unavailable(error.into()))?;
        let ([session_key, upstream_key], [session, upstream]) = (keys, found);
        let lives = session.and_then(|session| {
            records.read::<Session, _>(&session_key, session.value, |record| lives(record, self.resource, facts))
        });
        if lives != Some(true) {
            return Err(ENDED);
        }
        let upstream = upstream.and_then(|upstream| {
            records.read::<Upstream, _>(&upstream_key, upstream.value, UpstreamAccess::from_record)
        });
        upstream.map(Some).ok_or(Refusal::LoginRequired)
    }

    /// What this VM has proven about exactly this token, for this resource.
    fn known(&self, now: u64) -> Option<Rc<CachedToken>> {
        let known = self.gateway.cached(self.authorization?)?;
        decide(&known.facts, self.index, now).is_ok().then_some(known)
    }

    fn by_what_is_known<P: Ports>(&self, known: &Rc<CachedToken>, now: u64, ports: &P) -> Granted {
        if let Some(upstream) = known.upstream().as_ref() {
            if now >= upstream.stale_at {
                return Granted::AfterRefresh(known.facts.clone());
            }
            if now >= upstream.refresh_at {
                ports.refresh_upstream(known.facts.session);
            }
        }
        if known.is_due(now) {
            self.gateway.ask_for_recheck(Rc::clone(known));
        }
        Granted::Before(Rc::clone(known))
    }

    fn remember(&self, facts: TokenFacts, upstream: Option<UpstreamAccess>, now: u64) {
        if let Some(authorization) = self.authorization {
            self.gateway.remember(authorization, CachedToken::new(facts, upstream, now));
        }
    }
}

/// Whether the session behind a token is still there: this is how a revoked login ends before its
/// tokens expire.
async fn session_lives<P: Ports>(
    gateway: &Gateway,
    resource: &Resource,
    facts: &TokenFacts,
    ports: &P,
) -> Result<bool, Unavailable> {
    let key = session_key(facts.session);
    let found = ports.store().get(&key).await?;
    let records = Records::new(&gateway.config().key_ring, ports);
    let lives =
        found.and_then(|found| records.read::<Session, _>(&key, found.value, |record| lives(record, resource, facts)));
    Ok(lives == Some(true))
}

/// Whether a session's record, read in place, stands behind a token; `None` when it is not such a
/// record.
fn lives(record: &[u8], resource: &Resource, facts: &TokenFacts) -> Option<bool> {
    let session = Bound::read(record)?;
    Some(
        session.is_active()
            && session.client_id == &*facts.client
            && session.user_id == &*facts.subject
            && session.resource == resource.uri.as_str(),
    )
}

/// The decision once a refresh has ended. It remembers nothing: the session may have ended
/// meanwhile, and only the slow path can look it up again.
fn after_refresh(
    resource: Option<&Resource>,
    facts: &TokenFacts,
    cookie: Option<&[u8]>,
    outcome: &RefreshOutcome,
) -> Settled {
    let refusal = match (outcome, resource) {
        (RefreshOutcome::Ready(upstream), Some(resource)) => {
            return Settled::Forward(forward(resource, facts, Some(upstream), cookie));
        }
        (RefreshOutcome::LoginRequired, _) => Refusal::LoginRequired,
        (RefreshOutcome::Ready(_) | RefreshOutcome::Unavailable | RefreshOutcome::Elsewhere, _) => {
            Refusal::UpstreamUnavailable
        }
    };
    refusal.reply(resource)
}

fn forward(
    resource: &Resource,
    facts: &TokenFacts,
    upstream: Option<&UpstreamAccess>,
    cookie: Option<&[u8]>,
) -> Forward {
    let credentials = match (&resource.injector, upstream) {
        (Some(injector), Some(upstream)) => {
            Credentials::Injected(Injection { name: Rc::clone(&injector.header), value: Rc::clone(&upstream.value) })
        }
        (Some(_) | None, _) => Credentials::Stripped,
    };
    Forward { credentials, cookie: cookie.and_then(cookies::without_own), audit: Rc::clone(&facts.audit) }
}

impl Refusal {
    /// The answer, with a challenge wherever a token would help (RFC 6750 §3, RFC 9728 §5.1).
    fn reply(self, resource: Option<&Resource>) -> Settled {
        let (code, description, reason) = match self {
            Self::NoToken => (None, "an access token is required", "no_token"),
            Self::Malformed(description) => (Some(ErrorCode::InvalidRequest), description, "malformed_credentials"),
            Self::InvalidToken(description) => (Some(ErrorCode::InvalidToken), description, "invalid_token"),
            Self::InsufficientScope => (
                Some(ErrorCode::InsufficientScope),
                "the token lacks a scope that is needed here",
                "insufficient_scope",
            ),
            Self::LoginRequired => (
                Some(ErrorCode::InvalidToken),
                "the login at the identity provider has ended; authorize again",
                "upstream_login_required",
            ),
            Self::UpstreamUnavailable => {
                let response = try_later("the identity provider did not renew the login in time; try again");
                return Settled::Reply(response, audit(resource, Decision::Fail, "upstream_unavailable"));
            }
            Self::Unavailable(cause) => {
                let (response, reason) = unavailable(cause);
                return Settled::Reply(response, audit(resource, Decision::Fail, reason));
            }
        };
        let error = OAuthError::new(code.unwrap_or(ErrorCode::InvalidRequest), description);
        let status = match code {
            None | Some(ErrorCode::InvalidToken) => 401,
            Some(ErrorCode::InsufficientScope) => 403,
            Some(_) => 400,
        };
        let challenge = resource.map(|resource| Challenge {
            resource_metadata: &resource.metadata_url,
            scope: &resource.scopes,
            error: code,
            description: code.map(|_| description),
        });
        let mut response = uncached(Response::json(status, error.to_json()));
        if let Some(challenge) = challenge {
            response = response.header("www-authenticate", &challenge.to_string());
        }
        Settled::Reply(cors(response, Cors::ReadMcp), audit(resource, Decision::Deny, reason))
    }
}

fn audit(resource: Option<&Resource>, decision: Decision, reason: &'static str) -> Audit {
    Audit { resource: resource.map(|resource| Rc::clone(&resource.name)), ..Audit::new(decision, reason) }
}

#[cfg(test)]
#[path = "slow_path_tests.rs"]
mod slow_path_tests;
