//! The one refusal, with its causes.

use serde::{Deserialize, Serialize};

use super::secrets::SecretName;
use crate::store::StoreError;

/// The body of every answer that is not a 200.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refusal {
    /// Why.
    pub error: RefusalCause,
    /// With [`RefusalCause::NotServed`]: which secret is meant. Not written where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
}

impl From<RefusalCause> for Refusal {
    fn from(error: RefusalCause) -> Self {
        Self { error, secret: None }
    }
}

/// Why the bridge did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefusalCause {
    /// The request has not the verb's form. The same request will never be accepted.
    BadRequest,
    /// The caller may not use the bridge.
    Forbidden,
    /// There is no such verb.
    UnknownVerb,
    /// The request or its value is larger than the bridge takes.
    TooLarge,
    /// The bridge has more to do than it takes on; nothing was done.
    Overloaded,
    /// The store cannot be used; whether a write happened is unknown. A retry with the same
    /// idempotency key is safe.
    Unavailable,
    /// The write was done, but no replica confirmed it in time: it may be lost. A retry with the
    /// same key is safe.
    NotDurable,
    /// The store has no room, or the set no place; nothing was written.
    Full,
    /// What is stored under the name is not what this verb writes; nothing was changed.
    Corrupt,
    /// A secret that was asked for is not served: it is not there, or cannot be read. None of the
    /// others is, either.
    NotServed,
    /// The bridge is not set up for this verb.
    NotConfigured,
}

impl RefusalCause {
    /// The HTTP status it is sent with.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Forbidden => 403,
            Self::UnknownVerb | Self::NotServed => 404,
            Self::TooLarge => 413,
            Self::Corrupt => 500,
            Self::NotConfigured => 501,
            Self::Overloaded | Self::Unavailable | Self::NotDurable => 503,
            Self::Full => 507,
        }
    }

    /// Whether the same request, sent again a little later, may be answered.
    #[must_use]
    pub fn is_passing(self) -> bool {
        match self {
            Self::Overloaded | Self::Unavailable | Self::NotDurable => true,
            Self::BadRequest
            | Self::Forbidden
            | Self::UnknownVerb
            | Self::TooLarge
            | Self::Corrupt
            | Self::Full
            | Self::NotServed
            | Self::NotConfigured => false,
        }
    }
}

impl From<RefusalCause> for StoreError {
    /// The meaning of a refusal for a handler. A request that the bridge cannot read is a fault
    /// between the two, and says nothing about a record.
    fn from(cause: RefusalCause) -> Self {
        match cause {
            RefusalCause::TooLarge => Self::TooLarge,
            RefusalCause::Full => Self::Full,
            RefusalCause::BadRequest
            | RefusalCause::Forbidden
            | RefusalCause::UnknownVerb
            | RefusalCause::Overloaded
            | RefusalCause::Unavailable
            | RefusalCause::NotDurable
            | RefusalCause::Corrupt
            | RefusalCause::NotServed
            | RefusalCause::NotConfigured => Self::Unavailable,
        }
    }
}
