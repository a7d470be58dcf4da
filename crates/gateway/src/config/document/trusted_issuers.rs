//! Trusted issuers, as written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An issuer whose access tokens resources accept that name it in their `issuers`: an identity
/// provider, or a Kubernetes cluster for its service accounts. Its tokens are signed JWTs; they are
/// verified here, with the issuer's keys, and nothing is stored for them.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrustedIssuer {
    /// The `iss` of its tokens, to the last byte: an https URL, with a trailing slash where the
    /// issuer has one. Without `jwksUrl` its discovery document is at
    /// `/.well-known/openid-configuration` under it.
    pub issuer: String,
    /// Where its keys are (RFC 7517). Absent: where its discovery document says.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// Envoy's cluster for the host of `jwksUrl`, or without it for the issuer's host.
    pub cluster: String,
    /// Envoy's clusters for other hosts that the discovery document may name for its keys, by host
    /// or host:port. A host that is not listed here is never called.
    #[serde(default)]
    pub clusters: BTreeMap<String, String>,
    /// The audiences of which a token must have one in its `aud`: 1 to 16. Choose one that no other
    /// service accepts, such as the resource's URI.
    pub audiences: Vec<String>,
    /// The subjects (`sub`) that are let through, or with a `*` at the end all that begin so:
    /// `system:serviceaccount:client-apps:mcp-client`, or `system:serviceaccount:client-apps:*` for
    /// a whole namespace. Others get 403. Absent: every subject that the issuer gives a token for
    /// one of the `audiences`.
    #[serde(default)]
    pub allowed_subjects: Vec<String>,
    /// The algorithms that its tokens may be signed with, of RS256, RS384, RS512, ES256, ES384 and
    /// EdDSA. Absent: all of these. Envoy does not verify PS256, PS384, PS512 and ES512.
    #[serde(default)]
    pub algorithms: Option<Vec<String>>,
    /// Scopes that each of its tokens counts as having, besides those in its `scope` or `scp`:
    /// service accounts have none.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// How far the issuer's clock may be from this one: 0s to 5m.
    #[serde(default = "default_leeway")]
    pub leeway: String,
    /// How long its keys are used at most after they were fetched, while they cannot be fetched
    /// again: 1h to 30d. After that its tokens get 503.
    #[serde(default = "default_max_key_age")]
    pub max_key_age: String,
}

fn default_leeway() -> String {
    "60s".to_owned()
}

fn default_max_key_age() -> String {
    "24h".to_owned()
}
