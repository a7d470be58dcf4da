//! What the authorization requests to all providers have in common (RFC 6749 §4.1.1).

use crate::config::UpstreamClient;
use crate::routing::endpoint_table::Endpoint;
use crate::state::gateway::Gateway;

/// The gateway's redirect URI at every provider.
pub(super) fn callback_url(gateway: &Gateway) -> String {
    Endpoint::Callback.below(&gateway.config().issuer.url)
}

/// The configured parameters; `prompt` replaces the configured one.
pub(super) fn further_parameters<'a>(
    client: &'a UpstreamClient,
    prompt: Option<&'a str>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let configured = client.extra_parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let configured = configured.filter(move |(name, _)| prompt.is_none() || *name != "prompt");
    configured.chain(prompt.map(|prompt| ("prompt", prompt)))
}
