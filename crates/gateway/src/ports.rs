//! What the handlers need from outside, as small traits: a store, outbound calls, the request's
//! body, time, randomness, signatures, and a word to the other workers.
//!
//! Everything is generic and single-threaded: a wasm VM has one thread, so nothing here asks for
//! `Send`.

use std::borrow::Cow;
use std::fmt::Display;

use portcullis_protocol::credentials::{SessionId, UserId};
use portcullis_protocol::jose::alg::Alg;
use portcullis_protocol::jose::keys::{PublicKey, SigningKey};
use portcullis_storage_api::{Bucket, Key, Owner, StoreError, Swap, Taken, Ttl, Version, Versioned};

use crate::audit::Reason;
use crate::config::ProviderId;

/// Everything a handler may use, for one request or one root task.
pub trait Ports: Fetch + Body + Clock + Sleep + Entropy + Crypto + Workers + Metrics + ProviderReports {
    /// The store behind it.
    type Store: Store;

    /// The store.
    fn store(&self) -> &Self::Store;
}

/// The longest value that a store is given, in bytes, whatever it could take: what one store
/// refuses, every store does.
pub const VALUE_BYTES: usize = 16 * 1024;

/// Records with lifetimes. Every verb is one atomic step: a caller that disappears half way leaves
/// either the old or the new state.
#[expect(async_fn_in_trait, reason = "single-threaded by design: no caller needs Send")]
pub trait Store {
    /// Reads a live record.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; an expired or absent record is `None`, never an error.
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError>;

    /// Reads two records. Where the store is a call away it is one call; the two need not be of one
    /// moment.
    ///
    /// # Errors
    /// As [`Store::get`].
    async fn get_both(&self, keys: &[Key; 2]) -> Result<[Option<Versioned>; 2], StoreError> {
        let [first, second] = keys;
        Ok([self.get(first).await?, self.get(second).await?])
    }

    /// Writes a record, whatever was there.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn put(&self, key: &Key, value: Vec<u8>, ttl: Ttl) -> Result<(), StoreError>;

    /// Writes a record only where none lives; tells whether it did.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn put_new(&self, key: &Key, value: Vec<u8>, ttl: Ttl) -> Result<bool, StoreError>;

    /// Writes only if the record still has this version.
    ///
    /// # Errors
    /// Any [`StoreError`]; losing the race is [`Swap::Conflict`], not an error.
    async fn compare_and_swap(&self, key: &Key, version: Version, value: Vec<u8>, ttl: Ttl)
    -> Result<Swap, StoreError>;

    /// Deletes a record if it is there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn delete(&self, key: &Key) -> Result<(), StoreError>;

    /// Takes a lock for `ttl_seconds` unless another owner holds it; tells whether it did.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn lock(&self, key: &Key, owner: Owner, ttl_seconds: u64) -> Result<bool, StoreError>;

    /// Releases a lock; another owner's lock is left alone.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn unlock(&self, key: &Key, owner: Owner) -> Result<(), StoreError>;

    /// Takes one token from a rate-limit bucket, which starts full.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn take_token(&self, key: &Key, bucket: Bucket) -> Result<Taken, StoreError>;
}

/// Calls to configured upstream clusters.
#[expect(async_fn_in_trait, reason = "single-threaded by design: no caller needs Send")]
pub trait Fetch {
    /// Sends a request and waits for the whole answer.
    ///
    /// # Errors
    /// [`CallError`]. A refused connection and a timeout arrive as ordinary 503 and 504 answers
    /// from Envoy, so a caller trusts only the statuses and content types that it expects.
    async fn fetch(&self, call: CallRequest) -> Result<CallReply, CallError>;
}

/// A request to a cluster.
pub struct CallRequest {
    /// Envoy's name for the upstream.
    pub cluster: String,
    /// The method.
    pub method: &'static str,
    /// The `:authority`.
    pub authority: String,
    /// The path with its query.
    pub path: String,
    /// Further header fields.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
    /// How long to wait for the whole answer, in milliseconds; never 0, which Envoy reads as for
    /// ever.
    pub timeout_ms: u64,
}

/// The answer to a call.
#[derive(Clone)]
pub struct CallReply {
    /// The status code.
    pub status: u16,
    /// The content type, when it was sent once and is ASCII.
    pub content_type: Option<String>,
    /// How long it may be kept, in seconds, by its header fields (RFC 9111 §4.2); `None` if they
    /// say nothing, and for an answer of the bridge.
    pub max_age: Option<u64>,
    /// Whether it carries the bridge's marker, which nothing else sends.
    pub from_bridge: bool,
    /// The body.
    pub body: Vec<u8>,
}

