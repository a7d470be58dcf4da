//! What can fail in any handler without the request being at fault.

use portcullis_storage_api::StoreError;

use crate::ports::NoEntropy;

/// A dependency of a request is unavailable. Nothing may be concluded about the request itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// The store.
    Store(StoreError),
    /// The random generator.
    Entropy,
    /// The signing key's implementation.
    Signer,
}

impl From<StoreError> for Unavailable {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<NoEntropy> for Unavailable {
    fn from(_: NoEntropy) -> Self {
        Self::Entropy
    }
}
