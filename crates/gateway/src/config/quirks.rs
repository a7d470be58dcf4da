//! In what some providers differ from OpenID Connect as it is written, as far as it takes more than
//! a setting on their page in `docs/providers`.

use super::document::{AssertionAudience, ProviderQuirks};

/// In what a provider differs.
#[derive(Debug)]
pub(super) struct Quirks {
    /// The provider, as the configuration may name it.
    name: ProviderQuirks,
    /// The hosts of its issuers.
    hosts: &'static [&'static str],
    /// Parameters of the authorization request, where none of the same name is configured.
    pub(super) authorization_parameters: &'static [(&'static str, &'static str)],
    /// Scopes that it refuses, though OpenID Connect has them.
    pub(super) refused_scopes: &'static [&'static str],
    /// The hosts of its endpoints that are not the issuer's.
    pub(super) endpoint_hosts: &'static [&'static str],
    /// The audience of client assertions.
    pub(super) assertion_audience: AssertionAudience,
    /// What stands for many tenants in place of one in `issuerUrl`, the widest first.
    pub(super) tenant_words: &'static [&'static str],
}

impl Quirks {
    /// Returns those of the provider that is configured, or that has an issuer at this host.
    pub(super) fn of(configured: Option<ProviderQuirks>, host: &str) -> Option<&'static Self> {
        TABLE.iter().find(|quirks| match configured {
            Some(name) => quirks.name == name,
            None => quirks.is_at(host),
        })
    }

    /// Whether the issuer is the provider's own, not one that is like it.
    pub(super) fn is_at(&self, host: &str) -> bool {
        self.hosts.contains(&host)
    }
}

const TABLE: [Quirks; 2] = [
    // A refresh token is given for `access_type=offline` alone, and only where the user is asked
    // for consent; the scope `offline_access` is refused as unknown.
    Quirks {
        name: ProviderQuirks::Google,
        hosts: &["accounts.google.com"],
        authorization_parameters: &[("access_type", "offline"), ("prompt", "consent")],
        refused_scopes: &["offline_access"],
        endpoint_hosts: &["oauth2.googleapis.com", "www.googleapis.com"],
        assertion_audience: AssertionAudience::Issuer,
        tenant_words: &[],
    },
    // One discovery document for many tenants; assertions are for the token endpoint.
    Quirks {
        name: ProviderQuirks::Entra,
        hosts: &["login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"],
        authorization_parameters: &[],
        refused_scopes: &[],
        endpoint_hosts: &[],
        assertion_audience: AssertionAudience::TokenEndpoint,
        tenant_words: &["common", "organizations", "consumers"],
    },
];
