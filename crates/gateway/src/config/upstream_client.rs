//! The gateway as a client of an identity provider, whatever protocol that speaks.

use std::collections::BTreeMap;

use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::jose::keys::SigningKey;
use portcullis_protocol::url::web_url::WebUrl;

use super::compiler::{Compiler, is_loopback_http};
use super::document::{AssertionAudience, ClientAuthentication, OAuth2Config, OidcConfig, SecretRef};

/// The gateway as a client of a provider, and where it may call it.
pub struct UpstreamClient {
    /// Our client id there.
    pub client_id: String,
    /// Our client secret there.
    pub client_secret: Option<Secret<String>>,
    /// Our private key there.
    pub key: Option<ClientKey>,
    /// How we use them there.
    pub authentication: ClientAuthentication,
    /// The scopes we ask for, space-separated; may be empty.
    pub scope: String,
    /// The life of an access token of which it says nothing, in seconds.
    pub default_token_life: u64,
    /// Further parameters of the authorization request.
    pub extra_parameters: Vec<(String, String)>,
    /// Further parameters of the token requests.
    pub extra_token_parameters: Vec<(String, String)>,
    /// Which cluster leads to which authority (`host` or `host:port`, lower case). Nothing else is
    /// ever called.
    pub clusters: BTreeMap<String, String>,
    /// Whether its endpoints may be plain http: only on loopback in development.
    pub plain_http: bool,
}

/// The key of a client that proves itself with what it signs (`private_key_jwt`).
pub struct ClientKey {
    /// The key.
    pub key: SigningKey,
    /// Its id at the provider.
    pub id: String,
    /// The audience of what it signs, where it is configured.
    pub audience: Option<AssertionAudience>,
}

/// What both kinds of providers have in their sections.
pub(super) struct WrittenClient<'a> {
    pub(super) client_id: &'a str,
    pub(super) client_secret: Option<&'a SecretRef>,
    pub(super) client_key: Option<&'a SecretRef>,
    pub(super) client_key_id: Option<&'a str>,
    pub(super) assertion_audience: Option<AssertionAudience>,
    pub(super) authentication: ClientAuthentication,
    pub(super) cluster: &'a str,
    pub(super) scopes: &'a [String],
    pub(super) default_token_lifespan: &'a str,
    pub(super) extra_parameters: &'a BTreeMap<String, String>,
    pub(super) extra_token_parameters: &'a BTreeMap<String, String>,
}

impl<'a> From<&'a OidcConfig> for WrittenClient<'a> {
    fn from(written: &'a OidcConfig) -> Self {
        Self {
            client_id: &written.client_id,
            client_secret: written.client_secret.as_ref(),
            client_key: written.client_key.as_ref(),
            client_key_id: written.client_key_id.as_deref(),
            assertion_audience: written.client_assertion_audience,
            authentication: written.client_authentication,
            cluster: &written.cluster,
            scopes: &written.scopes,
            default_token_lifespan: &written.default_token_lifespan,
            extra_parameters: &written.additional_authorization_params,
            extra_token_parameters: &written.additional_token_params,
        }
    }
}

