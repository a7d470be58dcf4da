//! How redis-bridge is reached.

use portcullis_storage_api::wire::Space;

/// How the bridge is reached, and whose records are asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeSettings {
    /// Envoy's cluster for the bridge.
    pub cluster: String,
    /// Whose records: gateways with the same space share logins.
    pub space: Space,
    /// How long one answer may take, in milliseconds.
    pub timeout_ms: u64,
}
