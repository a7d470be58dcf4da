//! The exchange of a user's token for one of a backend's own authorization server, as written.

use serde::{Deserialize, Serialize};

use super::secret_ref::SecretRef;
use super::upstream_providers::ClientAuthentication;

/// How a token for the backend is got in exchange for the user's (RFC 8693).
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenExchange {
    /// The token endpoint of the authorization server that the backend trusts.
    pub token_url: String,
    /// Envoy's name for the cluster that leads to its host.
    pub cluster: String,
    /// The gateway's client id there.
    pub client_id: String,
    /// The gateway's client secret there. Absent: a public client.
    #[serde(default)]
    pub client_secret: Option<SecretRef>,
    /// How it is used. `auto` is `basic`.
    #[serde(default)]
    pub client_authentication: ClientAuthentication,
    /// The `audience`: the name of the backend at that server.
    #[serde(default)]
    pub audience: Option<String>,
    /// The `resource`: the backend's URI (RFC 8707).
    #[serde(default)]
    pub resource: Option<String>,
    /// The scopes that the new token is to have.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The provider whose token of the user is exchanged: one of the `login` `required`, as each
    /// session has its token. Absent: the first of these.
    #[serde(default)]
    pub subject_provider_name: Option<String>,
    /// Which of its tokens, and what it is called.
    #[serde(default)]
    pub subject_token_type: SubjectTokenType,
    /// The header that the new token is put into, as `Bearer <token>`.
    #[serde(default = "default_header")]
    pub header: String,
}

/// Which token of the user is exchanged, and by which name of RFC 8693 §3.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SubjectTokenType {
    /// The provider's access token, as `urn:ietf:params:oauth:token-type:access_token`.
    #[default]
    AccessToken,
    /// The provider's ID token, as `urn:ietf:params:oauth:token-type:id_token`.
    IdToken,
    /// The provider's access token, as `urn:ietf:params:oauth:token-type:jwt`.
    Jwt,
}

fn default_header() -> String {
    "authorization".to_owned()
}
