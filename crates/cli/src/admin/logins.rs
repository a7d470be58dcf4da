//! The logins of a gateway as an operator looks for them: by session, user or client.

use std::collections::VecDeque;

use clap::Args;
use portcullis_gateway::config::Sealer;
use portcullis_gateway::sessions::keys::{session_key, upstream_key};
use portcullis_gateway::sessions::state::Session;
use portcullis_gateway::store::records::open;
use portcullis_gateway::upstream::tokens::Upstream;
use portcullis_protocol::credentials::SessionId;
use portcullis_storage_api::{Key, Kind};

use crate::admin::connection::{Connection, Scan, StoredRecord};
use crate::admin::error::AdminError;

/// Which logins are meant: those that everything given here is true of.
#[derive(Debug, Default, Clone, Args)]
pub(crate) struct Selection {
    /// Of this user: the `sub` of the gateway's tokens, or the subject or e-mail address at the
    /// provider.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Of the user with this subject at the provider.
    #[arg(long)]
    pub(crate) subject: Option<String>,
    /// Of the user with this e-mail address at the provider.
    #[arg(long)]
    pub(crate) email: Option<String>,
    /// This one: the `sid` of its access tokens.
    #[arg(long, value_parser = session)]
    pub(crate) session: Option<SessionId>,
    /// At this client, by its client_id.
    #[arg(long)]
    pub(crate) client: Option<String>,
    /// All of them.
    #[arg(long, conflicts_with_all = ["user", "subject", "email", "session", "client"])]
    pub(crate) all: bool,
}

impl Selection {
    /// The logins of one user.
    pub(crate) fn of_user(user: &str) -> Self {
        Self { user: Some(user.to_owned()), ..Self::default() }
    }

    /// Returns `true` if any login is meant, so that to find none is no mistake.
    pub(crate) fn is_any(&self) -> bool {
        let Self { user, subject, email, session, client, all: _ } = self;
        [user, subject, email, client].iter().all(|text| text.is_none()) && session.is_none()
    }

    fn contains(&self, login: &Login) -> bool {
        let Self { user, subject, email, session: _, client, all: _ } = self;
        let is = |wanted: &Option<String>, holds: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(holds);
        is(user, &|user| login.user() == user || login.has_subject(user) || login.has_email(user))
            && is(subject, &|subject| login.has_subject(subject))
            && is(email, &|email| login.has_email(email))
            && is(client, &|client| login.session.client_id == client)
    }
}

/// A session that opened, and what the provider said of its user.
pub(crate) struct Login {
    /// Its record.
    pub(crate) record: StoredRecord,
    /// The session.
    pub(crate) session: Session,
    /// The tokens of its first provider, which says who the user is; where they are gone, those of
    /// another, which have the names of the first.
    pub(crate) upstream: Option<Upstream>,
}

impl Login {
    /// Returns the session's id; `None` if its upstream tokens are gone, which alone hold it.
    pub(crate) fn id(&self) -> Option<SessionId> {
        self.upstream.as_ref().map(|upstream| SessionId::new(upstream.session))
    }

    /// Returns the user's id in this gateway.
    pub(crate) fn user(&self) -> String {
        self.session.user_id.to_string()
    }

    /// Returns the keys of the session's tokens at its providers, the first of which says who the
    /// user is.
    pub(crate) fn upstream_keys(&self) -> impl Iterator<Item = Key> {
        self.session.providers.iter().map(|provider| upstream_key(&self.record.key, *provider))
    }

    fn has_subject(&self, subject: &str) -> bool {
        self.upstream.as_ref().is_some_and(|upstream| upstream.login_subject() == subject)
    }

    fn has_email(&self, email: &str) -> bool {
        let known = self.upstream.as_ref().and_then(|upstream| upstream.email.as_deref());
        known.is_some_and(|known| known.eq_ignore_ascii_case(email))
    }
}

/// The logins of a selection, read a batch at a time.
pub(crate) struct Logins<'a> {
    sealer: &'a Sealer,
    selection: &'a Selection,
    source: Source,
    /// How many records were read.
    pub(crate) read: usize,
    /// The sessions of the last batch that did not open: they may be anyone's.
    pub(crate) sealed: Vec<StoredRecord>,
    /// How many did not.
    unopened: u64,
    /// How many were found.
    pub(crate) found: u64,
}

