//! The names of a session's records, and of upstream tokens.

use portcullis_protocol::credentials::{SessionId, UserId};
use portcullis_storage_api::{Key, Kind};

use crate::config::ProviderId;
use crate::ports::{TokenOwner, UpstreamTokenRef};
use crate::store::records::key;

/// The key of a session.
#[must_use]
pub fn session_key(session: SessionId) -> Key {
    key(Kind::Session, &[session.as_bytes()])
}

/// The key of a session's tokens at a provider. It begins like the session's, so the store inside
/// Envoy has both in one cell and finds them with one read.
#[must_use]
pub fn upstream_key(session: &Key, provider: ProviderId) -> Key {
    let mut id = session.id;
    id.iter_mut().skip(16).zip(provider.as_bytes()).for_each(|(byte, provider)| *byte = *provider);
    Key { kind: Kind::Upstream, id }
}

/// The keys of a session and of its tokens at a provider, to be read together.
#[must_use]
pub fn session_keys(session: SessionId, provider: ProviderId) -> [Key; 2] {
    let key = session_key(session);
    [key, upstream_key(&key, provider)]
}

/// The key of a user's connection to a provider.
#[must_use]
pub fn connection_key(user: UserId, provider: ProviderId) -> Key {
    key(Kind::Upstream, &[b"connection", user.as_bytes(), provider.as_bytes()])
}

/// The key of upstream tokens.
#[must_use]
pub fn tokens_key(token: UpstreamTokenRef) -> Key {
    match token.owner {
        TokenOwner::Session(session) => upstream_key(&session_key(session), token.provider),
        TokenOwner::User(user) => connection_key(user, token.provider),
    }
}