/// Why a call gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallError {
    /// Envoy does not know the cluster, or refused the request.
    NotSent,
    /// The connection was reset, or the answer was larger than Envoy or we take.
    NoAnswer,
}

/// The body of the request being handled.
#[expect(async_fn_in_trait, reason = "single-threaded by design: no caller needs Send")]
pub trait Body {
    /// Waits for the whole body.
    ///
    /// # Errors
    /// [`BodyTooLarge`] as soon as more than `limit` bytes have come.
    async fn body(&self, limit: usize) -> Result<Vec<u8>, BodyTooLarge>;
}

/// The body exceeded the caller's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyTooLarge;

/// Wall-clock time.
pub trait Clock {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;

    /// Whole seconds since the Unix epoch.
    fn now(&self) -> u64 {
        self.now_ms() / 1000
    }
}

/// Waiting for time to pass.
#[expect(async_fn_in_trait, reason = "single-threaded by design: no caller needs Send")]
pub trait Sleep {
    /// Waits for half a second at most.
    async fn sleep(&self) -> SleepResult;
}

/// The result of [`Sleep::sleep`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SleepResult {
    /// Time has passed.
    Woken,
    /// Returned at once, as nothing would ever wake the task: Envoy wakes a request only with the
    /// answer to a call of its own, and a root task also with its tick.
    Unsupported,
}

/// Randomness fit for keys.
pub trait Entropy {
    /// Fills an array from the system's generator.
    ///
    /// # Errors
    /// [`NoEntropy`] when the system gave none; nothing that needs a secret value may go on.
    fn random<const N: usize>(&self) -> Result<[u8; N], NoEntropy>;
}

/// The system's random generator failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoEntropy;

/// Signatures: by the host where it is faster, in Rust elsewhere. Signatures are in JOSE form both
/// ways.
pub trait Crypto {
    /// Signs a message; `None` when the key cannot be used.
    fn sign(&self, key: &SigningKey, message: &[u8]) -> Option<Vec<u8>>;

    /// Whether the signature is this key's over the message.
    fn verify(&self, key: &PublicKey, alg: Alg, message: &[u8], signature: &[u8]) -> bool;
}

/// Counting what an operator should hear of.
pub trait Metrics {
    /// Counts one.
    fn count(&self, what: StoreAnomaly);
}

/// Something that does not happen while all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreAnomaly {
    /// A stored record does not open: it was sealed under a secret that is gone, moved here from
    /// another name, or changed.
    Unopenable,
    /// A session's record is older than a refresh token that was made from it: it was rolled back.
    RolledBack,
}

impl StoreAnomaly {
    /// Its word in the metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unopenable => "unopenable",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// Reports about the identity providers to the operator, in the log and in the metrics.
pub trait ProviderReports {
    /// Reports that a provider can be used: it answered as it should.
    fn provider_answered(&self, provider: &str);

    /// Reports a call to a provider that brought nothing.
    fn provider_failed(&self, failure: ProviderFailure<'_>);

    /// Reports something of a provider that works and that the operator should know: a text without
    /// any value of a request or an answer.
    fn provider_noted(&self, provider: &str, note: &str);
}

/// A call to a provider that brought nothing. It holds no secret, and nothing that a client sent.
pub struct ProviderFailure<'a> {
    /// The provider's name in the configuration.
    pub provider: &'a str,
    /// The URL that was called, without its query.
    pub url: &'a str,
    /// The reason in the audit trail and in the metrics.
    pub reason: Reason,
    /// The cause as text for the log.
    pub cause: &'a dyn Display,
    /// Whether the provider can be used for no user.
    pub is_down: bool,
}

/// The upstream tokens of one owner at one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamTokenRef {
    /// What they belong to.
    pub owner: TokenOwner,
    /// The provider that issued them.
    pub provider: ProviderId,
}

/// What upstream tokens belong to, and end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenOwner {
    /// The session whose login brought them.
    Session(SessionId),
    /// The user who has connected the provider, whatever session uses them.
    User(UserId),
}

/// A word to the root task and to the other workers of this Envoy.
pub trait Workers {
    /// Asks the root task to refresh upstream tokens; the caller does not wait.
    fn refresh_upstream(&self, token: UpstreamTokenRef);

    /// Notifies the other workers that upstream tokens of an owner were replaced or are gone, so
    /// that none goes on injecting the old ones from a cache: a provider may have revoked them.
    fn upstream_replaced(&self, owner: TokenOwner);

    /// Notifies every worker that a session has ended, so that none goes on serving its tokens from
    /// a cache.
    fn session_ended(&self, session: SessionId);
}
