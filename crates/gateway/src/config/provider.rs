//! The identity provider's section.

use std::collections::BTreeMap;
use std::rc::Rc;

use portcullis_protocol::crypto::digest::digest_parts;
use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::url::web_url::WebUrl;

use super::compiler::{Compiler, is_loopback_http};
use super::document::{ClientAuthentication, OidcConfig, UpstreamProvider};

/// An OpenID Connect provider, ready to be called.
pub struct Provider {
    /// The name that resources refer to.
    pub name: Rc<str>,
    /// What its tokens are stored under, by that name.
    pub id: ProviderId,
    /// The issuer identifier, exactly as configured and as its documents must state it.
    pub issuer: String,
    /// The path and query of its discovery document.
    pub discovery_path: String,
    /// Which cluster leads to which authority (`host` or `host:port`, lower case). Nothing else is
    /// ever called.
    pub clusters: BTreeMap<String, String>,
    /// The issuer's own authority.
    pub authority: String,
    /// Our client id there.
    pub client_id: String,
    /// Our client secret there.
    pub client_secret: Option<Secret<String>>,
    /// How we use it there.
    pub client_authentication: ClientAuthentication,
    /// The scopes we ask for, space-separated.
    pub scope: String,
    /// The claim that names the user.
    pub subject_claim: String,
    /// Further parameters of the authorization request.
    pub extra_parameters: Vec<(String, String)>,
    /// Whether its endpoints may be plain http: only when the issuer itself is, on loopback in
    /// development.
    pub plain_http: bool,
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

impl Compiler<'_> {
    pub(super) fn provider(&mut self, written: &[UpstreamProvider], development: bool) -> Option<Provider> {
        let [only] = written else {
            return match written {
                [] => None,
                _ => self.problem("upstreamProviders", "exactly one provider is supported"),
            };
        };
        let path = "upstreamProviders[0]";
        if !is_dns_label(&only.name) {
            self.problem::<()>(&format!("{path}.name"), "must be a DNS label: a-z, 0-9 and '-', at most 63");
        }
        let oidc = &only.oidc_config;
        let path = format!("{path}.oidcConfig");
        let issuer = self.provider_issuer(&format!("{path}.issuerUrl"), &oidc.issuer_url, development);
        let client_secret = match &oidc.client_secret {
            Some(reference) => self.client_secret(&format!("{path}.clientSecret"), reference, development).map(Some),
            None => Some(None),
        };
        self.check_provider_fields(&path, oidc);
        let (issuer, client_secret) = (issuer?, client_secret?);
        let authority = issuer.authority();
        let mut clusters = BTreeMap::new();
        clusters.extend(oidc.clusters.iter().map(|(host, cluster)| (host.to_ascii_lowercase(), cluster.clone())));
        clusters.insert(authority.clone(), oidc.cluster.clone());
        Some(Provider {
            name: Rc::from(only.name.as_str()),
            id: ProviderId::of(&only.name),
            issuer: oidc.issuer_url.clone(),
            discovery_path: format!("{}/.well-known/openid-configuration", issuer.path().trim_end_matches('/')),
            clusters,
            authority,
            client_id: oidc.client_id.clone(),
            client_secret,
            client_authentication: oidc.client_authentication,
            scope: oidc.scopes.join(" "),
            subject_claim: oidc.subject_claim.clone(),
            extra_parameters: oidc.additional_authorization_params.clone().into_iter().collect(),
            plain_http: !issuer.is_https(),
        })
    }

    fn provider_issuer(&mut self, path: &str, text: &str, development: bool) -> Option<WebUrl> {
        let url = self.web_url(path, text)?;
        if url.is_https() || (development && is_loopback_http(&url)) {
            return Some(url);
        }
        self.problem(path, "must be https; http is only for loopback with \"development\": true")
    }

    fn check_provider_fields(&mut self, path: &str, oidc: &OidcConfig) {
        if oidc.client_id.is_empty() {
            self.problem::<()>(&format!("{path}.clientId"), "must not be empty");
        }
        if oidc.client_secret.is_none() && oidc.client_authentication != ClientAuthentication::Auto {
            self.problem::<()>(&format!("{path}.clientAuthentication"), "needs a clientSecret");
        }
        if oidc.cluster.is_empty() {
            self.problem::<()>(&format!("{path}.cluster"), "must name Envoy's cluster for the issuer's host");
        }
        if self.scopes(&format!("{path}.scopes"), &oidc.scopes).is_some() && !oidc.scopes.iter().any(|s| s == "openid")
        {
            self.problem::<()>(&format!("{path}.scopes"), "must contain \"openid\": without it there is no ID token");
        }
        for name in oidc.additional_authorization_params.keys() {
            if RESERVED_PARAMETERS.contains(&name.as_str()) {
                self.problem::<()>(
                    &format!("{path}.additionalAuthorizationParams.{name}"),
                    "is set by the gateway itself",
                );
            }
        }
    }
}

fn is_dns_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

/// Distinguishes the tokens of one provider from those of another among the records of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProviderId([u8; 16]);

impl ProviderId {
    /// By the provider's name in the configuration: half a digest of it.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let mut id = [0; 16];
        id.iter_mut().zip(digest_parts(&[name.as_bytes()]).as_bytes()).for_each(|(byte, digest)| *byte = *digest);
        Self(id)
    }

    /// The id as it stands in a record's key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}
