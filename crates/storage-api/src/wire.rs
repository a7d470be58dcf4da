//! The protocol between the filter and the bridge: `POST /v1/<verb>` with one JSON request and one
//! JSON answer.
//!
//! Every field is bounded while it is read, so that a request that does not parse into these types
//! touches no store. Unknown and repeated fields are refused on both sides; a change that an older
//! peer could misread needs a new version in the path.
//!
//! A field that may be `null` is required nevertheless: an answer without the field must not be taken
//! for "no record".

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

pub use crate::bucket::{BUCKET_CAPACITY, BUCKET_SECONDS};
pub use crate::record::TTL_SECONDS;
pub use crate::text::{Malformed, hex};
pub use buckets::{TakeTokens, TakeTokensAnswer};
pub use documents::{
    CONTENT_TYPE_BYTES, DOCUMENT_BYTES, Document, DocumentBody, FetchDocument, FetchDocumentAnswer, FetchFailure,
    URL_BYTES,
};
pub use health::{Durability, HealthAnswer, HealthRequest};
pub use locks::{LOCK_SECONDS, Lock, LockAnswer, Unlock, UnlockAnswer};
pub use mutation::{IdempotencyKey, Mutation, REPLAY_SECONDS};
pub use records::{
    AwaitChange, AwaitChangeAnswer, CompareAndSwap, Delete, DeleteAnswer, Get, GetAnswer, GetMany, GetManyAnswer, KEYS,
    Put, PutAnswer, Record, Take, TakeAnswer, WAIT_MILLISECONDS, WriteAnswer,
};
pub use refusal::{Refusal, RefusalCause};
pub use secrets::{
    Revision, SECRET_BYTES, SECRET_NAME_BYTES, SECRETS, Secret, SecretName, SecretValue, Secrets, SecretsAnswer,
};
pub use sets::{MEMBERS, Member, MemberAnswer, MemberWrite, Members, MembersAnswer};
pub use space::Space;
pub use transport::{MARKER_HEADER, MARKER_VALUE, REQUEST_BYTES};
pub use value::{VALUE_BYTES, Value};
pub use verb::{Call, Execution, Right, Verb, verbs};

#[cfg(test)]
#[path = "wire/wire_tests.rs"]
mod tests;
