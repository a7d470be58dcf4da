//! The leg that a login has besides its own, where a call has needed a connection of the user that
//! was not there ([`crate::upstream::connections::offer`]). It comes last, and a login goes on
//! without it whatever becomes of it.

use portcullis_protocol::credentials::UserId;
use portcullis_protocol::oauth::params::Params;

use crate::browser::pending_login::{Authorization, PendingLogin, Seed};
use crate::config::{Config, LoginMode, Progress, Provider, ProviderId};
use crate::context::RequestContext;
use crate::endpoints::provider_return::logged_in;
use crate::error::DependencyError;
use crate::ports::Ports;
use crate::upstream::connections::{offer, stored};
use crate::upstream::providers;

/// A provider that a login goes to, so that the user connects it.
pub(super) struct ConnectionLeg<'a> {
    pub(super) provider: &'a Provider,
    /// The `prompt` that the provider wants to be asked with.
    pub(super) prompt: Option<String>,
}

/// Returns the leg that a login has yet, which was completed at these providers. It has it once:
/// the next call that needs the connection is refused otherwise.
///
/// A provider that cannot be used at the moment is left out.
pub(super) async fn due<'a, P: Ports>(
    context: &RequestContext<'a, P>,
    asked: &Authorization,
    user: UserId,
    done: &[ProviderId],
) -> Result<Option<ConnectionLeg<'a>>, DependencyError> {
    let Some(provider) = injected(context.config(), asked).filter(|provider| is_connectable(provider, done)) else {
        return Ok(None);
    };
    let (gateway, id, ports) = (context.gateway, provider.id, context.ports);
    let offer = offer::load(gateway, user, id, ports).await?;
    if offer.asked != offer::Asked::Due {
        return Ok(None);
    }
    if stored::load(gateway, user, id, ports).await?.is_some() {
        offer::forget(gateway, user, id, ports).await?;
        return Ok(None);
    }
    let prompt = offer.prompt.clone();
    let is_usable = providers::prepare(gateway, provider, ports).await.is_ok()
        && providers::authorization_url(gateway, provider, &Seed::new(ports)?, prompt.as_deref()).is_ok();
    offer::note_asked(gateway, user, id, offer, !is_usable, ports).await?;
    Ok(is_usable.then_some(ConnectionLeg { provider, prompt }))
}

/// Returns the provider of such a leg, if the login is at one.
pub(super) fn provider<'a>(config: &'a Config, login: &PendingLogin) -> Option<&'a Provider> {
    let Progress::Complete = config.providers.progress(login.done()) else { return None };
    if !login.done.as_ref().is_some_and(|done| done.connects) {
        return None;
    }
    config.providers.get(login.provider?).filter(|provider| is_connectable(provider, login.done()))
}

/// Connects the provider that the login was sent to. Returns `false` if that failed.
pub(super) async fn connect<P: Ports>(
    context: &RequestContext<'_, P>,
    params: &Params,
    seed: &Seed,
    provider: &Provider,
    user: UserId,
) -> bool {
    let Ok((reply, identity)) = logged_in(context, params, seed, provider).await else { return false };
    let saved = stored::save(context.gateway, user, provider, reply, identity, context.ports).await;
    // Where it stays, it is forgotten by the next login.
    let _best_effort = offer::forget(context.gateway, user, provider.id, context.ports).await;
    saved.is_ok()
}

/// The provider whose tokens are injected at the resource that is asked for.
fn injected<'a>(config: &'a Config, asked: &Authorization) -> Option<&'a Provider> {
    let resource = config.resources.iter().find(|resource| resource.uri.as_str() == asked.resource)?;
    config.providers.get(resource.injection.provider()?)
}

fn is_connectable(provider: &Provider, done: &[ProviderId]) -> bool {
    provider.login != LoginMode::Required && !done.contains(&provider.id)
}
