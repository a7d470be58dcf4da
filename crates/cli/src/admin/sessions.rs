//! The logins, and their end.

use portcullis_gateway::config::Sealer;
use portcullis_gateway::sessions::keys::upstream_key;
use portcullis_gateway::sessions::state::{Session, State};
use portcullis_gateway::store::records::open;
use portcullis_gateway::upstream::tokens::Upstream;
use portcullis_protocol::credentials::SessionId;
use portcullis_storage_api::{Key, Kind};
use serde_json::Value;

use crate::admin::connection::{Connection, Scan, StoredRecord};
use crate::admin::error::AdminError;
use crate::admin::output::{Field, Output, digits};

/// Lists them: all, or one user's. Whose a session is can be seen with the gateway's secrets only.
pub(crate) async fn list(
    connection: &mut Connection,
    sealer: Option<&Sealer>,
    user: Option<&str>,
    output: &mut Output,
) -> Result<(), AdminError> {
    if user.is_some() {
        needed(sealer)?;
    }
    let mut unopened: u64 = 0;
    let mut progress = output.progress(true);
    let mut scan = Scan::strings(connection, Some(Kind::Session));
    while let Some(batches) = scan.next_keys(connection).await? {
        for keys in batches {
            progress.add(keys.len());
            for (read, login) in logins(connection, sealer, &keys).await? {
                if sealer.is_some() && login.is_none() {
                    unopened = unopened.saturating_add(1);
                }
                match (&login, user) {
                    (Some(login), user) if user.is_none_or(|user| login.is_of(user)) => {
                        output.row(row(&read, login))?;
                    }
                    (None, None) => output.row(sealed_row(&read))?,
                    (Some(_), _) | (None, Some(_)) => {}
                }
            }
        }
    }
    // Without a user every one was listed, opened or not.
    if user.is_some() { all_opened(unopened) } else { Ok(()) }
}

/// Ends all sessions of a user, as the gateway ends one: its record goes, and the provider's tokens
/// with it.
pub(crate) async fn revoke(
    connection: &mut Connection,
    sealer: Option<&Sealer>,
    user: &str,
    dry_run: bool,
    output: &mut Output,
) -> Result<(), AdminError> {
    let sealer = needed(sealer)?;
    let (mut ended, mut unopened): (u64, u64) = (0, 0);
    let mut progress = output.progress(false);
    let mut scan = Scan::strings(connection, Some(Kind::Session));
    while let Some(batches) = scan.next_keys(connection).await? {
        for keys in batches {
            progress.add(keys.len());
            for (read, login) in logins(connection, Some(sealer), &keys).await? {
                let Some(login) = login else {
                    unopened = unopened.saturating_add(1);
                    continue;
                };
                if !login.is_of(user) {
                    continue;
                }
                let upstream = login.upstream_keys(&read.key).map(|key| connection.name(&key));
                // In one command, so that no part is there without the others.
                let names: Vec<_> = std::iter::once(connection.name(&read.key)).chain(upstream).collect();
                let gone = dry_run || connection.delete(&names).await? > 0;
                ended = ended.saturating_add(u64::from(gone));
            }
        }
    }
    drop(progress);
    let mut parts =
        vec![("user", Value::from(user)), (if dry_run { "would_end" } else { "ended" }, Value::from(ended))];
    if !dry_run {
        let note = "filters check their caches again within 60 s: until then an access token may work";
        parts.push(("note", Value::from(note)));
        parts.extend(connection.replicated().await?);
    }
    output.result(parts)?;
    all_opened(unopened)
}

fn needed(sealer: Option<&Sealer>) -> Result<&Sealer, AdminError> {
    let missing = "whose a session is can be seen with the gateway's secrets only: set admin.gatewaySecrets";
    sealer.ok_or_else(|| AdminError::Usage(missing.to_owned()))
}

/// What did not open may be any user's, and leaving it out must not look like having met all.
fn all_opened(unopened: u64) -> Result<(), AdminError> {
    if unopened == 0 { Ok(()) } else { Err(AdminError::Unopened { count: unopened }) }
}

/// A session that opened, and what the provider said of its user.
struct Login {
    session: Session,
    upstream: Option<Upstream>,
}

impl Login {
    /// Returns `true` if `user` is the `sub` of the session's tokens, or the provider's subject or
    /// e-mail address of its user.
    fn is_of(&self, user: &str) -> bool {
        let by_provider = |upstream: &Upstream| upstream.subject == user || upstream.email.as_deref() == Some(user);
        self.session.user_id.to_string() == user || self.upstream.as_ref().is_some_and(by_provider)
    }

    /// The keys of the session's tokens at its providers; the user logged in at the first.
    fn upstream_keys(&self, session: &Key) -> impl Iterator<Item = Key> {
        self.session.providers.iter().map(|provider| upstream_key(session, *provider))
    }
}

/// Reads sessions and the upstream tokens of those that open.
async fn logins(
    connection: &mut Connection,
    sealer: Option<&Sealer>,
    keys: &[Key],
) -> Result<Vec<(StoredRecord, Option<Login>)>, AdminError> {
    let mut logins: Vec<(StoredRecord, Option<Login>)> = Vec::new();
    for read in connection.read(keys).await? {
        let session = sealer.and_then(|sealer| opened(sealer, &read));
        logins.push((read, session.map(|session| Login { session, upstream: None })));
    }
    let opened = logins.iter().filter_map(|(read, login)| login.as_ref().map(|login| (read, login)));
    let upstream_keys: Vec<Key> = opened.filter_map(|(read, login)| login.upstream_keys(&read.key).next()).collect();
    if let Some(sealer) = sealer.filter(|_| !upstream_keys.is_empty()) {
        let stored = connection.read(&upstream_keys).await?;
        for (read, login) in &mut logins {
            let Some(login) = login else { continue };
            let Some(key) = login.upstream_keys(&read.key).next() else { continue };
            let value = stored.iter().find(|stored| stored.key == key).and_then(|stored| stored.value.as_ref());
            login.upstream = value.and_then(|value| open(sealer, &key, value.as_bytes()));
        }
    }
    Ok(logins)
}

fn opened(sealer: &Sealer, read: &StoredRecord) -> Option<Session> {
    open(sealer, &read.key, read.value.as_ref()?.as_bytes())
}

fn row(read: &StoredRecord, login: &Login) -> Vec<Field> {
    let Login { session, upstream } = login;
    let state = match &session.state {
        State::Code(_) => "code",
        State::Active(_) => "active",
    };
    let upstream = upstream.as_ref();
    vec![
        Field::new("session", "SESSION", 22, upstream.map(|upstream| SessionId::new(upstream.session).to_string())),
        Field::new("user", "USER", 22, session.user_id.to_string()),
        Field::new("subject", "SUBJECT", 22, upstream.map(|upstream| upstream.subject.clone())),
        Field::new("email", "EMAIL", 22, upstream.and_then(|upstream| upstream.email.clone())),
        Field::new("name", "NAME", 16, upstream.and_then(|upstream| upstream.name.clone())),
        Field::new("client_id", "CLIENT", 22, session.client_id.clone()),
        Field::new("state", "STATE", 6, state),
        Field::expiry(read.meta.expiry),
        Field::new("resource", "RESOURCE", 0, session.resource.clone()),
    ]
}

fn sealed_row(record: &StoredRecord) -> Vec<Field> {
    vec![
        Field::new("record", "RECORD", 64, digits(&record.key)),
        Field::expiry(record.meta.expiry),
        Field::new("bytes", "BYTES", 0, record.meta.bytes),
    ]
}
