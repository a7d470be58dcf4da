//! A reference to a secret, as written.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a secret comes from. Never the secret itself, except in development: Envoy prints this
/// document on its admin port.
#[derive(Deserialize, Serialize, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SecretRef {
    /// The environment variable of Envoy's process, passed on by `host_env_keys` (Istio:
    /// `valueFrom: HOST`).
    Env(String),
    /// A file of the bridge's `secretsDir`, by its name: 1 to 64 letters of `a-zA-Z0-9._-`, the
    /// first no dot. Needs `storage` of type `bridge`. Its content can change while the gateway
    /// serves, and may be several: of `secrets`, one a line; of `signingKeys`, one PEM block after
    /// the other. They count in their order, as if each were an entry of its own. A document may
    /// name 32 of them.
    Bridge(String),
    /// The secret itself; only with `development: true`.
    Inline(String),
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "Env({name})"),
            // What is written there may be a secret in the wrong place.
            Self::Bridge(_) => f.write_str("Bridge(..)"),
            Self::Inline(_) => f.write_str("Inline(..)"),
        }
    }
}
