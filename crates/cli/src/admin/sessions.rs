//! The logins, and their end.

use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_gateway::config::Sealer;
use portcullis_gateway::sessions::ended::{EndedSessions, LIFE_SECONDS, Writer, list_key};
use portcullis_gateway::sessions::state::State;
use portcullis_gateway::store::records::{open, seal};
use portcullis_protocol::credentials::SessionId;
use portcullis_storage_api::Kind;
use portcullis_storage_api::wire::Value as StoredValue;
use serde_json::Value;

use crate::admin::connection::{Connection, Expiry, Scan, StoredRecord};
use crate::admin::error::AdminError;
use crate::admin::logins::{Login, Logins, Selection};
use crate::admin::output::{Field, Output, digits};

/// Lists them: all, or those of a selection. What they are can be seen with the gateway's secrets
/// only; without them all are listed by the digests in their names.
pub(crate) async fn list(
    connection: &mut Connection,
    sealer: Option<&Sealer>,
    selection: &Selection,
    output: &mut Output,
) -> Result<(), AdminError> {
    if sealer.is_none() && selection.is_any() {
        return list_sealed(connection, output).await;
    }
    let mut logins = Logins::find(connection, sealer, selection)?;
    let mut progress = output.progress(true);
    while let Some(found) = logins.next(connection).await? {
        progress.set(logins.read);
        for login in found {
            output.row(row(&login))?;
        }
        for record in logins.sealed.iter().filter(|_| selection.is_any()) {
            output.row(sealed_row(record))?;
        }
    }
    // Without a selection all were listed, opened or not.
    if selection.is_any() { Ok(()) } else { logins.finish() }
}

/// How logins are ended.
pub(crate) struct Trial {
    /// Only counted, and none ended.
    pub(crate) dry_run: bool,
    /// How many connections of users were ended with them, or would be.
    pub(crate) connections: u64,
}

/// Ends the logins of a selection, as the gateway ends one: the session goes, and the provider's
/// tokens with it.
pub(crate) async fn revoke(
    connection: &mut Connection,
    sealer: Option<&Sealer>,
    selection: &Selection,
    Trial { dry_run, connections }: Trial,
    output: &mut Output,
) -> Result<(), AdminError> {
    let mut logins = Logins::find(connection, sealer, selection)?;
    let mut ended: u64 = 0;
    let mut progress = output.progress(false);
    while let Some(found) = logins.next(connection).await? {
        progress.set(logins.read);
        let mut announced = Vec::new();
        for login in found {
            let upstream = login.upstream_keys().map(|key| connection.name(&key));
            // In one command, so that no part is there without the others.
            let names: Vec<_> = std::iter::once(connection.name(&login.record.key)).chain(upstream).collect();
            if dry_run {
                ended = ended.saturating_add(1);
            } else if connection.delete(&names).await? > 0 {
                ended = ended.saturating_add(1);
                announced.push(selection.session.or_else(|| login.id()));
            }
        }
        if let Some(sealer) = sealer.filter(|_| !announced.is_empty()) {
            announce(connection, sealer, &announced).await?;
        }
    }
    drop(progress);
    if logins.found == 0 && connections == 0 {
        logins.finish()?;
    }
    let mut parts = vec![(if dry_run { "would_end" } else { "ended" }, Value::from(ended))];
    if connections > 0 {
        parts.push((if dry_run { "would_disconnect" } else { "disconnected" }, Value::from(connections)));
    }
    if !dry_run {
        let note = "filters notice within 5 s; where they cannot read the list of ended sessions, within 60 s";
        parts.push(("note", Value::from(note)));
        parts.extend(connection.replicated().await?);
    }
    output.result(parts)?;
    match logins.finish() {
        Err(AdminError::NoLogin) if connections > 0 => Ok(()),
        finished => finished,
    }
}

async fn list_sealed(connection: &mut Connection, output: &mut Output) -> Result<(), AdminError> {
    let mut progress = output.progress(true);
    let mut scan = Scan::strings(connection, Some(Kind::Session));
    while let Some(batches) = scan.next_keys(connection).await? {
        for keys in batches {
            progress.add(keys.len());
            for record in connection.read(&keys).await? {
                output.row(sealed_row(&record))?;
            }
        }
    }
    Ok(())
}

/// Puts sessions that have ended on the operators' list, by which filters hear of it. One whose id
/// is not known has them look every session up.
async fn announce(connection: &mut Connection, sealer: &Sealer, ended: &[Option<SessionId>]) -> Result<(), AdminError> {
    let key = list_key(Writer::Operator);
    let stored = connection.read(&[key]).await?.into_iter().next().and_then(|record| record.value);
    let stored = stored.and_then(|value| open::<EndedSessions>(sealer, &key, value.as_bytes()));
    let mut list = stored.unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let now = u64::try_from(now).unwrap_or(u64::MAX);
    let known: Vec<SessionId> = ended.iter().flatten().copied().collect();
    list.add(&known, now);
    if known.len() < ended.len() {
        list.overflow(now);
    }
    let mut nonce = [0; 24];
    getrandom::fill(&mut nonce).map_err(|error| AdminError::Redis(error.to_string()))?;
    let sealed = seal(sealer, &key, &list, nonce).and_then(|sealed| StoredValue::new(sealed).ok());
    if let Some(sealed) = sealed {
        let expiry = Expiry::Milliseconds(LIFE_SECONDS.saturating_mul(1_000));
        connection.write(&[(key, sealed, expiry)], true).await?;
    }
    Ok(())
}

/// A login as lists show it.
pub(crate) fn row(login: &Login) -> Vec<Field> {
    let state = match &login.session.state {
        State::Code(_) => "code",
        State::Active(_) => "active",
    };
    let upstream = login.upstream.as_ref();
    vec![
        Field::new("session", "SESSION", 22, login.id().map(|id| id.to_string())),
        Field::new("user", "USER", 22, login.user()),
        Field::new("subject", "SUBJECT", 22, upstream.map(|upstream| upstream.login_subject().to_owned())),
        Field::new("email", "EMAIL", 22, upstream.and_then(|upstream| upstream.email.clone())),
        Field::new("name", "NAME", 16, upstream.and_then(|upstream| upstream.name.clone())),
        Field::new("client_id", "CLIENT", 22, login.session.client_id.clone()),
        Field::new("state", "STATE", 6, state),
        Field::expiry(login.record.meta.expiry),
        Field::new("resource", "RESOURCE", 0, login.session.resource.clone()),
    ]
}

fn sealed_row(record: &StoredRecord) -> Vec<Field> {
    vec![
        Field::new("record", "RECORD", 64, digits(&record.key)),
        Field::expiry(record.meta.expiry),
        Field::new("bytes", "BYTES", 0, record.meta.bytes),
    ]
}
