//! What the filter and the bridge say to each other: one JSON request and one JSON answer a verb,
//! `POST /v1/<verb>`.
//!
//! Everything is bounded here, on the way in, so that neither side handles what the other never
//! should have sent: a request that does not parse into these types touches no store. Unknown and
//! repeated fields are refused on both sides; a change that an older peer could misread needs a new
//! version in the path.

mod answers;
mod fetch;
mod requests;
mod secrets;
mod text;

pub use answers::{
    AwaitChangeAnswer, DeleteAnswer, Durability, GetAnswer, GetManyAnswer, HealthAnswer, LockAnswer, MemberAnswer,
    MembersAnswer, PutAnswer, Record, Refusal, RefusalCause, TakeAnswer, TakeTokensAnswer, UnlockAnswer, WriteAnswer,
};
pub use fetch::{Document, DocumentBody, FetchDocument, FetchDocumentAnswer, FetchFailure};
pub use requests::{
    AwaitChange, CompareAndSwap, Delete, Get, GetMany, HealthRequest, Lock, MemberWrite, Members, Mutation, Put, Take,
    TakeTokens, Unlock,
};
pub use secrets::{Revision, Secret, SecretName, SecretValue, Secrets, SecretsAnswer};
pub use text::{IdempotencyKey, Malformed, Member, Space, Value, hex};

/// What can be asked. There is no other verb, and none that carries a store's own command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Reads one record.
    Get,
    /// Reads several records.
    GetMany,
    /// Writes a record, whatever was there.
    Put,
    /// Writes a record only where none lives.
    PutNew,
    /// Reads and deletes in one step.
    Take,
    /// Writes only over the version named.
    CompareAndSwap,
    /// Deletes a record.
    Delete,
    /// Adds to a set.
    AddMember,
    /// Takes from a set.
    RemoveMember,
    /// Reads a set.
    Members,
    /// Takes a lock.
    Lock,
    /// Gives a lock back.
    Unlock,
    /// Waits until a record has another version.
    AwaitChange,
    /// Takes from a rate-limit bucket.
    TakeTokens,
    /// Asks how the bridge is.
    Health,
    /// Reads secrets, or waits until one of them changes.
    Secrets,
    /// Fetches a document from an address that a stranger named.
    FetchDocument,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 17] = [
        Self::Get,
        Self::GetMany,
        Self::Put,
        Self::PutNew,
        Self::Take,
        Self::CompareAndSwap,
        Self::Delete,
        Self::AddMember,
        Self::RemoveMember,
        Self::Members,
        Self::Lock,
        Self::Unlock,
        Self::AwaitChange,
        Self::TakeTokens,
        Self::Health,
        Self::Secrets,
        Self::FetchDocument,
    ];

    /// The path it is posted to.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Get => "/v1/get",
            Self::GetMany => "/v1/get_many",
            Self::Put => "/v1/put",
            Self::PutNew => "/v1/put_new",
            Self::Take => "/v1/take",
            Self::CompareAndSwap => "/v1/compare_and_swap",
            Self::Delete => "/v1/delete",
            Self::AddMember => "/v1/add_member",
            Self::RemoveMember => "/v1/remove_member",
            Self::Members => "/v1/members",
            Self::Lock => "/v1/lock",
            Self::Unlock => "/v1/unlock",
            Self::AwaitChange => "/v1/await_change",
            Self::TakeTokens => "/v1/take_tokens",
            Self::Health => "/v1/health",
            Self::Secrets => "/v1/secrets",
            Self::FetchDocument => "/v1/fetch_document",
        }
    }

    /// The verb's own word: the last part of its path, and its label in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.path().trim_start_matches("/v1/")
    }

    /// The verb that is posted to this path, if any is.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.path() == path)
    }
}

/// The header that every answer of the bridge carries, with [`MARKER_VALUE`]. A refused connection
/// reaches the filter as an ordinary 503, so an answer without the marker is nobody's word about a
/// record.
pub const MARKER_HEADER: &str = "x-portcullis-bridge";
/// The marker's value: the version of the wire.
pub const MARKER_VALUE: &str = "1";
/// The most bytes a value may have.
pub const VALUE_BYTES: usize = 64 * 1024;
/// The most bytes a request may have: the largest value in base64, and room for the names around
/// it.
pub const REQUEST_BYTES: usize = 96 * 1024;
/// The most records one `get_many` may name.
pub const KEYS: usize = 64;
/// The most members a set may have.
pub const MEMBERS: usize = 1024;
/// The longest life but for ever, in seconds: 400 days.
pub const TTL_SECONDS: u64 = 400 * 24 * 60 * 60;
/// The longest a lock may be held, in seconds.
pub const LOCK_SECONDS: u64 = 60 * 60;
/// The longest `await_change` and `secrets` may wait, in milliseconds.
pub const WAIT_MILLISECONDS: u32 = 30_000;
/// The most tokens a bucket may hold.
pub const BUCKET_CAPACITY: u32 = 1_000_000;
/// The longest period of a bucket, in seconds: one day.
pub const BUCKET_SECONDS: u32 = 24 * 60 * 60;
/// How long the bridge remembers the answer to a mutation, in seconds: a retry within it gets the
/// same answer.
pub const REPLAY_SECONDS: u64 = 60;
/// The most secrets one request may name.
pub const SECRETS: usize = 32;
/// The most bytes a secret's name may have.
pub const SECRET_NAME_BYTES: usize = 64;
/// The most bytes a secret may have.
pub const SECRET_BYTES: usize = 16 * 1024;
/// The most bytes a document's address may have.
pub const URL_BYTES: usize = 2 * 1024;
/// The most bytes a document may have.
pub const DOCUMENT_BYTES: usize = 8 * 1024;
/// The most bytes a document's media type may have.
pub const CONTENT_TYPE_BYTES: usize = 128;

#[cfg(test)]
#[path = "wire/wire_tests.rs"]
mod tests;
