//! What the store has to say about a call: that the session behind its token lives, which upstream
//! token its backend gets, and who the user is.

use std::rc::Rc;

use portcullis_protocol::credentials::{SessionId, UserId};
use portcullis_storage_api::{Key, Versioned};

use crate::audit::AuditFields;
use crate::config::{Leg, LoginMode, ProviderId, Resource, TokenExchange};
use crate::context::RequestContext;
use crate::decision::identity::{Caller, Identity};
use crate::decision::{OwnedAccess, UpstreamAccess};
use crate::error::DependencyError;
use crate::ports::{Ports, Store, TokenOwner, UpstreamTokenRef};
use crate::resource_server::connection_required::MissingConnection;
use crate::resource_server::refusal::Refusal;
use crate::resource_server::session_check::check_session;
use crate::sessions::keys::{connection_key, session_key, tokens_key, upstream_key};
use crate::sessions::missing_upstream::MissingUpstream;
use crate::sessions::state::Session;
use crate::state::token_cache::TokenGrant;
use crate::store::encoding;
use crate::upstream::tokens::{Upstream, UpstreamFields};

/// The login behind a call with one of the gateway's own tokens.
pub(super) struct StoredLogin<'a, P> {
    pub(super) context: &'a RequestContext<'a, P>,
    pub(super) resource: &'a Resource,
    pub(super) session: SessionId,
    pub(super) facts: &'a TokenGrant,
}

/// What the store has to say about it.
pub(super) enum Stored {
    /// The session is there.
    Found {
        /// The upstream token, where the resource injects one.
        upstream: Option<OwnedAccess>,
        /// The headers about the user.
        identity: Option<Rc<Identity>>,
    },
    /// The session is there, and the user has not connected the provider.
    NotConnected(MissingConnection),
}

/// A record of upstream tokens, as far as a call needs it. Each of a session has the names and
/// groups that the provider of the login has given.
struct Opened {
    access: UpstreamAccess,
    identity: Option<Rc<Identity>>,
}

