//! The storage section.

use portcullis_storage_api::wire::Space;

use super::bridge::BridgeSettings;
use super::compiler::Compiler;
use super::document;

/// Where logins are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// In this Envoy process.
    Memory {
        /// The store's budget, in bytes.
        max_bytes: u64,
    },
    /// In Redis, through the bridge.
    Bridge(BridgeSettings),
}

impl Compiler<'_> {
    pub(super) fn storage(&mut self, written: &document::Storage) -> Option<Storage> {
        const MIB: u64 = 1024 * 1024;
        match written {
            document::Storage::Memory { max_bytes } if (MIB..=8 * 1024 * MIB).contains(max_bytes) => {
                Some(Storage::Memory { max_bytes: *max_bytes })
            }
            document::Storage::Memory { .. } => {
                self.problem("storage.maxBytes", "must be between 1 MiB and 8 GiB, in bytes")
            }
            document::Storage::Bridge { cluster, namespace, name, timeout } => {
                let cluster = match cluster.as_str() {
                    "" => self.problem("storage.cluster", "must name Envoy's cluster for the bridge"),
                    cluster => Some(cluster.to_owned()),
                };
                // Envoy reads a timeout of 0 as none at all, and a request is not to hang for
                // longer than a client waits.
                let seconds = self.duration("storage.timeout", timeout, 1, 10);
                let space = self.space(namespace, name);
                let bridge =
                    BridgeSettings { cluster: cluster?, space: space?, timeout_ms: seconds?.saturating_mul(1000) };
                self.bridge = Some(bridge.clone());
                Some(Storage::Bridge(bridge))
            }
        }
    }

    /// Each name is tried with one that is good, so that the problem names the right one.
    fn space(&mut self, namespace: &str, name: &str) -> Option<Space> {
        const FORM: &str = "must be a DNS label: a-z, 0-9 and '-', at most 63";
        if Space::new(namespace, "gateway").is_err() {
            self.problem::<()>("storage.namespace", FORM);
        }
        if Space::new("default", name).is_err() {
            self.problem::<()>("storage.name", FORM);
        }
        Space::new(namespace, name).ok()
    }
}
