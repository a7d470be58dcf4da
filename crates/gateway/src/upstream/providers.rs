//! The requests to a provider. Its kind decides here, and nowhere else, how.

use std::rc::Rc;

use portcullis_protocol::crypto::secret::Secret;

use crate::browser::pending_login::Seed;
use crate::config::{Provider, ProviderId, ProviderKind};
use crate::ports::Ports;
use crate::state::gateway::Gateway;
use crate::upstream::identity::{Identity, TokenReply};
use crate::upstream::oauth2::OAuth2;
use crate::upstream::oidc::Oidc;
use crate::upstream::profile::{LoggedIn, Profile};
use crate::upstream::provider_error::ProviderError;
use crate::upstream::token_reply;

/// Fetches a provider's documents if they are due, so that no login has to wait for them.
pub async fn warm<P: Ports>(gateway: Rc<Gateway>, provider: ProviderId, ports: P) {
    let Some(provider) = gateway.config().providers.get(provider) else { return };
    match &provider.kind {
        ProviderKind::Oidc(settings) => {
            Oidc { gateway: &gateway, name: &provider.name, id: provider.id, settings }.warm(&ports).await
        }
        ProviderKind::OAuth2(_) => {}
    }
}

/// Fetches a provider's documents where they are not known, so that a browser can be sent there.
///
/// # Errors
/// [`ProviderError`]: why they could not be fetched.
pub async fn prepare<P: Ports>(gateway: &Gateway, provider: &Provider, ports: &P) -> Result<(), ProviderError> {
    match &provider.kind {
        ProviderKind::Oidc(settings) => {
            Oidc { gateway, name: &provider.name, id: provider.id, settings }.prepare(ports).await
        }
        ProviderKind::OAuth2(_) => Ok(()),
    }
}

/// Returns where to send a browser to log in; `prompt` replaces the configured one.
///
/// # Errors
/// [`ProviderError`] while the provider's documents are not known: why they could not be fetched.
pub fn authorization_url(
    gateway: &Gateway,
    provider: &Provider,
    seed: &Seed,
    prompt: Option<&str>,
) -> Result<String, ProviderError> {
    match &provider.kind {
        ProviderKind::Oidc(settings) => {
            Oidc { gateway, name: &provider.name, id: provider.id, settings }.authorization_url(seed, prompt)
        }
        ProviderKind::OAuth2(settings) => {
            Ok(OAuth2 { gateway, name: &provider.name, settings }.authorization_url(seed, prompt))
        }
    }
}

/// Redeems a provider's code and verifies who logged in.
///
/// # Errors
/// [`ProviderError`].
pub async fn log_in<P: Ports>(
    gateway: &Gateway,
    provider: &Provider,
    seed: &Seed,
    code: &str,
    ports: &P,
) -> Result<(TokenReply, Identity), ProviderError> {
    let LoggedIn { tokens, subject, mut profile } = match &provider.kind {
        ProviderKind::Oidc(settings) => {
            Oidc { gateway, name: &provider.name, id: provider.id, settings }.log_in(seed, code, ports).await?
        }
        ProviderKind::OAuth2(settings) => {
            OAuth2 { gateway, name: &provider.name, settings }.log_in(seed, code, ports).await?
        }
    };
    bound_groups(gateway, provider, &tokens, &mut profile, ports);
    let Profile { name, email, email_verified, groups } = profile;
    Ok((tokens, Identity { subject, name, email, email_verified, groups: groups.unwrap_or_default() }))
}

/// Exchanges a refresh token of the user that the provider calls `subject`, and returns what the
/// answer says of the user.
///
/// # Errors
/// [`ProviderError`]; an answer about another user ends the grant.
pub(super) async fn refresh<P: Ports>(
    gateway: &Gateway,
    provider: &Provider,
    refresh_token: &Secret<String>,
    subject: &str,
    ports: &P,
) -> Result<(TokenReply, Profile), ProviderError> {
    let (tokens, mut profile) = match &provider.kind {
        ProviderKind::Oidc(settings) => {
            Oidc { gateway, name: &provider.name, id: provider.id, settings }
                .refresh(refresh_token, subject, ports)
                .await?
        }
        ProviderKind::OAuth2(settings) => {
            let tokens = OAuth2 { gateway, name: &provider.name, settings }.refresh(refresh_token, ports).await?;
            (tokens, Profile::default())
        }
    };
    bound_groups(gateway, provider, &tokens, &mut profile, ports);
    Ok((tokens, profile))
}

/// Keeps as many groups as a record has room for, and tells the operator of the others.
fn bound_groups<P: Ports>(
    gateway: &Gateway,
    provider: &Provider,
    tokens: &TokenReply,
    profile: &mut Profile,
    ports: &P,
) {
    let users = gateway.config().users.as_ref();
    let is_wanted = |group: &str| users.is_some_and(|users| users.name_group(&provider.name, group));
    if profile.bound_groups(token_reply::room_left(tokens), is_wanted) {
        ports.provider_noted(&provider.name, "a user is in more groups than are kept: 100, of 4 KiB at most");
    }
}
