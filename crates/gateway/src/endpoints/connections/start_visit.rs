//! The way to a provider that a user signs in at for the page, or connects.

use std::rc::Rc;

use portcullis_protocol::http::message::Response;

use crate::audit::Audit;
use crate::browser::pending_login::Seed;
use crate::browser::pending_visit::{self, PendingVisit, VisitPurpose};
use crate::config::{Provider, ProviderId};
use crate::context::RequestContext;
use crate::decision::{Decision, Resolved};
use crate::endpoints::browser_error::private;
use crate::endpoints::connections::error::ConnectionsError;
use crate::error::DependencyError;
use crate::ports::Ports;
use crate::state::gateway::Gateway;
use crate::upstream::provider_error::Outage;
use crate::upstream::providers;

/// Sends the browser to a provider, with the visit in its cookie. Nothing is stored and nothing is
/// called: a request that comes before the provider's documents are known waits for the root task
/// to fetch them.
///
/// # Errors
/// [`DependencyError::Entropy`]. A provider that cannot be used is said on a page.
pub(super) fn start<P: Ports>(
    context: &RequestContext<'_, P>,
    provider: &Provider,
    purpose: VisitPurpose,
    prompt: Option<&str>,
    audit: Audit,
) -> Result<Decision, DependencyError> {
    let seed = Seed::new(context.ports)?;
    let visit = PendingVisit::new(purpose, provider.id, context.now());
    let cookies = pending_visit::cookies(&seed, &visit, context.request, context.config(), context.ports)?;
    let is_unknown = || context.gateway.provider_state(provider.id, |state| state.is_unknown(context.now()));
    if !provider.has_documents() || !is_unknown() {
        return Ok(to_provider(context.gateway, provider.id, &seed, prompt, &cookies, audit).into());
    }
    let (gateway, id, prompt) = (Rc::clone(context.gateway), provider.id, prompt.map(str::to_owned));
    let decide = move || to_provider(&gateway, id, &seed, prompt.as_deref(), &cookies, audit);
    Ok(Decision::AwaitProvider { provider: provider.id, decide: Box::new(decide) })
}

fn to_provider(
    gateway: &Gateway,
    provider: ProviderId,
    seed: &Seed,
    prompt: Option<&str>,
    cookies: &[String],
    audit: Audit,
) -> Resolved {
    let location = match gateway.config().providers.get(provider) {
        Some(provider) => providers::authorization_url(gateway, provider, seed, prompt),
        None => Err(Outage::NoCluster.into()),
    };
    match location {
        Ok(location) => {
            let response = private(Response::see_other(&location));
            let response = cookies.iter().fold(response, |response, cookie| response.header("set-cookie", cookie));
            Resolved::Respond(response, audit)
        }
        Err(error) => ConnectionsError::Provider(error).reply(gateway.config()),
    }
}
