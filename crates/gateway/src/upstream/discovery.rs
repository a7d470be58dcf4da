//! The provider's discovery document (OIDC Discovery §3) and its keys.

use std::borrow::Cow;
use std::rc::Rc;

use portcullis_protocol::jose::alg::Alg;
use portcullis_protocol::jose::keys::{JwkSet, JwkSetError};
use portcullis_protocol::json::foreign::{ForeignObject, ForeignValue};
use portcullis_protocol::url::web_url::WebUrl;

use crate::config::OidcProvider;
use crate::ports::Ports;
use crate::upstream::client_authentication::Method;
use crate::upstream::endpoint::{Document, Target};
use crate::upstream::provider_error::ProviderError;

/// The words for an endpoint that is absent, and for one that is no https URL.
macro_rules! endpoint_words {
    ($name:literal) => {
        [
            concat!("the discovery document has no `", $name, "`"),
            concat!("the discovery document's `", $name, "` is not an https URL"),
        ]
    };
}

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

/// Fetches the discovery document and the keys. What cannot be used is an error, so that it
/// replaces nothing that can.
///
/// # Errors
/// The URL of the document that failed, and why.
pub(crate) async fn fetch_documents<P: Ports>(
    provider: &OidcProvider,
    ports: &P,
) -> Result<Known, (String, ProviderError)> {
    let document = Target {
        cluster: provider.client.clusters.get(&provider.authority).cloned().unwrap_or_default(),
        authority: provider.authority.clone(),
        path: provider.discovery_path.clone(),
    };
    let discovery =
        fetch_discovery(provider, &document, ports).await.map_err(|error| (document.url(&provider.client), error))?;
    let keys =
        fetch_keys(&discovery.jwks, ports).await.map_err(|error| (discovery.jwks.url(&provider.client), error))?;
    Ok(Known { discovery: Rc::new(discovery), keys: Rc::new(keys), fetched_at: ports.now() })
}

async fn fetch_discovery<P: Ports>(
    provider: &OidcProvider,
    document: &Target,
    ports: &P,
) -> Result<Discovery, ProviderError> {
    let reply = document.read(Document::Discovery, ports).await?;
    read_discovery(provider, &Document::Discovery.members(&reply, &MEMBERS)?)
}

async fn fetch_keys<P: Ports>(keys: &Target, ports: &P) -> Result<JwkSet, ProviderError> {
    let reply = keys.read(Document::KeySet, ports).await?;
    let keys = JwkSet::parse(&reply.body).map_err(|error| match error {
        JwkSetError::Json(error) => Document::KeySet.unreadable(&reply, error),
        JwkSetError::NotASet => ProviderError::InvalidDocuments("the key set has no array `keys`"),
        JwkSetError::TooManyKeys => ProviderError::InvalidDocuments("the key set has more than 64 keys"),
    })?;
    if keys.is_empty() {
        let reason = "the key set has no key that can be used: RSA of 2048 bits or more, P-256, P-384 or Ed25519";
        return Err(ProviderError::InvalidDocuments(reason));
    }
    Ok(keys)
}

fn read_discovery(provider: &OidcProvider, document: &ForeignObject<'_>) -> Result<Discovery, ProviderError> {
    // A document of another issuer would let it speak for this one (OIDC Discovery §4.3).
    match document.text("issuer") {
        Some(issuer) if issuer == provider.issuer => {}
        Some(issuer) => return Err(ProviderError::WrongIssuer(other_issuer(&issuer, &provider.issuer))),
        None => return Err(ProviderError::InvalidDocuments("the discovery document has no `issuer`")),
    }
    let url = |name: &str, [absent, not_https]: [&'static str; 2]| {
        let text = document.text(name).ok_or(ProviderError::InvalidDocuments(absent))?;
        let url = WebUrl::parse(&text).ok().filter(|url| url.is_https() || provider.client.plain_http);
        url.ok_or(ProviderError::InvalidDocuments(not_https))
    };
    let target = |name: &'static str, words: [&'static str; 2]| {
        Target::at(&provider.client, &url(name, words)?).ok_or(ProviderError::EndpointWithoutCluster(name))
    };
    let authorization = url("authorization_endpoint", endpoint_words!("authorization_endpoint"))?;
    let token = target("token_endpoint", endpoint_words!("token_endpoint"))?;
    let jwks = target("jwks_uri", endpoint_words!("jwks_uri"))?;
    let algorithms = texts(document, "id_token_signing_alg_values_supported");
    if !algorithms.is_empty() && !algorithms.iter().any(|name| Alg::from_foreign_name(name).is_some()) {
        let reason = "the provider signs ID tokens with none of RS256, RS384, RS512, ES256, ES384 and EdDSA";
        return Err(ProviderError::InvalidDocuments(reason));
    }
    let methods = texts(document, "token_endpoint_auth_methods_supported");
    Ok(Discovery {
        authorization_endpoint: authorization.to_string(),
        authentication: Method::choose(&provider.client, &methods)?,
        token,
        jwks,
    })
}

/// How the issuer of a discovery document differs from the configured one.
fn other_issuer(named: &str, configured: &str) -> &'static str {
    let without_slash = |issuer: &str| issuer.strip_suffix('/').unwrap_or(issuer).to_owned();
    if without_slash(named) == without_slash(configured) {
        "the discovery document's `issuer` and `issuerUrl` differ in a slash at their end: write it as the provider does"
    } else {
        "the discovery document's `issuer` is another one than `issuerUrl`"
    }
}

/// The strings of an array; a member that is none says nothing.
fn texts<'a>(document: &ForeignObject<'a>, name: &str) -> Vec<Cow<'a, str>> {
    let items = document.get(name).and_then(ForeignValue::items);
    items.into_iter().flatten().filter_map(ForeignValue::text).collect()
}

/// The members that are read of the document.
const MEMBERS: [&str; 6] = [
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "id_token_signing_alg_values_supported",
    "token_endpoint_auth_methods_supported",
];
