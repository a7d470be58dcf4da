//! The legs of a login, as the callback completes them one after the other.
//!
//! Who the user is, is what the first leg's provider said, and is read from the record of its
//! tokens. The tokens of each leg are kept under the id that the login's session will have, for as
//! long as the rest of the login may take.

use portcullis_protocol::credentials::{SessionId, UserId};
use portcullis_storage_api::Ttl;

use crate::browser::pending_login::{Authorization, DoneLegs, LOGIN_LIFE, PendingLogin};
use crate::config::{Config, Progress, Provider, ProviderId};
use crate::context::RequestContext;
use crate::error::DependencyError;
use crate::ports::Ports;
use crate::sessions::keys::{session_key, upstream_key};
use crate::sessions::last_grant;
use crate::upstream::identity::{Identity, TokenReply};
use crate::upstream::life;
use crate::upstream::tokens::{self, Upstream};

/// Returns the provider that a login is at; `None` if the configuration no longer has this leg.
pub(super) fn provider<'a>(config: &'a Config, login: &PendingLogin) -> Option<&'a Provider> {
    let Progress::Next(leg) = config.providers.progress(login.done()) else { return None };
    match login.provider {
        Some(id) => config.providers.of(leg).find(|provider| provider.id == id),
        // Of a release that knew one provider only.
        None => config.providers.at(leg, None),
    }
}

/// Returns the tokens of a login's first leg, which say who the user is; `None` if they are gone.
pub(super) async fn first<P: Ports>(
    context: &RequestContext<'_, P>,
    done: &DoneLegs,
) -> Result<Option<Upstream>, DependencyError> {
    let Some(provider) = done.providers.first() else { return Ok(None) };
    load(context, done.session(), *provider).await
}

/// Deletes the tokens of the legs that a login has done, as it has failed. This is best effort: no
/// code leads to them, and they expire by themselves.
pub(super) async fn forget<P: Ports>(context: &RequestContext<'_, P>, done: &DoneLegs) {
    let session = session_key(done.session());
    for provider in &done.providers {
        let _best_effort = context.records().delete(&upstream_key(&session, *provider)).await;
    }
}

/// A leg at whose provider the user has logged in.
pub(super) struct CompletedLeg<'a> {
    pub(super) provider: &'a Provider,
    /// The session that the login will have.
    pub(super) session: SessionId,
    /// The user of the login.
    pub(super) user: UserId,
    /// The tokens of the first leg, unless this is the first.
    pub(super) first: Option<&'a Upstream>,
    /// How many legs follow.
    pub(super) left: usize,
    pub(super) identity: Identity,
    pub(super) reply: TokenReply,
}

impl CompletedLeg<'_> {
    /// Stores the leg's tokens, and returns them.
    ///
    /// A later leg keeps the names and groups of the first, so that each record says whose login it
    /// is; the subject is its own provider's, which a refresh compares.
    pub(super) async fn store<P: Ports>(
        self,
        context: &RequestContext<'_, P>,
        asked: &Authorization,
    ) -> Result<Upstream, DependencyError> {
        let Self { provider, session, user, first, left, identity, reply } = self;
        let (records, now) = (context.records(), context.now());
        let refresh_token = match reply.refresh_token {
            Some(refresh_token) => Some(refresh_token),
            None => last_grant::refresh_token(&records, user, &asked.client_id, provider.id, &identity.subject).await?,
        };
        let default_life = provider.client().default_token_life;
        let Identity { subject, name, email, email_verified, groups } = match first {
            Some(first) => Identity {
                subject: identity.subject,
                name: first.name.clone(),
                email: first.email.clone(),
                email_verified: first.email_verified,
                groups: first.groups.clone(),
            },
            None => identity,
        };
        let id_token = reply.id_token.filter(|_| context.config().keeps_id_token(provider.id));
        let id_token = tokens::kept_id_token(id_token, &reply.access_token, refresh_token.as_ref());
        let upstream = Upstream {
            access_token: reply.access_token,
            obtained_at: now,
            expires_at: life::expires_at(reply.life, refresh_token.is_some(), None, default_life, now),
            refresh_token,
            subject,
            refused_since: None,
            session: *session.as_bytes(),
            name,
            email,
            client_name: asked.client_name.clone(),
            groups,
            email_verified,
            login_subject: first.map(|first| first.subject.clone()),
            id_token,
            connected: None,
        };
        let key = upstream_key(&session_key(session), provider.id);
        records.save(&key, &upstream, Ttl::Seconds(life_of_leg(context.config(), left))).await?;
        Ok(upstream)
    }
}

/// Returns when the tokens that a login's resource injects are over for good, in Unix seconds;
/// `None` where they can be renewed or have no end, and where the login has none. `last` are those
/// of the leg that completes it.
pub(super) async fn upstream_ends_at<P: Ports>(
    context: &RequestContext<'_, P>,
    session: SessionId,
    asked: &Authorization,
    providers: &[ProviderId],
    last: &Upstream,
) -> Result<Option<u64>, DependencyError> {
    let mut resources = context.config().resources.iter();
    let resource = resources.find(|resource| resource.uri.as_str() == asked.resource);
    let Some(injected) = resource.and_then(|resource| resource.injection.provider()) else { return Ok(None) };
    if providers.last() == Some(&injected) {
        return Ok(tokens::end_of(last));
    }
    if !providers.contains(&injected) {
        return Ok(None);
    }
    Ok(load(context, session, injected).await?.as_ref().and_then(tokens::end_of))
}

async fn load<P: Ports>(
    context: &RequestContext<'_, P>,
    session: SessionId,
    provider: ProviderId,
) -> Result<Option<Upstream>, DependencyError> {
    let key = upstream_key(&session_key(session), provider);
    Ok(context.records().load::<Upstream>(&key).await?.map(|loaded| loaded.record))
}

/// How long the tokens of a leg are kept that this number of legs follows, in seconds: until the
/// code can no longer be redeemed (see token.rs), and hardly longer.
fn life_of_leg(config: &Config, left: usize) -> u64 {
    let rest = LOGIN_LIFE.saturating_mul(u64::try_from(left).unwrap_or(u64::MAX));
    rest.saturating_add(config.lifespans.authorization_code).saturating_add(EXTENSION_SECONDS)
}

/// How much longer than their session's code the upstream tokens last, in seconds, so that a code
/// that is redeemed in its last second finds them.
const EXTENSION_SECONDS: u64 = 60;
