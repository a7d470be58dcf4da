//! The discovery documents of providers and trusted issuers (OIDC Discovery §3), and their keys.

use std::borrow::Cow;
use std::rc::Rc;

use portcullis_protocol::jose::alg::Alg;
use portcullis_protocol::jose::keys::{JwkSet, JwkSetError};
use portcullis_protocol::json::foreign::{ForeignObject, ForeignValue};
use portcullis_protocol::url::web_url::WebUrl;

use crate::config::{IssuerSite, OidcProvider, OidcUserInfo, TrustedIssuer};
use crate::ports::Ports;
use crate::state::document_state::Documents;
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
    /// Where to ask for what an ID token does not say, if that is configured.
    pub(super) user_info: Option<Target>,
}

#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) discovery: Rc<Discovery>,
    pub(crate) keys: Rc<JwkSet>,
    pub(crate) fetched_at: u64,
}

impl Documents for Known {
    const RETRY_SECONDS: u64 = 10;

    fn fetched_at(&self) -> u64 {
        self.fetched_at
    }

    fn life(&self) -> u64 {
        MAX_LIFE_SECONDS
    }
}

/// The keys of a trusted issuer.
pub(crate) struct FetchedKeys {
    pub(crate) keys: Rc<JwkSet>,
    pub(crate) fetched_at: u64,
    life: u64,
}

impl Documents for FetchedKeys {
    /// A stranger who sends a token can cause a fetch, so there is one in this time.
    const RETRY_SECONDS: u64 = 30;

    fn fetched_at(&self) -> u64 {
        self.fetched_at
    }

    fn life(&self) -> u64 {
        self.life
    }
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
    let (keys, _) =
        fetch_keys(&discovery.jwks, ports).await.map_err(|error| (discovery.jwks.url(&provider.client), error))?;
    Ok(Known { discovery: Rc::new(discovery), keys: Rc::new(keys), fetched_at: ports.now() })
}

/// Fetches the keys of a trusted issuer, from where the configuration or its discovery document
/// says. What cannot be used is an error, so that it replaces nothing that can.
///
/// # Errors
/// The URL of the document that failed, and why.
pub(crate) async fn fetch_issuer_keys<P: Ports>(
    issuer: &TrustedIssuer,
    ports: &P,
) -> Result<FetchedKeys, (String, ProviderError)> {
    let site = &issuer.site;
    let url = match &issuer.jwks_url {
        Some(url) => url.clone(),
        None => {
            let document = Target {
                cluster: site.clusters.get(&site.authority).cloned().unwrap_or_default(),
                authority: site.authority.clone(),
                path: site.discovery_path.clone(),
            };
            let found = fetch_jwks_uri(site, &document, ports).await;
            found.map_err(|error| (document.url_over(site.plain_http), error))?
        }
    };
    let without_cluster = || (url.to_string(), ProviderError::EndpointWithoutCluster("jwks_uri"));
    let target = Target::through(&site.clusters, &url).ok_or_else(without_cluster)?;
    let (keys, max_age) =
        fetch_keys(&target, ports).await.map_err(|error| (target.url_over(!url.is_https()), error))?;
    let life = max_age.map_or(MAX_LIFE_SECONDS, |age| age.clamp(MIN_LIFE_SECONDS, MAX_LIFE_SECONDS));
    Ok(FetchedKeys { keys: Rc::new(keys), fetched_at: ports.now(), life })
}

async fn fetch_jwks_uri<P: Ports>(site: &IssuerSite, document: &Target, ports: &P) -> Result<WebUrl, ProviderError> {
    let reply = document.read(Document::Discovery, ports).await?;
    let members = Document::Discovery.members(&reply, &["issuer", "jwks_uri"])?;
    check_issuer(&members, &site.issuer, |issuer| issuer == site.issuer)?;
    endpoint(&members, "jwks_uri", endpoint_words!("jwks_uri"), site.plain_http)
}