enum Source {
    One(Option<Key>),
    Scan { scan: Scan, batches: VecDeque<Vec<Key>> },
}

impl<'a> Logins<'a> {
    /// Begins to look for them.
    ///
    /// # Errors
    /// [`AdminError::Usage`] without the gateway's secrets.
    pub(crate) fn find(
        connection: &Connection,
        sealer: Option<&'a Sealer>,
        selection: &'a Selection,
    ) -> Result<Self, AdminError> {
        let missing = "whose a session is can be seen with the gateway's secrets only: set admin.gatewaySecrets";
        let sealer = sealer.ok_or_else(|| AdminError::Usage(missing.to_owned()))?;
        let source = match selection.session {
            Some(id) => Source::One(Some(session_key(id))),
            None => Source::Scan { scan: Scan::strings(connection, Some(Kind::Session)), batches: VecDeque::default() },
        };
        Ok(Self { sealer, selection, source, read: 0, sealed: Vec::new(), unopened: 0, found: 0 })
    }

    /// Returns the next ones; `None` at the end.
    pub(crate) async fn next(&mut self, connection: &mut Connection) -> Result<Option<Vec<Login>>, AdminError> {
        let Some(keys) = self.next_keys(connection).await? else { return Ok(None) };
        self.read = self.read.saturating_add(keys.len());
        self.sealed.clear();
        let mut logins: Vec<Login> = Vec::new();
        for record in connection.read(&keys).await? {
            match opened(self.sealer, &record) {
                Some(session) => logins.push(Login { record, session, upstream: None }),
                None => self.sealed.push(record),
            }
        }
        self.unopened = self.unopened.saturating_add(u64::try_from(self.sealed.len()).unwrap_or(u64::MAX));
        self.add_upstream(connection, &mut logins).await?;
        logins.retain(|login| self.selection.contains(login));
        self.found = self.found.saturating_add(u64::try_from(logins.len()).unwrap_or(u64::MAX));
        Ok(Some(logins))
    }

    /// Ends a search.
    ///
    /// # Errors
    /// [`AdminError::NoLogin`] if none was found that was looked for, and [`AdminError::Unopened`]
    /// if some did not open: leaving them out must not look like having met all.
    pub(crate) fn finish(&self) -> Result<(), AdminError> {
        if self.unopened > 0 {
            return Err(AdminError::Unopened { count: self.unopened });
        }
        if self.found == 0 && !self.selection.is_any() {
            return Err(AdminError::NoLogin);
        }
        Ok(())
    }

    async fn next_keys(&mut self, connection: &mut Connection) -> Result<Option<Vec<Key>>, AdminError> {
        match &mut self.source {
            Source::One(key) => Ok(key.take().map(|key| vec![key])),
            Source::Scan { scan, batches } => loop {
                if let Some(keys) = batches.pop_front() {
                    return Ok(Some(keys));
                }
                match scan.next_keys(connection).await? {
                    Some(next) => batches.extend(next),
                    None => return Ok(None),
                }
            },
        }
    }

    async fn add_upstream(&self, connection: &mut Connection, logins: &mut [Login]) -> Result<(), AdminError> {
        let keys: Vec<Key> = logins.iter().flat_map(Login::upstream_keys).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let stored = connection.read(&keys).await?;
        for login in logins {
            let opened = |key: Key| {
                let value = stored.iter().find(|stored| stored.key == key).and_then(|stored| stored.value.as_ref());
                value.and_then(|value| open(self.sealer, &key, value.as_bytes()))
            };
            let keys: Vec<Key> = login.upstream_keys().collect();
            login.upstream = keys.into_iter().find_map(opened);
        }
        Ok(())
    }
}

fn opened(sealer: &Sealer, record: &StoredRecord) -> Option<Session> {
    open(sealer, &record.key, record.value.as_ref()?.as_bytes())
}

fn session(text: &str) -> Result<SessionId, String> {
    SessionId::parse(text).ok_or_else(|| "not the id of a session".to_owned())
}
