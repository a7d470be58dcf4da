//! The way from a checked and consented authorization request to the identity provider.

use std::rc::Rc;

use portcullis_protocol::credentials::UserId;
use portcullis_protocol::http::message::Response;

use crate::audit::Reason;
use crate::browser::pending_login::{self, Authorization, LOGIN_LIFE, PendingLogin, Seed};
use crate::context::RequestContext;
use crate::decision::{Decision, Resolved};
use crate::endpoints::browser_error::{private, provider_failed};
use crate::error::DependencyError;
use crate::ports::Ports;
use crate::state::gateway::Gateway;
use crate::upstream::provider_error::Outage;
use crate::upstream::providers;

/// Sends the browser to the provider, with the login in its cookie. Nothing is stored and nothing
/// is called: a request that comes before the provider's documents are known waits for the root
/// task to fetch them.
///
/// # Errors
/// [`DependencyError::Entropy`]. A provider that cannot be used is reported to the client.
pub fn start<P: Ports>(
    context: &RequestContext<'_, P>,
    seed: Seed,
    authorization: Authorization,
    consented_by: Option<UserId>,
) -> Result<Decision, DependencyError> {
    let expires_at = context.now().saturating_add(LOGIN_LIFE);
    let login = PendingLogin { request: authorization, consented_by, expires_at };
    let cookies = pending_login::cookies(&seed, Some(&login), context.request, context.config(), context.ports)?;
    let provider = context.config().providers.login().ok_or(DependencyError::Internal)?;
    let is_unknown = || context.gateway.provider_state(provider.id, |state| state.is_unknown(context.now()));
    if !provider.has_documents() || !is_unknown() {
        return Ok(to_provider(context.gateway, &seed, &login.request, &cookies).into());
    }
    let gateway = Rc::clone(context.gateway);
    let decide = move || to_provider(&gateway, &seed, &login.request, &cookies);
    Ok(Decision::AwaitProvider { decide: Box::new(decide) })
}

fn to_provider(gateway: &Gateway, seed: &Seed, asked: &Authorization, cookies: &[String]) -> Resolved {
    let Some(provider) = gateway.config().providers.login() else {
        return provider_failed(gateway.config(), asked, &Outage::NoCluster.into());
    };
    match providers::authorization_url(gateway, provider, seed, asked.prompt.as_deref()) {
        Ok(location) => {
            let response = private(Response::see_other(&location));
            let response = cookies.iter().fold(response, |response, cookie| response.header("set-cookie", cookie));
            Resolved::Respond(response, asked.audited().decided(Reason::LoginStarted))
        }
        Err(error) => provider_failed(gateway.config(), asked, &error),
    }
}
