//! A connection in the store.

use portcullis_protocol::credentials::UserId;
use portcullis_storage_api::Ttl;

use crate::config::{Provider, ProviderId};
use crate::error::DependencyError;
use crate::ports::{Ports, Store, TokenOwner};
use crate::sessions::keys::connection_key;
use crate::sessions::lifetimes::tokens_life;
use crate::sessions::state::Session;
use crate::state::gateway::Gateway;
use crate::store::records::Records;
use crate::upstream::identity::{Identity, TokenReply};
use crate::upstream::life;
use crate::upstream::tokens::{Connected, Upstream};

/// Returns a user's connection to a provider.
///
/// # Errors
/// [`DependencyError::Store`].
pub async fn load<P: Ports>(
    gateway: &Gateway,
    user: UserId,
    provider: ProviderId,
    ports: &P,
) -> Result<Option<Upstream>, DependencyError> {
    let found = Records::new(&gateway.config().sealer, ports).load(&connection_key(user, provider)).await?;
    Ok(found.map(|found| found.record))
}

/// Stores what a provider gave a user, in place of an older connection, whatever account that was
/// to.
///
/// Some providers give a refresh token at the first consent only: the one of an older connection to
/// the same account goes on.
///
/// # Errors
/// [`DependencyError`].
pub async fn save<P: Ports>(
    gateway: &Gateway,
    user: UserId,
    provider: &Provider,
    reply: TokenReply,
    identity: Identity,
    ports: &P,
) -> Result<(), DependencyError> {
    let refresh_token = match reply.refresh_token {
        Some(refresh_token) => Some(refresh_token),
        None => {
            let before = load(gateway, user, provider.id, ports).await?;
            let same = before.filter(|before| before.subject == identity.subject);
            same.and_then(|before| before.refresh_token)
        }
    };
    let (now, default) = (ports.now(), provider.client().default_token_life);
    let record = Upstream {
        access_token: reply.access_token,
        obtained_at: now,
        expires_at: life::expires_at(reply.life, refresh_token.is_some(), None, default, now),
        refresh_token,
        subject: identity.subject,
        refused_since: None,
        session: *user.as_bytes(),
        name: identity.name,
        email: identity.email,
        client_name: None,
        login_subject: None,
        id_token: None,
        groups: identity.groups,
        email_verified: identity.email_verified,
        connected: Some(Connected { at: now, provider: provider.name.to_string() }),
    };
    let owner = TokenOwner::User(user);
    let life = Ttl::Seconds(tokens_life(gateway.config(), owner));
    Records::new(&gateway.config().sealer, ports).save(&connection_key(user, provider.id), &record, life).await?;
    replaced(gateway, owner, ports);
    Ok(())
}

/// Ends a user's connection to a provider: no call injects its tokens any more, here at once, in
/// the other workers of this Envoy as soon as the message arrives, and in other Envoys when they
/// look the session of a call up again.
///
/// # Errors
/// [`DependencyError::Store`]: then it may not have ended, and the caller must not say that it has.
pub async fn remove<P: Ports>(
    gateway: &Gateway,
    user: UserId,
    provider: ProviderId,
    ports: &P,
) -> Result<(), DependencyError> {
    Records::new(&gateway.config().sealer, ports).delete(&connection_key(user, provider)).await?;
    replaced(gateway, TokenOwner::User(user), ports);
    Ok(())
}

/// Starts the life of the connection again that calls with a session's tokens need, if they do and
/// there is one. Clients get new tokens every hour or so while they use the connection.
///
/// # Errors
/// [`DependencyError`].
pub async fn extend<P: Ports>(gateway: &Gateway, session: &Session, ports: &P) -> Result<(), DependencyError> {
    let config = gateway.config();
    let resource = config.resources.iter().find(|resource| resource.uri.as_str() == session.resource);
    let Some(injected) = resource.and_then(|resource| resource.injection.provider()) else { return Ok(()) };
    if session.providers.contains(&injected) || config.providers.is_required(injected) {
        return Ok(());
    }
    let key = connection_key(session.user_id, injected);
    let Some(stored) = ports.store().get(&key).await? else { return Ok(()) };
    let life = Ttl::Seconds(tokens_life(config, TokenOwner::User(session.user_id)));
    Records::new(&gateway.config().sealer, ports).extend::<Upstream>(&key, stored, life).await?;
    Ok(())
}

fn replaced<P: Ports>(gateway: &Gateway, owner: TokenOwner, ports: &P) {
    gateway.forget_upstream(owner);
    ports.upstream_replaced(owner);
}