async fn fetch_discovery<P: Ports>(
    provider: &OidcProvider,
    document: &Target,
    ports: &P,
) -> Result<Discovery, ProviderError> {
    let reply = document.read(Document::Discovery, ports).await?;
    read_discovery(provider, &Document::Discovery.members(&reply, &MEMBERS)?)
}

/// Returns the keys, and for how many seconds they may be kept, if the answer says.
async fn fetch_keys<P: Ports>(keys: &Target, ports: &P) -> Result<(JwkSet, Option<u64>), ProviderError> {
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
    Ok((keys, reply.max_age))
}

fn read_discovery(provider: &OidcProvider, document: &ForeignObject<'_>) -> Result<Discovery, ProviderError> {
    let is_named = |issuer: &str| match &provider.tenants {
        Some(tenants) => tenants.is_named(issuer),
        None => issuer == provider.issuer,
    };
    check_issuer(document, &provider.issuer, is_named)?;
    let url = |name: &str, words: [&'static str; 2]| endpoint(document, name, words, provider.client.plain_http);
    let target = |name: &'static str, words: [&'static str; 2]| {
        Target::at(&provider.client, &url(name, words)?).ok_or(ProviderError::EndpointWithoutCluster(name))
    };
    let authorization = url("authorization_endpoint", endpoint_words!("authorization_endpoint"))?;
    let token = target("token_endpoint", endpoint_words!("token_endpoint"))?;
    let jwks = target("jwks_uri", endpoint_words!("jwks_uri"))?;
    let user_info = match &provider.user_info {
        Some(OidcUserInfo::Discovered) => Some(target("userinfo_endpoint", endpoint_words!("userinfo_endpoint"))?),
        Some(OidcUserInfo::At(url)) => Target::at(&provider.client, url),
        None => None,
    };
    let algorithms = texts(document, "id_token_signing_alg_values_supported");
    if !algorithms.is_empty() && !algorithms.iter().any(|name| Alg::from_foreign_name(name).is_some()) {
        let reason = "the provider signs ID tokens with none of RS256, RS384, RS512, ES256, ES384 and EdDSA; Envoy does not \
                      verify PS256, PS384, PS512 and ES512";
        return Err(ProviderError::InvalidDocuments(reason));
    }
    let methods = texts(document, "token_endpoint_auth_methods_supported");
    Ok(Discovery {
        authorization_endpoint: authorization.to_string(),
        authentication: Method::choose(&provider.client, &methods)?,
        token,
        jwks,
        user_info,
    })
}

/// A document of another issuer would let it speak for this one (OIDC Discovery §4.3).
fn check_issuer(
    document: &ForeignObject<'_>,
    expected: &str,
    is_expected: impl Fn(&str) -> bool,
) -> Result<(), ProviderError> {
    match document.text("issuer") {
        Some(issuer) if is_expected(&issuer) => Ok(()),
        Some(issuer) => Err(ProviderError::WrongIssuer(other_issuer(&issuer, expected))),
        None => Err(ProviderError::InvalidDocuments("the discovery document has no `issuer`")),
    }
}

fn endpoint(
    document: &ForeignObject<'_>,
    name: &str,
    [absent, not_https]: [&'static str; 2],
    plain_http: bool,
) -> Result<WebUrl, ProviderError> {
    let text = document.text(name).ok_or(ProviderError::InvalidDocuments(absent))?;
    let url = WebUrl::parse(&text).ok().filter(|url| url.is_https() || plain_http);
    url.ok_or(ProviderError::InvalidDocuments(not_https))
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
const MEMBERS: [&str; 7] = [
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "userinfo_endpoint",
    "id_token_signing_alg_values_supported",
    "token_endpoint_auth_methods_supported",
];

/// How long documents are used at most before they are fetched again, in seconds.
const MAX_LIFE_SECONDS: u64 = 3_600;
/// How long the keys of a trusted issuer are used at least, in seconds, whatever their server says.
const MIN_LIFE_SECONDS: u64 = 300;
