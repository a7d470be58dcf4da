//! The logins, and their end.

use portcullis_gateway::config::{ProviderId, Sealer};
use portcullis_gateway::sessions::keys::{session_key, upstream_key};
use portcullis_gateway::sessions::state::{Session, State};
use portcullis_gateway::store::records::open;
use portcullis_protocol::credentials::SessionId;
use portcullis_storage_api::Kind;
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
            for read in connection.read(&keys).await? {
                let session = sealer.and_then(|sealer| opened(sealer, &read));
                if sealer.is_some() && session.is_none() {
                    unopened = unopened.saturating_add(1);
                }
                match (&session, user) {
                    (Some(session), user) if user.is_none_or(|user| user == session.user_id) => {
                        output.row(row(&read, session))?;
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
            for read in connection.read(&keys).await? {
                let Some(session) = opened(sealer, &read) else {
                    unopened = unopened.saturating_add(1);
                    continue;
                };
                if session.user_id != user {
                    continue;
                }
                let providers =
                    session.providers.iter().map(|provider| ProviderId::of(&provider.name, &provider.issuer));
                let upstream = providers.map(|provider| connection.name(&upstream_key(&read.key, provider)));
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

fn opened(sealer: &Sealer, record: &StoredRecord) -> Option<Session> {
    let session: Session = open(sealer, &record.key, record.value.as_ref()?.as_bytes())?;
    (session_key(SessionId::new(session.id)) == record.key).then_some(session)
}

fn row(record: &StoredRecord, session: &Session) -> Vec<Field> {
    let state = match &session.state {
        State::Code(_) => "code",
        State::Active(_) => "active",
    };
    vec![
        Field::new("session", "SESSION", 22, SessionId::new(session.id).to_string()),
        Field::new("user", "USER", 22, session.user_id.clone()),
        Field::new("client_id", "CLIENT", 22, session.client_id.clone()),
        Field::new("state", "STATE", 6, state),
        Field::expiry(record.meta.expiry),
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
