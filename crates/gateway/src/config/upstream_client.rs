//! The gateway as a client of an identity provider, whatever protocol that speaks.

use std::collections::BTreeMap;

use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::url::web_url::WebUrl;

use super::compiler::{Compiler, is_loopback_http};
use super::document::{ClientAuthentication, OAuth2Config, OidcConfig, SecretRef};

/// The gateway as a client of a provider, and where it may call it.
pub struct UpstreamClient {
    /// Our client id there.
    pub client_id: String,
    /// Our client secret there.
    pub client_secret: Option<Secret<String>>,
    /// How we use it there.
    pub authentication: ClientAuthentication,
    /// The scopes we ask for, space-separated; may be empty.
    pub scope: String,
    /// The life of an access token of which it says nothing, in seconds.
    pub default_token_life: u64,
    /// Further parameters of the authorization request.
    pub extra_parameters: Vec<(String, String)>,
    /// Which cluster leads to which authority (`host` or `host:port`, lower case). Nothing else is
    /// ever called.
    pub clusters: BTreeMap<String, String>,
    /// Whether its endpoints may be plain http: only on loopback in development.
    pub plain_http: bool,
}

/// What both kinds of providers have in their sections.
pub(super) struct WrittenClient<'a> {
    pub(super) client_id: &'a str,
    pub(super) client_secret: Option<&'a SecretRef>,
    pub(super) authentication: ClientAuthentication,
    pub(super) cluster: &'a str,
    pub(super) scopes: &'a [String],
    pub(super) default_token_lifespan: &'a str,
    pub(super) extra_parameters: &'a BTreeMap<String, String>,
}

impl<'a> From<&'a OidcConfig> for WrittenClient<'a> {
    fn from(written: &'a OidcConfig) -> Self {
        Self {
            client_id: &written.client_id,
            client_secret: written.client_secret.as_ref(),
            authentication: written.client_authentication,
            cluster: &written.cluster,
            scopes: &written.scopes,
            default_token_lifespan: &written.default_token_lifespan,
            extra_parameters: &written.additional_authorization_params,
        }
    }
}

impl<'a> From<&'a OAuth2Config> for WrittenClient<'a> {
    fn from(written: &'a OAuth2Config) -> Self {
        Self {
            client_id: &written.client_id,
            client_secret: written.client_secret.as_ref(),
            authentication: written.client_authentication,
            cluster: &written.cluster,
            scopes: &written.scopes,
            default_token_lifespan: &written.default_token_lifespan,
            extra_parameters: &written.additional_authorization_params,
        }
    }
}

impl Compiler<'_> {
    /// Compiles what every provider's section at `path` has. Its cluster leads to the host of
    /// `server`, `None` where that is not known; no other host is in `clusters` yet.
    pub(super) fn upstream_client(
        &mut self,
        path: &str,
        written: &WrittenClient<'_>,
        server: Option<&WebUrl>,
        development: bool,
    ) -> Option<UpstreamClient> {
        let client_secret = match written.client_secret {
            Some(reference) => self.one_secret(&format!("{path}.clientSecret"), reference, development).map(Some),
            None => Some(None),
        };
        if written.client_id.is_empty() {
            self.problem::<()>(&format!("{path}.clientId"), "must not be empty");
        }
        if written.client_secret.is_none() && written.authentication != ClientAuthentication::Auto {
            self.problem::<()>(&format!("{path}.clientAuthentication"), "needs a clientSecret");
        }
        self.cluster_name(&format!("{path}.cluster"), written.cluster);
        let scopes = self.scopes(&format!("{path}.scopes"), written.scopes);
        for name in written.extra_parameters.keys().filter(|name| RESERVED_PARAMETERS.contains(&name.as_str())) {
            let path = format!("{path}.additionalAuthorizationParams.{name}");
            self.problem::<()>(&path, "is set by the gateway itself");
        }
        let life = format!("{path}.defaultTokenLifespan");
        let default_token_life = self.duration(&life, written.default_token_lifespan, 60, 30 * 24 * 3600);
        let (server, client_secret) = (server?, client_secret?);
        scopes?;
        Some(UpstreamClient {
            client_id: written.client_id.to_owned(),
            client_secret,
            authentication: written.authentication,
            scope: written.scopes.join(" "),
            default_token_life: default_token_life?,
            extra_parameters: written.extra_parameters.clone().into_iter().collect(),
            clusters: BTreeMap::from([(server.authority(), written.cluster.to_owned())]),
            plain_http: !server.is_https(),
        })
    }

    /// Checks a URL of a provider: its issuer, or an endpoint.
    pub(super) fn provider_url(&mut self, path: &str, url: WebUrl, development: bool) -> Option<WebUrl> {
        if url.is_https() || (development && is_loopback_http(&url)) {
            return Some(url);
        }
        self.problem(path, "must be https; http is only for loopback with \"development\": true")
    }

    pub(super) fn cluster_name(&mut self, path: &str, name: &str) {
        if name.is_empty() {
            self.problem::<()>(path, "must name Envoy's cluster for the provider's host");
        }
    }
}

/// What the gateway itself puts into the authorization request (OIDC Core §3.1.2.1, RFC 7636).
const RESERVED_PARAMETERS: [&str; 9] = [
    "response_type",
    "response_mode",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
];
