//! Protected resources, as written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::injection::{IdentityClaim, IdentityToken, Inject};

/// One protected resource.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Resource {
    /// The resource's URI as clients know it, and the audience of its tokens (RFC 8707).
    pub resource: String,
    /// Which requests belong to it.
    pub r#match: Match,
    /// What is served there. It decides how a call is answered that needs a connection of the user
    /// which is not there: an MCP request in the form that clients of MCP show as a link.
    #[serde(default)]
    pub kind: ResourceKind,
    /// The scopes a token must have to be let through.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Whose access tokens are accepted: `self` for this gateway's own, and the `issuer` of entries
    /// of `trustedIssuers`. Tokens of trusted issuers come without a login, so `inject` of type
    /// `upstreamInject` goes with `self` alone. Absent: `self`, or every trusted issuer where the
    /// gateway is no authorization server.
    #[serde(default)]
    pub issuers: Option<Vec<String>>,
    /// What the backend gets in place of the client's token.
    #[serde(default)]
    pub inject: Inject,
    /// Headers that tell the backend who calls: the name of each, and what it has. Values are
    /// percent-encoded (`%` and whatever is no visible ASCII, a space within excepted). What is not
    /// known of a caller has no header. At most 16. These names, and those of `inject` and
    /// `identityToken`, are removed from all requests that clients send.
    #[serde(default)]
    pub identity_headers: BTreeMap<String, IdentityClaim>,
    /// A JWT about the caller, which the backend verifies with the gateway's published keys.
    #[serde(default)]
    pub identity_token: Option<IdentityToken>,
}

/// The kind of server behind a resource.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ResourceKind {
    /// An MCP server (Streamable HTTP).
    #[default]
    Mcp,
    /// Any other HTTP API.
    Http,
}

/// Which requests belong to a resource.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Match {
    /// A path, matched by whole segments: `/mcp` matches `/mcp`, `/mcp/` and `/mcp/x`, not `/mcpx`.
    /// In plain form: no escapes, no `;`, no segment that ends with a dot. A request that a backend
    ///  could take for one below it and that is spelled in another way (`/MCP`, `/%6dcp`,
    /// `/mcp;v=1`) gets 400.
    pub prefix: String,
}
