//! What can fail in any handler without the request being at fault.

use portcullis_protocol::oauth::error::{ErrorCode, OAuthError};
use portcullis_storage_api::StoreError;
use thiserror::Error;

use crate::audit::Reason;
use crate::ports::NoEntropy;

/// Something that a request needs failed. Nothing may be concluded about the request itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DependencyError {
    /// The store.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    /// The random generator.
    #[error("the random generator failed")]
    Entropy,
    /// The signing key's implementation.
    #[error("the token could not be signed")]
    Signer,
    /// A change of a record lost the race against other requests each time it was tried.
    #[error("other requests changed the record each time")]
    Contention,
    /// A step that cannot fail did, such as the serialization of plain fields.
    #[error("a step failed that cannot fail")]
    Internal,
}

impl DependencyError {
    /// Returns the error as an endpoint's JSON, a 503 that is silent about the client's
    /// credentials, and the reason in the audit trail.
    #[must_use]
    pub fn reply(&self) -> (OAuthError, Reason) {
        let description = "the gateway cannot answer at the moment; try again";
        (OAuthError::new(ErrorCode::TemporarilyUnavailable, description), self.reason())
    }

    /// Returns the reason in the audit trail.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Store(StoreError::Unavailable) => Reason::StoreUnavailable,
            Self::Store(StoreError::Full) => Reason::StoreFull,
            Self::Store(StoreError::TooLarge) => Reason::RecordTooLarge,
            Self::Entropy => Reason::EntropyUnavailable,
            Self::Signer => Reason::SignerUnavailable,
            Self::Contention => Reason::Contention,
            Self::Internal => Reason::Internal,
        }
    }
}

impl From<NoEntropy> for DependencyError {
    fn from(_: NoEntropy) -> Self {
        Self::Entropy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::AuditOutcome;

    #[test]
    fn each_failure_has_a_reason_of_its_own_and_none_is_the_clients_fault() {
        for (error, reason) in [
            (DependencyError::Store(StoreError::Unavailable), "store_unavailable"),
            (DependencyError::Store(StoreError::Full), "store_full"),
            (DependencyError::Store(StoreError::TooLarge), "record_too_large"),
            (DependencyError::Entropy, "entropy_unavailable"),
            (DependencyError::Signer, "signer_unavailable"),
            (DependencyError::Contention, "contention"),
            (DependencyError::Internal, "internal_error"),
        ] {
            assert_eq!((error.reason().as_str(), error.reason().outcome()), (reason, AuditOutcome::Fail));
            assert_eq!(error.reply().0.code(), ErrorCode::TemporarilyUnavailable);
        }
    }
}
