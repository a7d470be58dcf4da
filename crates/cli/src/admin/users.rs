//! The users who are logged in. The gateway stores no users: these are the users of its logins.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_gateway::config::Sealer;
use serde_json::Value;

use crate::admin::connection::Connection;
use crate::admin::error::AdminError;
use crate::admin::logins::{Login, Logins, Selection};
use crate::admin::output::{Field, Output};
use crate::admin::sessions::{self, Trial};
use crate::admin::user_connections::{self, UserConnection};

/// Lists them, with how many logins each has.
pub(crate) async fn list(
    connection: &mut Connection,
    sealer: Option<&Sealer>,
    output: &mut Output,
) -> Result<(), AdminError> {
    let selection = Selection { all: true, ..Selection::default() };
    let (users, logins) = read(connection, sealer, &selection, output).await?;
    for (id, user) in users {
        output.row(vec![
            Field::new("user", "USER", 22, id),
            Field::new("subject", "SUBJECT", 22, user.subject),
            Field::new("email", "EMAIL", 22, user.email),
            Field::new("name", "NAME", 16, user.name),
            Field::new("sessions", "SESSIONS", 8, user.sessions),
            Field::new("clients", "CLIENTS", 0, user.clients.len()),
        ])?;
    }
    logins
}

/// Shows those whom a `sub`, a subject or an e-mail address names: one, or the accounts of several
/// providers.
pub(crate) async fn show(
    connection: &mut Connection,
    sealer: Option<&Sealer>,
    user: &str,
    output: &mut Output,
) -> Result<(), AdminError> {
    let selection = Selection::of_user(user);
    let (users, logins) = read(connection, sealer, &selection, output).await?;
    let connected = connected(connection, sealer, user, &users).await?;
    for (id, user) in users {
        let of_user = connected.iter().filter(|connected| connected.user == id);
        let connections = of_user.map(|connected| format!("{} as {}", connected.provider, connected.account));
        output.result(vec![
            ("connections", Value::from(connections.collect::<Vec<_>>())),
            ("user", Value::from(id)),
            ("subject", Value::from(user.subject)),
            ("email", Value::from(user.email)),
            ("name", Value::from(user.name)),
            ("sessions", Value::from(user.sessions)),
            ("clients", Value::from(user.clients.into_iter().collect::<Vec<_>>())),
            ("last_session_expires_in_seconds", Value::from(user.expires_in_seconds)),
        ])?;
    }
    logins
}

/// Ends all sessions of those whom a `sub`, a subject or an e-mail address names, and what they
/// have connected, of which there may be some without a session.
pub(crate) async fn revoke(
    connection: &mut Connection,
    sealer: Option<&Sealer>,
    user: &str,
    dry_run: bool,
    output: &mut Output,
) -> Result<(), AdminError> {
    let selection = Selection::of_user(user);
    let (users, _) = read(connection, sealer, &selection, output).await?;
    let connected = connected(connection, sealer, user, &users).await?;
    let names: Vec<_> = connected.iter().map(|connected| connection.name(&connected.key)).collect();
    // Before the sessions: as long as those are there, it can be tried again by any name.
    let ended = match names.as_slice() {
        [] => 0,
        _ if dry_run => u64::try_from(names.len()).unwrap_or(u64::MAX),
        names => connection.delete(names).await?,
    };
    sessions::revoke(connection, sealer, &selection, Trial { dry_run, connections: ended }, output).await
}

/// What the users have connected, and the user whose id is named.
async fn connected(
    connection: &mut Connection,
    sealer: Option<&Sealer>,
    named: &str,
    users: &BTreeMap<String, User>,
) -> Result<Vec<UserConnection>, AdminError> {
    let Some(sealer) = sealer else { return Ok(Vec::new()) };
    let ids: BTreeSet<String> = users.keys().cloned().chain([named.to_owned()]).collect();
    user_connections::of_users(connection, sealer, &ids).await
}

/// What the logins of one user say of them.
#[derive(Default)]
struct User {
    subject: Option<String>,
    email: Option<String>,
    name: Option<String>,
    sessions: u64,
    clients: BTreeSet<String>,
    expires_in_seconds: Option<u64>,
}

impl User {
    fn add(&mut self, login: Login) {
        self.sessions = self.sessions.saturating_add(1);
        self.expires_in_seconds = self.expires_in_seconds.max(login.record.meta.expiry.seconds());
        self.clients.insert(login.session.client_id);
        let Some(upstream) = login.upstream else { return };
        self.subject.get_or_insert_with(|| upstream.login_subject().to_owned());
        self.email = self.email.take().or(upstream.email);
        self.name = self.name.take().or(upstream.name);
    }
}

/// Reads the users of a selection by their ids, and how the search ended. All are kept at once:
/// some 200 bytes for each user.
async fn read(
    connection: &mut Connection,
    sealer: Option<&Sealer>,
    selection: &Selection,
    output: &Output,
) -> Result<(BTreeMap<String, User>, Result<(), AdminError>), AdminError> {
    let mut logins = Logins::find(connection, sealer, selection)?;
    let mut users: BTreeMap<String, User> = BTreeMap::new();
    let mut progress = output.progress(false);
    while let Some(found) = logins.next(connection).await? {
        progress.set(logins.read);
        for login in found {
            users.entry(login.user()).or_default().add(login);
        }
    }
    Ok((users, logins.finish()))
}
