//! Why a call to the bridge gave no answer to the verb.

use portcullis_storage_api::StoreError;
use portcullis_storage_api::wire::RefusalCause;
use thiserror::Error;

/// Why a try gave no answer to the verb. The texts are for the operator's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum BridgeError {
    /// The call was not made: the last ones failed, and this one would have to wait for the same.
    #[error("the last calls failed, so this one is not made")]
    CircuitOpen,
    /// The call could not be made.
    #[error("Envoy has no such cluster")]
    NotSent,
    /// Nothing came back that is certainly the bridge's.
    #[error("no response: it is not running, is too slow, or something else answers")]
    NoResponse,
    /// The bridge refused.
    #[error("it refuses: {}", meaning(*.0))]
    Refused(RefusalCause),
}

impl BridgeError {
    /// Returns `true` if the store is unavailable, `false` if it refuses this request.
    pub(super) fn is_absence(self) -> bool {
        match self {
            Self::CircuitOpen | Self::NotSent | Self::NoResponse | Self::Refused(RefusalCause::Unavailable) => true,
            Self::Refused(_) => false,
        }
    }
}

impl From<BridgeError> for StoreError {
    fn from(error: BridgeError) -> Self {
        match error {
            BridgeError::CircuitOpen | BridgeError::NotSent | BridgeError::NoResponse => Self::Unavailable,
            BridgeError::Refused(cause) => cause.into(),
        }
    }
}

/// Returns what an operator can do about a refusal.
fn meaning(cause: RefusalCause) -> &'static str {
    match cause {
        RefusalCause::BadRequest => "the request is malformed: are filter and bridge of one release?",
        RefusalCause::Forbidden => "its `callers` do not give this Envoy the space",
        RefusalCause::UnknownVerb => "it has no such verb: is it of an older release?",
        RefusalCause::TooLarge => "the record is too large",
        RefusalCause::Overloaded => "it is at its limits",
        RefusalCause::Unavailable => "Redis cannot be used: its log says why",
        RefusalCause::NotDurable => "too few replicas acknowledge writes in time",
        RefusalCause::Full => "Redis or the set is full",
        RefusalCause::Corrupt => "a stored value is none of the bridge's: does something else write these keys?",
        RefusalCause::NotServed => "a secret is missing or cannot be read",
        RefusalCause::NotConfigured => "the verb is not configured",
    }
}
