//! Credentials and identity headers for a resource's backend, as written.

use serde::{Deserialize, Serialize};

use super::secret_ref::SecretRef;
use super::token_exchange::TokenExchange;

/// What the backend gets in place of the client's token, which is always removed.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Inject {
    /// Nothing.
    #[default]
    None,
    /// The user's own access token of an upstream provider.
    UpstreamInject {
        /// The provider's name.
        provider_name: String,
        /// The header it is put into, as `Bearer <token>`.
        #[serde(default = "default_injection_header")]
        header: String,
    },
    /// A fixed credential of the gateway's own, the same for all users, such as an API key.
    Header {
        /// The header it is put into, such as `x-api-key`.
        name: String,
        /// The header's whole value.
        value: SecretRef,
    },
    /// A fixed bearer token of the gateway's own, the same for all users.
    Bearer {
        /// The token, without `Bearer`.
        token: SecretRef,
        /// The header it is put into, as `Bearer <token>`.
        #[serde(default = "default_injection_header")]
        header: String,
    },
    /// A token of the backend's own authorization server, which the user's is exchanged for.
    TokenExchange(Box<TokenExchange>),
}

/// What is known of a caller that a header can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum IdentityClaim {
    /// The user's id at this gateway, the `sub` of its tokens: no two users have the same one,
    /// wherever they come from, and it does not change. The only one to know users by.
    Sub,
    /// What the provider of the login, or the trusted issuer, calls the user. Two of them may give
    /// the same name to different users.
    Subject,
    /// The e-mail address, where the provider or the trusted issuer says that it is verified
    /// (`email_verified`).
    Email,
    /// The name, which in most places users choose themselves.
    Name,
    /// The groups, with commas between them.
    Groups,
}

/// A signed statement about who calls.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IdentityToken {
    /// The header that has it, such as `x-identity-token`.
    pub header: String,
    /// Its `aud`. Absent: the resource's URI.
    #[serde(default)]
    pub audience: Option<String>,
    /// How long it is valid: 1m to 1h. A backend gets one of which at least half is left.
    #[serde(default = "default_identity_lifespan")]
    pub lifespan: String,
}

fn default_injection_header() -> String {
    "authorization".to_owned()
}

fn default_identity_lifespan() -> String {
    "5m".to_owned()
}
