//! The identity provider's section.

use std::rc::Rc;

use portcullis_protocol::crypto::digest::digest_parts;
use portcullis_protocol::crypto::secret::Secret;

use super::compiler::Compiler;
use super::document::{ClientAuthentication, OidcConfig, UpstreamProvider};
use super::issuer_site::{IssuerSite, clusters};

/// The identity providers, in the document's order. Empty only where there is no authorization
/// server.
pub struct Providers(Vec<Provider>);

impl Providers {
    /// The provider that users log in at; `None` only where there is no authorization server.
    #[must_use]
    pub fn login(&self) -> Option<&Provider> {
        self.0.first()
    }

    /// Every provider, in the document's order.
    pub fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.0.iter()
    }

    /// Returns the provider with this id; `None` if the configuration no longer has it.
    #[must_use]
    pub fn get(&self, id: ProviderId) -> Option<&Provider> {
        self.iter().find(|provider| provider.id == id)
    }
}

/// An identity provider, ready to be called.
pub struct Provider {
    /// The name that resources refer to.
    pub name: Rc<str>,
    /// What its tokens are stored under.
    pub id: ProviderId,
    /// The protocol that it speaks.
    pub kind: ProviderKind,
}

/// The protocol of a provider, with its settings.
pub enum ProviderKind {
    /// OpenID Connect.
    Oidc(OidcProvider),
}

impl Provider {
    /// What tells its users from those of other providers: the issuer of an OpenID Connect
    /// provider, exactly as configured.
    #[must_use]
    pub fn issuer(&self) -> &str {
        match &self.kind {
            ProviderKind::Oidc(oidc) => &oidc.site.issuer,
        }
    }

    /// Returns the life of an access token of which it says nothing, in seconds.
    #[must_use]
    pub const fn default_token_life(&self) -> u64 {
        match &self.kind {
            ProviderKind::Oidc(oidc) => oidc.default_token_life,
        }
    }
}

/// An OpenID Connect provider.
pub struct OidcProvider {
    /// Where its documents are, and its name.
    pub site: IssuerSite,
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
    /// The life of an access token of which it says nothing, in seconds.
    pub default_token_life: u64,
    /// Further parameters of the authorization request.
    pub extra_parameters: Vec<(String, String)>,
}

/// An id that tells the tokens of one provider from those of another among the records of a
/// session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderId([u8; 16]);

impl ProviderId {
    /// Derives the id from the provider's name in the configuration and its issuer: half a digest
    /// of both. A name that is given to another provider is another id, so that no token ever goes
    /// to a provider that did not issue it.
    #[must_use]
    pub fn of(name: &str, issuer: &str) -> Self {
        let mut id = [0; 16];
        let digest = digest_parts(&[name.as_bytes(), issuer.as_bytes()]);
        id.iter_mut().zip(digest.as_bytes()).for_each(|(byte, digest)| *byte = *digest);
        Self(id)
    }

    /// Reads the bytes that [`ProviderId::as_bytes`] returns.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id as it stands in a record's key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
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

impl Compiler<'_> {
    pub(super) fn providers(&mut self, written: &[UpstreamProvider], development: bool) -> Option<Providers> {
        let compiled: Vec<Option<Provider>> = written
            .iter()
            .enumerate()
            .map(|(index, provider)| self.provider(&format!("upstreamProviders[{index}]"), provider, development))
            .collect();
        if written.len() > 1 {
            return self.problem("upstreamProviders", "exactly one provider is supported");
        }
        compiled.into_iter().collect::<Option<Vec<_>>>().map(Providers)
    }

    fn provider(&mut self, path: &str, written: &UpstreamProvider, development: bool) -> Option<Provider> {
        if !is_dns_label(&written.name) {
            self.problem::<()>(&format!("{path}.name"), "must be a DNS label: a-z, 0-9 and '-', at most 63");
        }
        let oidc = self.oidc(&format!("{path}.oidcConfig"), &written.oidc_config, development)?;
        let id = ProviderId::of(&written.name, &oidc.site.issuer);
        Some(Provider { name: Rc::from(written.name.as_str()), id, kind: ProviderKind::Oidc(oidc) })
    }

    fn oidc(&mut self, path: &str, written: &OidcConfig, development: bool) -> Option<OidcProvider> {
        let issuer = self.other_issuer(&format!("{path}.issuerUrl"), &written.issuer_url, development);
        let client_secret = match &written.client_secret {
            Some(reference) => self.client_secret(&format!("{path}.clientSecret"), reference, development).map(Some),
            None => Some(None),
        };
        self.check_oidc_fields(path, written);
        let default_token_life =
            self.duration(&format!("{path}.defaultTokenLifespan"), &written.default_token_lifespan, 60, 30 * 24 * 3600);
        let (issuer, client_secret, default_token_life) = (issuer?, client_secret?, default_token_life?);
        let clusters = clusters(&written.clusters, issuer.authority(), &written.cluster);
        Some(OidcProvider {
            site: IssuerSite::new(&written.issuer_url, &issuer, clusters),
            client_id: written.client_id.clone(),
            client_secret,
            client_authentication: written.client_authentication,
            scope: written.scopes.join(" "),
            subject_claim: written.subject_claim.clone(),
            default_token_life,
            extra_parameters: written.additional_authorization_params.clone().into_iter().collect(),
        })
    }

    fn check_oidc_fields(&mut self, path: &str, oidc: &OidcConfig) {
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