impl<'a> From<&'a OAuth2Config> for WrittenClient<'a> {
    fn from(written: &'a OAuth2Config) -> Self {
        Self {
            client_id: &written.client_id,
            client_secret: written.client_secret.as_ref(),
            client_key: written.client_key.as_ref(),
            client_key_id: written.client_key_id.as_deref(),
            assertion_audience: written.client_assertion_audience,
            authentication: written.client_authentication,
            cluster: &written.cluster,
            scopes: &written.scopes,
            default_token_lifespan: &written.default_token_lifespan,
            extra_parameters: &written.additional_authorization_params,
            extra_token_parameters: &written.additional_token_params,
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
        let key = self.client_key(path, written, development);
        let needs = match written.authentication {
            ClientAuthentication::Basic | ClientAuthentication::Post if written.client_secret.is_none() => {
                Some("needs a clientSecret")
            }
            ClientAuthentication::PrivateKeyJwt if written.client_key.is_none() => Some("needs a clientKey"),
            ClientAuthentication::TlsClientAuth if written.client_secret.is_some() || written.client_key.is_some() => {
                Some("needs neither clientSecret nor clientKey: leave them out")
            }
            ClientAuthentication::Auto
            | ClientAuthentication::Basic
            | ClientAuthentication::Post
            | ClientAuthentication::PrivateKeyJwt
            | ClientAuthentication::TlsClientAuth => None,
        };
        if let Some(what) = needs {
            self.problem::<()>(&format!("{path}.clientAuthentication"), what);
        }
        self.cluster_name(&format!("{path}.cluster"), written.cluster);
        let scopes = self.scopes(&format!("{path}.scopes"), written.scopes);
        for name in written.extra_parameters.keys().filter(|name| RESERVED_PARAMETERS.contains(&name.as_str())) {
            let path = format!("{path}.additionalAuthorizationParams.{name}");
            self.problem::<()>(&path, "is set by the gateway itself");
        }
        for name in written.extra_token_parameters.keys() {
            let path = format!("{path}.additionalTokenParams.{name}");
            if RESERVED_TOKEN_PARAMETERS.contains(&name.as_str()) {
                self.problem::<()>(&path, "is set by the gateway itself");
            }
        }
        let life = format!("{path}.defaultTokenLifespan");
        let default_token_life = self.duration(&life, written.default_token_lifespan, 60, 30 * 24 * 3600);
        let (server, client_secret, key) = (server?, client_secret?, key?);
        scopes?;
        Some(UpstreamClient {
            client_id: written.client_id.to_owned(),
            client_secret,
            key,
            authentication: written.authentication,
            scope: written.scopes.join(" "),
            default_token_life: default_token_life?,
            extra_parameters: written.extra_parameters.clone().into_iter().collect(),
            extra_token_parameters: written.extra_token_parameters.clone().into_iter().collect(),
            clusters: BTreeMap::from([(server.authority(), written.cluster.to_owned())]),
            plain_http: !server.is_https(),
        })
    }

    /// Compiles the client's key: inside `None` where there is none.
    fn client_key(&mut self, path: &str, written: &WrittenClient<'_>, development: bool) -> Option<Option<ClientKey>> {
        let Some(reference) = written.client_key else {
            for (field, is_there) in [
                ("clientKeyId", written.client_key_id.is_some()),
                ("clientAssertionAudience", written.assertion_audience.is_some()),
            ] {
                if is_there {
                    self.problem::<()>(&format!("{path}.{field}"), "needs a clientKey");
                }
            }
            return Some(None);
        };
        let is_id =
            |id: &str| (1..=MAX_KEY_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        if !written.client_key_id.is_none_or(is_id) {
            let what = format!("must be 1 to {MAX_KEY_ID_BYTES} printable ASCII characters without spaces");
            return self.problem(&format!("{path}.clientKeyId"), what);
        }
        let path = format!("{path}.clientKey");
        let pem = self.one_secret(&path, reference, development)?;
        match SigningKey::from_pem(pem.expose()) {
            Ok(key) => {
                let id = written.client_key_id.unwrap_or(key.kid()).to_owned();
                Some(Some(ClientKey { key, id, audience: written.assertion_audience }))
            }
            Err(error) => self.problem(&path, error.to_string()),
        }
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

/// What the gateway itself puts into token requests (RFC 6749 §4.1.3 and §6, RFC 7521 §4.2, RFC
/// 7636).
const RESERVED_TOKEN_PARAMETERS: [&str; 9] = [
    "grant_type",
    "code",
    "redirect_uri",
    "code_verifier",
    "refresh_token",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
];

/// The longest id of a key, in bytes.
const MAX_KEY_ID_BYTES: usize = 256;
