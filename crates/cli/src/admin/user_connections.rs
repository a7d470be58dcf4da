//! The providers that users have connected, for all of their sessions.

use std::collections::BTreeSet;

use portcullis_gateway::config::Sealer;
use portcullis_gateway::store::records::open;
use portcullis_gateway::upstream::tokens::Upstream;
use portcullis_protocol::credentials::UserId;
use portcullis_storage_api::{Key, Kind};

use crate::admin::connection::{Connection, Scan};
use crate::admin::error::AdminError;

/// One provider that a user has connected.
pub(crate) struct UserConnection {
    /// The name of its record.
    pub(crate) key: Key,
    /// The user's id in this gateway.
    pub(crate) user: String,
    /// The provider's name in the configuration.
    pub(crate) provider: String,
    /// The name by which the user knows the account there.
    pub(crate) account: String,
}

/// Finds the connections of these users. Their records are among those of upstream tokens, each of
/// which is read.
pub(crate) async fn of_users(
    connection: &mut Connection,
    sealer: &Sealer,
    users: &BTreeSet<String>,
) -> Result<Vec<UserConnection>, AdminError> {
    let mut found = Vec::new();
    let mut scan = Scan::strings(connection, Some(Kind::Upstream));
    while let Some(batches) = scan.next_keys(connection).await? {
        for keys in batches {
            for record in connection.read(&keys).await? {
                let Some(value) = &record.value else { continue };
                let opened = open::<Upstream>(sealer, &record.key, value.as_bytes());
                let opened = opened.and_then(|upstream| of_record(record.key, &upstream));
                found.extend(opened.filter(|opened| users.contains(&opened.user)));
            }
        }
    }
    Ok(found)
}

/// Returns the connection that a record of upstream tokens is; `None` for those of a session.
fn of_record(key: Key, upstream: &Upstream) -> Option<UserConnection> {
    let connected = upstream.connected.as_ref()?;
    Some(UserConnection {
        key,
        user: UserId::restore(upstream.session).to_string(),
        provider: connected.provider.clone(),
        account: upstream.user_label().to_owned(),
    })
}
