//! The way from a checked and consented authorization request to the identity provider, and from
//! one provider to the next.

use std::rc::Rc;

use portcullis_protocol::credentials::UserId;
use portcullis_protocol::http::message::Response;

use crate::audit::{Audit, AuditFields, Reason};
use crate::browser::pending_login::{self, Authorization, DoneLegs, LOGIN_LIFE, PendingLogin, Seed};
use crate::config::{Progress, Provider, ProviderId};
use crate::context::RequestContext;
use crate::decision::{Decision, Resolved};
use crate::endpoints::browser_error::{private, provider_failed};
use crate::error::DependencyError;
use crate::ports::Ports;
use crate::state::gateway::Gateway;
use crate::upstream::provider_error::Outage;
use crate::upstream::providers;

/// Sends the browser to the provider of the first leg, with the login in its cookie. `chosen` is
/// the provider that the user chose, which must be offered where there is a choice. Nothing is
/// stored and nothing is called: a request that comes before the provider's documents are known
/// waits for the root task to fetch them.
///
/// # Errors
/// [`DependencyError::Entropy`]. A provider that cannot be used is reported to the client.
pub fn start<P: Ports>(
    context: &RequestContext<'_, P>,
    seed: Seed,
    authorization: Authorization,
    consented_by: Option<UserId>,
    chosen: Option<ProviderId>,
) -> Result<Decision, DependencyError> {
    let all = &context.config().providers;
    let Progress::Next(leg) = all.progress(&[]) else { return Err(DependencyError::Internal) };
    let provider = all.at(leg, chosen).ok_or(DependencyError::Internal)?;
    let login = pending(context, authorization, consented_by, provider, chosen, None);
    let cookies = pending_login::cookies(&seed, Some(&login), context.request, context.config(), context.ports)?;
    let (id, asked) = (provider.id, login.request);
    let is_unknown = || context.gateway.provider_state(id, |state| state.is_unknown(context.now()));
    if !provider.has_documents() || !is_unknown() {
        return Ok(to_first(context.gateway, id, &seed, &asked, &cookies).into());
    }
    let gateway = Rc::clone(context.gateway);
    let decide = move || to_first(&gateway, id, &seed, &asked, &cookies);
    Ok(Decision::AwaitProvider { provider: id, decide: Box::new(decide) })
}

/// Where a login goes on.
pub struct Onward<'a> {
    /// The provider of the next leg.
    pub provider: &'a Provider,
    /// The `prompt` that it is asked with in place of the configured one.
    pub prompt: Option<&'a str>,
    /// The legs that are done.
    pub done: DoneLegs,
}

/// Sends the browser to the provider of the next leg, whose documents are known. `audit` is what is
/// known of the leg that is done.
///
/// # Errors
/// [`DependencyError`]. A provider that cannot be used is reported to the client.
pub fn go_on<P: Ports>(
    context: &RequestContext<'_, P>,
    onward: Onward<'_>,
    authorization: Authorization,
    chosen: Option<ProviderId>,
    audit: AuditFields,
) -> Result<Resolved, DependencyError> {
    let Onward { provider, prompt, done } = onward;
    let seed = Seed::new(context.ports)?;
    let login = pending(context, authorization, None, provider, chosen, Some(done));
    let cookies = pending_login::cookies(&seed, Some(&login), context.request, context.config(), context.ports)?;
    let audit = audit.decided(Reason::LoginContinued);
    Ok(to_provider(context.gateway, provider, &seed, (&login.request, prompt), &cookies, audit))
}

fn pending<P: Ports>(
    context: &RequestContext<'_, P>,
    request: Authorization,
    consented_by: Option<UserId>,
    provider: &Provider,
    chosen: Option<ProviderId>,
    done: Option<DoneLegs>,
) -> PendingLogin {
    let expires_at = context.now().saturating_add(LOGIN_LIFE);
    PendingLogin { request, consented_by, expires_at, provider: Some(provider.id), chosen, done }
}

fn to_first(gateway: &Gateway, id: ProviderId, seed: &Seed, asked: &Authorization, cookies: &[String]) -> Resolved {
    match gateway.config().providers.get(id) {
        Some(provider) => {
            let audit = asked.audited().decided(Reason::LoginStarted);
            to_provider(gateway, provider, seed, (asked, asked.prompt.as_deref()), cookies, audit)
        }
        None => provider_failed(gateway.config(), asked, &Outage::NoCluster.into()),
    }
}

fn to_provider(
    gateway: &Gateway,
    provider: &Provider,
    seed: &Seed,
    (asked, prompt): (&Authorization, Option<&str>),
    cookies: &[String],
    audit: Audit,
) -> Resolved {
    match providers::authorization_url(gateway, provider, seed, prompt) {
        Ok(location) => {
            let response = private(Response::see_other(&location));
            let response = cookies.iter().fold(response, |response, cookie| response.header("set-cookie", cookie));
            Resolved::Respond(response, audit)
        }
        Err(error) => provider_failed(gateway.config(), asked, &error),
    }
}
