//! The refusal of a request, and its causes.

use serde::{Deserialize, Serialize};

use super::secrets::SecretName;
use crate::store::StoreError;

/// The body of every answer that is not a 200.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refusal {
    /// The cause.
    pub error: RefusalCause,
    /// The secret of a [`RefusalCause::NotServed`]; omitted otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
}

impl From<RefusalCause> for Refusal {
    fn from(error: RefusalCause) -> Self {
        Self { error, secret: None }
    }
}

/// The cause of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefusalCause {
    /// The request is malformed; a retry cannot succeed.
    BadRequest,
    /// The caller lacks the right.
    Forbidden,
    /// There is no such verb.
    UnknownVerb,
    /// The request or its value exceeds the limit.
    TooLarge,
    /// The bridge is at its limits; nothing was done.
    Overloaded,
    /// Redis cannot be used; whether a write happened is unknown. A retry with the same idempotency
    /// key is safe.
    Unavailable,
    /// The write was done, but too few replicas acknowledged it in time: it may be lost. A retry
    /// with the same key is safe.
    NotDurable,
    /// Redis or the set is full; nothing was written.
    Full,
    /// The stored value has another data type; nothing was changed.
    Corrupt,
    /// A requested secret is missing or unreadable. None of the requested secrets is answered.
    NotServed,
    /// The verb is not configured.
    NotConfigured,
}

impl RefusalCause {
    /// Returns the label in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Forbidden => "forbidden",
            Self::UnknownVerb => "unknown_verb",
            Self::TooLarge => "too_large",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::NotDurable => "not_durable",
            Self::Full => "full",
            Self::Corrupt => "corrupt",
            Self::NotServed => "not_served",
            Self::NotConfigured => "not_configured",
        }
    }

    /// Returns the HTTP status.
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

    /// Returns `true` if a later retry may succeed.
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
    /// A request that the bridge cannot read says nothing about a record: it is
    /// [`StoreError::Unavailable`].
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
