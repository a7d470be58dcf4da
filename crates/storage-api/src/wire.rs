//! The protocol between the filter and the bridge: `POST /v1/<verb>` with one JSON request and one
//! JSON answer.
//!
//! Every field is bounded while it is read, so that a request that does not parse into these types
//! touches no store. Unknown and repeated fields are refused on both sides; a change that an older
//! peer could misread needs a new version in the path.
//!
//! A field that may be `null` is required nevertheless: an answer without the field must not be
//! taken for "no record".

mod buckets;
mod documents;
mod health;
mod locks;
mod mutation;
mod records;
mod refusal;
mod secrets;
mod sets;
mod space;
mod transport;
mod value;
mod verb;

pub use crate::bucket::{MAX_BUCKET_CAPACITY, MAX_BUCKET_SECONDS};
pub use crate::record::MAX_TTL_SECONDS;
pub use crate::text::{Malformed, hex};
pub use buckets::{TakeTokens, TakeTokensAnswer};
pub use documents::{
    Document, DocumentBody, FetchDocument, FetchDocumentAnswer, FetchFailure, MAX_CONTENT_TYPE_BYTES,
    MAX_DOCUMENT_BYTES, MAX_URL_BYTES,
};
pub use health::{Durability, HealthAnswer, HealthRequest};
pub use locks::{Lock, LockAnswer, MAX_LOCK_SECONDS, Unlock, UnlockAnswer};
pub use mutation::{IdempotencyKey, Mutation, REPLAY_SECONDS};
pub use records::{
    AwaitChange, AwaitChangeAnswer, CompareAndSwap, Delete, DeleteAnswer, Get, GetAnswer, GetMany, GetManyAnswer,
    MAX_KEYS, MAX_WAIT_MILLISECONDS, Put, PutAnswer, Record, WriteAnswer,
};
pub use refusal::{Refusal, RefusalCause};
pub use secrets::{
    MAX_SECRET_BYTES, MAX_SECRET_NAME_BYTES, MAX_SECRETS, Revision, Secret, SecretName, SecretValue, Secrets,
    SecretsAnswer,
};
pub use sets::{MAX_MEMBERS, Member, MemberAnswer, MemberWrite, Members, MembersAnswer};
pub use space::Space;
pub use transport::{MARKER_HEADER, MARKER_VALUE, MAX_REQUEST_BYTES};
pub use value::{MAX_VALUE_BYTES, Value};
pub use verb::{Call, Execution, Right, Verb, verbs};

#[cfg(test)]
#[path = "wire/wire_tests.rs"]
mod tests;
