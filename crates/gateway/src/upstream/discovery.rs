//! The provider's discovery document (OIDC Discovery §3) and its keys.

use std::rc::Rc;

use portcullis_protocol::jose::keys::JwkSet;
use portcullis_protocol::url::web_url::WebUrl;
use serde_json::{Map, Value};

use crate::config::OidcProvider;
use crate::ports::Ports;
use crate::upstream::client_authentication::Method;
use crate::upstream::endpoint::{Target, read_object};
use crate::upstream::provider_error::ProviderError;

/// What the provider's discovery document says (OIDC Discovery §3).
pub struct Discovery {
    /// Where browsers log in.
    pub authorization_endpoint: String,
    pub(super) authentication: Method,
    pub(super) token: Target,
    pub(super) jwks: Target,
}

#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) discovery: Rc<Discovery>,
    pub(crate) keys: Rc<JwkSet>,
    pub(crate) fetched_at: u64,
}

pub(crate) async fn fetch_documents<P: Ports>(provider: &OidcProvider, ports: &P) -> Result<Known, ProviderError> {
    let document = Target {
        cluster: provider.clusters.get(&provider.authority).cloned().unwrap_or_default(),
        authority: provider.authority.clone(),
        path: provider.discovery_path.clone(),
    };
    let discovery = Rc::new(read_discovery(provider, &read_object(&document.read(ports).await?)?)?);
    let keys = discovery.jwks.read(ports).await?;
    let keys = JwkSet::parse(&keys.body).map_err(|_| ProviderError::NotUnderstood("the key set is not one"))?;
    Ok(Known { discovery, keys: Rc::new(keys), fetched_at: ports.now() })
}

fn read_discovery(provider: &OidcProvider, document: &Map<String, Value>) -> Result<Discovery, ProviderError> {
    let text = |name: &'static str| document.get(name).and_then(Value::as_str);
    // A document of another issuer would let it speak for this one (OIDC Discovery §4.3).
    if text("issuer") != Some(&provider.issuer) {
        return Err(ProviderError::NotUnderstood("the discovery document names another issuer"));
    }
    let authorization_endpoint = text("authorization_endpoint")
        .and_then(|endpoint| WebUrl::parse(endpoint).ok())
        .filter(|url| url.is_https() || provider.plain_http)
        .ok_or(ProviderError::NotUnderstood("the discovery document has no https authorization_endpoint"))?;
    let target = |name: &'static str| {
        text(name)
            .and_then(|endpoint| WebUrl::parse(endpoint).ok())
            .and_then(|url| Target::at(provider, &url))
            .ok_or(ProviderError::Misconfigured("an endpoint of the provider lies at a host without a cluster"))
    };
    Ok(Discovery {
        authorization_endpoint: authorization_endpoint.to_string(),
        authentication: Method::choose(provider, document)?,
        token: target("token_endpoint")?,
        jwks: target("jwks_uri")?,
    })
}
