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

/// Fetches the discovery document and the keys.
///
/// # Errors
/// The URL of the document that failed, and why.
pub(crate) async fn fetch_documents<P: Ports>(
    provider: &OidcProvider,
    ports: &P,
) -> Result<Known, (String, ProviderError)> {
    let document = Target {
        cluster: provider.clusters.get(&provider.authority).cloned().unwrap_or_default(),
        authority: provider.authority.clone(),
        path: provider.discovery_path.clone(),
    };
    let discovery =
        fetch_discovery(provider, &document, ports).await.map_err(|error| (document.url(provider), error))?;
    let keys = fetch_keys(&discovery.jwks, ports).await.map_err(|error| (discovery.jwks.url(provider), error))?;
    Ok(Known { discovery: Rc::new(discovery), keys: Rc::new(keys), fetched_at: ports.now() })
}

async fn fetch_discovery<P: Ports>(
    provider: &OidcProvider,
    document: &Target,
    ports: &P,
) -> Result<Discovery, ProviderError> {
    let document = read_object(&document.read(ports).await?);
    read_discovery(provider, &document.map_err(ProviderError::InvalidDocuments)?)
}

async fn fetch_keys<P: Ports>(keys: &Target, ports: &P) -> Result<JwkSet, ProviderError> {
    let keys = keys.read(ports).await?;
    JwkSet::parse(&keys.body).map_err(|_| ProviderError::InvalidDocuments("the key set is not one"))
}

fn read_discovery(provider: &OidcProvider, document: &Map<String, Value>) -> Result<Discovery, ProviderError> {
    let text = |name: &'static str| document.get(name).and_then(Value::as_str);
    // A document of another issuer would let it speak for this one (OIDC Discovery §4.3).
    if text("issuer") != Some(&provider.issuer) {
        return Err(ProviderError::WrongIssuer);
    }
    let authorization_endpoint = text("authorization_endpoint")
        .and_then(|endpoint| WebUrl::parse(endpoint).ok())
        .filter(|url| url.is_https() || provider.plain_http)
        .ok_or(ProviderError::InvalidDocuments("the discovery document has no https authorization_endpoint"))?;
    let target = |name: &'static str| {
        text(name)
            .and_then(|endpoint| WebUrl::parse(endpoint).ok())
            .and_then(|url| Target::at(provider, &url))
            .ok_or(ProviderError::EndpointWithoutCluster)
    };
    Ok(Discovery {
        authorization_endpoint: authorization_endpoint.to_string(),
        authentication: Method::choose(provider, document)?,
        token: target("token_endpoint")?,
        jwks: target("jwks_uri")?,
    })
}