impl<P: Ports> StoredLogin<'_, P> {
    /// Reads the session and the upstream token at once, since the user's names are in the latter's
    /// record; they are added to `known`. A connection's record has the names of another account.
    pub(super) async fn read(&self, known: &mut AuditFields) -> Result<Stored, Refusal> {
        let (config, records) = (self.context.config(), self.context.records());
        let injected = self.resource.injection.token();
        let first = || config.providers.legs().first().and_then(|leg| config.providers.of(leg).next());
        let provider = injected.or_else(|| first().map(|first| first.id)).ok_or(DependencyError::Internal)?;
        let owner = match config.providers.get(provider).map(|provider| provider.login) {
            Some(LoginMode::OnDemand) => TokenOwner::User(self.user()?),
            Some(LoginMode::Required | LoginMode::Choice) | None => TokenOwner::Session(self.session),
        };
        let token = UpstreamTokenRef { owner, provider };
        let keys = [session_key(self.session), tokens_key(token)];
        let found = self.context.ports.store().get_both(&keys).await.map_err(DependencyError::from)?;
        let ([session_key, tokens_key], [found, upstream]) = (keys, found);
        check_session(&records, &session_key, found, self.resource, self.facts)?;
        if let TokenOwner::User(user) = owner {
            let missing = MissingConnection { session: self.session, user, provider };
            return self.connected(missing, &tokens_key, upstream).await;
        }
        let upstream = match upstream {
            Some(upstream) => self.open(&tokens_key, upstream, known)?,
            None => None,
        };
        match (injected, upstream) {
            (Some(_), Some(Opened { access, identity })) => {
                Ok(Stored::Found { upstream: Some(OwnedAccess { token: Rc::new(token), access }), identity })
            }
            (Some(_), None) => match self.resource.injection.exchange() {
                Some(exchange) => self.to_exchange(&session_key, exchange, known).await,
                None => self.without_tokens(&session_key, provider).await,
            },
            (None, Some(Opened { identity, .. })) => Ok(Stored::Found { upstream: None, identity }),
            (None, None) => {
                let identity = match self.open_chosen(&session_key, known).await? {
                    Some(chosen) => chosen.identity,
                    None => self.identity(None)?,
                };
                Ok(Stored::Found { upstream: None, identity })
            }
        }
    }

    fn user(&self) -> Result<UserId, DependencyError> {
        UserId::parse(&self.facts.subject).ok_or(DependencyError::Internal)
    }

    /// What is there before the first exchange, which the call waits for: the user's token, which
    /// each login brings.
    async fn to_exchange(
        &self,
        session: &Key,
        exchange: &TokenExchange,
        known: &mut AuditFields,
    ) -> Result<Stored, Refusal> {
        let key = upstream_key(session, exchange.subject);
        let subject = match self.context.ports.store().get(&key).await.map_err(DependencyError::from)? {
            Some(stored) => self.open(&key, stored, known)?,
            None => None,
        };
        let Opened { identity, .. } = subject.ok_or(Refusal::LoginRequired)?;
        let token = UpstreamTokenRef { owner: TokenOwner::Session(self.session), provider: exchange.id };
        Ok(Stored::Found {
            upstream: Some(OwnedAccess { token: Rc::new(token), access: UpstreamAccess::none() }),
            identity,
        })
    }

    /// What follows where a session has no tokens of the provider that the resource injects.
    async fn without_tokens(&self, session: &Key, provider: ProviderId) -> Result<Stored, Refusal> {
        let found = self.context.records().load::<Session>(session).await?.ok_or(Refusal::SessionEnded)?;
        match MissingUpstream::of(self.context.config(), &found.record, provider) {
            MissingUpstream::LogIn => Err(Refusal::LoginRequired),
            MissingUpstream::Connect => {
                let missing = MissingConnection { session: self.session, user: self.user()?, provider };
                let key = connection_key(missing.user, provider);
                let stored = self.context.ports.store().get(&key).await.map_err(DependencyError::from)?;
                self.connected(missing, &key, stored).await
            }
        }
    }

    /// What follows from a connection as it is stored.
    async fn connected(
        &self,
        missing: MissingConnection,
        key: &Key,
        stored: Option<Versioned>,
    ) -> Result<Stored, Refusal> {
        let access = stored.and_then(|stored| {
            let read = |record: &[u8]| Some(UpstreamFields::read(record)?.access());
            self.context.records().read::<Upstream, _>(key, stored.value, read)
        });
        let token = UpstreamTokenRef { owner: TokenOwner::User(missing.user), provider: missing.provider };
        let Some(access) = access else { return Ok(Stored::NotConnected(missing)) };
        let identity = self.identity_of_login().await?;
        Ok(Stored::Found { upstream: Some(OwnedAccess { token: Rc::new(token), access }), identity })
    }

    /// The headers about the user where the record that was read is not of the login: none of a
    /// connection's names is one by which the user is known here.
    async fn identity_of_login(&self) -> Result<Option<Rc<Identity>>, DependencyError> {
        if self.resource.identity.is_none() {
            return Ok(self.context.gateway.untold());
        }
        let session = session_key(self.session);
        let found = self.context.records().load::<Session>(&session).await?;
        let login = found.and_then(|found| found.record.providers.first().copied());
        let Some(login) = login else { return self.identity(None) };
        let key = upstream_key(&session, login);
        let stored = self.context.ports.store().get(&key).await?;
        let opened = stored.map(|stored| self.open(&key, stored, &mut AuditFields::default())).transpose()?.flatten();
        opened.map_or_else(|| self.identity(None), |opened| Ok(opened.identity))
    }

    /// Opens a record of upstream tokens of the session; the names in it are added to `known`.
    fn open(&self, key: &Key, stored: Versioned, known: &mut AuditFields) -> Result<Option<Opened>, DependencyError> {
        let opened = self.context.records().read::<Upstream, _>(key, stored.value, |record| {
            let upstream = UpstreamFields::read(record)?;
            upstream.add_names(known, self.context.config().audits_email);
            let identity = self.identity(Some(record));
            let is_exchanged = self.resource.injection.exchange().is_some();
            let access = if is_exchanged { upstream.access_in_exchange() } else { upstream.access() };
            Some(identity.map(|identity| Opened { access, identity }))
        });
        opened.transpose()
    }

    /// Opens the record of the login where its provider is one that the user chose, so that it is
    /// not known without the session; the names in it are added to `known`.
    async fn open_chosen(&self, session: &Key, known: &mut AuditFields) -> Result<Option<Opened>, DependencyError> {
        if !self.context.config().providers.legs().first().is_some_and(Leg::is_choice) {
            return Ok(None);
        }
        let found = self.context.records().load::<Session>(session).await?;
        let Some(login) = found.and_then(|found| found.record.providers.first().copied()) else { return Ok(None) };
        let key = upstream_key(session, login);
        match self.context.ports.store().get(&key).await? {
            Some(stored) => self.open(&key, stored, known),
            None => Ok(None),
        }
    }

    /// The headers about the user, with the names in this record of the login. Without one only the
    /// user's id is known.
    fn identity(&self, record: Option<&[u8]>) -> Result<Option<Rc<Identity>>, DependencyError> {
        let Some(settings) = &self.resource.identity else { return Ok(self.context.gateway.untold()) };
        let record = record.and_then(encoding::from_bytes::<Upstream>);
        let (user, client) = (&*self.facts.subject, &*self.facts.client);
        let unnamed = Caller { user, client, ..Caller::default() };
        let caller = record.as_ref().map_or(unnamed, |record| record.caller(user, client));
        let (config, now, ports) = (self.context.config(), self.context.now(), self.context.ports);
        Identity::new(settings, config, &caller, now, ports).map(Rc::new).map(Some)
    }
}
