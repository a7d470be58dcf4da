//! The answers, one type a verb, and the one refusal.
//!
//! What may be `null` must be there all the same: an answer that lost a field must not read as
//! "there is no record".

use serde::{Deserialize, Serialize};

use super::secrets::SecretName;
use super::text::{Member, Value};
use crate::{StoreError, Version, Versioned};

/// A record as read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// The stored bytes.
    pub value: Value,
    /// The version to name in a compare-and-swap.
    pub version: Version,
}

impl From<Record> for Versioned {
    fn from(record: Record) -> Self {
        Self { value: record.value.into_bytes(), version: record.version }
    }
}

/// To `get`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetAnswer {
    /// The record; `null` when none lives.
    #[serde(deserialize_with = "Option::deserialize")]
    pub record: Option<Record>,
}

/// To `get_many`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetManyAnswer {
    /// The records, in the order asked.
    pub records: Vec<Option<Record>>,
}

/// To `put`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutAnswer {
    /// The version written.
    pub version: Version,
}

/// To `put_new` and `compare_and_swap`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WriteAnswer {
    /// The version written; `null` when the condition did not hold and nothing was.
    #[serde(deserialize_with = "Option::deserialize")]
    pub version: Option<Version>,
}

/// To `take`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TakeAnswer {
    /// The record, which is gone now; `null` when there was none to take.
    #[serde(deserialize_with = "Option::deserialize")]
    pub record: Option<Record>,
}

/// To `delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteAnswer {
    /// Whether there was a record.
    pub deleted: bool,
}

/// To `add_member` and `remove_member`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberAnswer {
    /// Whether the set changed.
    pub changed: bool,
}

/// To `members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MembersAnswer {
    /// The members, in ascending order.
    pub members: Vec<Member>,
}

/// To `lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockAnswer {
    /// Whether the asker holds it now.
    pub held: bool,
}

/// To `unlock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnlockAnswer {
    /// Whether it was the asker's to give back.
    pub released: bool,
}

/// To `await_change`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwaitChangeAnswer {
    /// Whether the version is another than the asker knew; `false` when the time ran out.
    pub changed: bool,
    /// The version now; `null` when no record lives.
    #[serde(deserialize_with = "Option::deserialize")]
    pub version: Option<Version>,
}

/// To `take_tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TakeTokensAnswer {
    /// Whether the tokens were there and are gone.
    pub granted: bool,
    /// Seconds until they would be there: 0 when granted, else at least 1.
    pub retry_after_seconds: u32,
}

/// What a durable write is worth at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Durability {
    /// It is answered once a replica has it.
    Replicated,
    /// It is answered once the master has it: a failover can lose it.
    Async,
}

/// To `health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthAnswer {
    /// Whether the store can be used.
    pub ready: bool,
    /// What a durable write is worth.
    pub durability: Durability,
    /// Why the store cannot be used, or why a durable write is worth no more.
    pub reason: Option<String>,
}

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
    /// What a refusal means to a handler. A request that the bridge cannot read is a fault between
    /// the two, and no word about a record.
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
