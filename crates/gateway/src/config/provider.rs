//! An identity provider.

use std::rc::Rc;

use portcullis_protocol::crypto::digest::digest_parts;

use super::compiler::Compiler;
use super::document::{LoginMode, ProviderType, UpstreamProvider};
use super::oauth2_provider::OAuth2Provider;
use super::oidc_provider::OidcProvider;
use super::upstream_client::UpstreamClient;

/// An identity provider, ready to be called.
pub struct Provider {
    /// The name that resources refer to.
    pub name: Rc<str>,
    /// The name that users read.
    pub display_name: Rc<str>,
    /// Its part in a login.
    pub login: LoginMode,
    /// What its tokens are stored under.
    pub id: ProviderId,
    /// The protocol that it speaks.
    pub kind: ProviderKind,
}

/// The protocol of a provider, with its settings.
pub enum ProviderKind {
    /// OpenID Connect.
    Oidc(Box<OidcProvider>),
    /// OAuth 2.0 without discovery.
    OAuth2(Box<OAuth2Provider>),
}

impl Provider {
    /// What tells its users from those of other providers, exactly as configured: an OpenID Connect
    /// provider's issuer, and the authorization endpoint of a provider that has none.
    #[must_use]
    pub fn account_space(&self) -> &str {
        match &self.kind {
            ProviderKind::Oidc(oidc) => &oidc.issuer,
            ProviderKind::OAuth2(oauth2) => &oauth2.authorization_endpoint,
        }
    }

    /// Its issuer identifier, which an answer of its authorization endpoint may name (RFC 9207 §2);
    /// `None` for a provider that has none, or that is many.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        match &self.kind {
            // Which tenant answers is not known before the ID token says.
            ProviderKind::Oidc(oidc) => Some(oidc.issuer.as_str()).filter(|_| oidc.tenants.is_none()),
            ProviderKind::OAuth2(_) => None,
        }
    }

    /// Whether it has documents that must be known before a login.
    #[must_use]
    pub const fn has_documents(&self) -> bool {
        match self.kind {
            ProviderKind::Oidc(_) => true,
            ProviderKind::OAuth2(_) => false,
        }
    }

    /// The gateway as its client.
    #[must_use]
    pub fn client(&self) -> &UpstreamClient {
        match &self.kind {
            ProviderKind::Oidc(oidc) => &oidc.client,
            ProviderKind::OAuth2(oauth2) => &oauth2.client,
        }
    }
}

/// An id that tells the tokens of one provider from those of another among the records of a
/// session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderId([u8; 16]);

impl ProviderId {
    /// Derives the id from the provider's name in the configuration and its
    /// [`Provider::account_space`]: half a digest of both. A name that is given to another provider
    /// is another id, so that no token ever goes to a provider that did not issue it.
    #[must_use]
    pub fn of(name: &str, account_space: &str) -> Self {
        let mut id = [0; 16];
        let digest = digest_parts(&[name.as_bytes(), account_space.as_bytes()]);
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

impl Compiler<'_> {
    pub(super) fn provider(&mut self, path: &str, written: &UpstreamProvider, development: bool) -> Option<Provider> {
        if !is_dns_label(&written.name) {
            self.problem::<()>(&format!("{path}.name"), "must be a DNS label: a-z, 0-9 and '-', at most 63");
        }
        if !written.display_name.as_deref().is_none_or(is_display_name) {
            let what = format!("must be 1 to {MAX_DISPLAY_NAME_BYTES} bytes without control characters");
            self.problem::<()>(&format!("{path}.displayName"), what);
        }
        let display_name = written.display_name.as_ref().unwrap_or(&written.name);
        let kind = self.provider_kind(path, written, development)?;
        let (id, login) = (written_id(written)?, written.login);
        Some(Provider { name: Rc::from(&*written.name), display_name: Rc::from(&**display_name), login, id, kind })
    }

    /// Compiles the block that belongs to the provider's type. The other one must be absent.
    fn provider_kind(&mut self, path: &str, written: &UpstreamProvider, development: bool) -> Option<ProviderKind> {
        let (oidc, oauth2) = (format!("{path}.oidcConfig"), format!("{path}.oauth2Config"));
        let surplus = match written.kind {
            ProviderType::Oidc => written.oauth2_config.is_some().then_some(&oauth2),
            ProviderType::OAuth2 => written.oidc_config.is_some().then_some(&oidc),
        };
        if let Some(surplus) = surplus {
            self.problem::<()>(surplus, "belongs to a provider of another `type`");
        }
        match written.kind {
            ProviderType::Oidc => match &written.oidc_config {
                Some(config) => self.oidc(&oidc, config, development).map(Box::new).map(ProviderKind::Oidc),
                None => self.problem(&oidc, "is required"),
            },
            ProviderType::OAuth2 => match &written.oauth2_config {
                Some(config) => self.oauth2(&oauth2, config, development).map(Box::new).map(ProviderKind::OAuth2),
                None => self.problem(&oauth2, "is required"),
            },
        }
    }
}

/// The id of a provider as written; `None` if the block of its type is absent.
pub(super) fn written_id(written: &UpstreamProvider) -> Option<ProviderId> {
    let account_space = match written.kind {
        ProviderType::Oidc => &written.oidc_config.as_ref()?.issuer_url,
        ProviderType::OAuth2 => &written.oauth2_config.as_ref()?.authorization_endpoint,
    };
    Some(ProviderId::of(&written.name, account_space))
}

fn is_dns_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

fn is_display_name(name: &str) -> bool {
    (1..=MAX_DISPLAY_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// The longest name that users read, in bytes.
const MAX_DISPLAY_NAME_BYTES: usize = 64;
