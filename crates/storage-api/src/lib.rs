//! The words that the gateway and its stores share: what kinds of records there are, how a record
//! is named, versioned and aged, and what a store may answer.

pub mod wire;

use std::fmt;

/// The kinds of records. The kind is part of a record's name and says how a full store may treat
/// it; its number is part of the record's seal and is never given to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A pending login that was used: made once, at the provider's callback, so that it is not used
    /// again. Until then the browser carries the login, and nothing is stored.
    Pending = 0,
    /// One login and everything granted from it: first its authorization code, then its
    /// refresh-token family.
    Session = 1,
    /// A registered client (RFC 7591).
    Client = 2,
    /// A consent that a user asked to have remembered.
    Consent = 3,
    /// A user, named by the provider's issuer and subject.
    User = 4,
    /// The upstream provider's tokens of one session.
    Upstream = 5,
    /// A rate-limit bucket.
    RateLimit = 6,
    /// A lock held for the length of one upstream refresh.
    Lock = 7,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Session,
        Self::Client,
        Self::Consent,
        Self::User,
        Self::Upstream,
        Self::RateLimit,
        Self::Lock,
    ];

    /// The word used in a stored name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Session => "session",
            Self::Client => "client",
            Self::Consent => "consent",
            Self::User => "user",
            Self::Upstream => "upstream",
            Self::RateLimit => "ratelimit",
            Self::Lock => "lock",
        }
    }

    /// Whether a bounded store may drop a record of this kind before its time to make room.
    ///
    /// Strangers can make these records without logging in, so a flood of them must never push out
    /// a user's session; losing one costs at most a repeated step. (A lost record of a used login
    /// lets the browser that carries the login, and no other, use it again.)
    #[must_use]
    pub fn is_expendable(self) -> bool {
        match self {
            Self::Pending | Self::RateLimit | Self::Client | Self::Consent => true,
            Self::Session | Self::User | Self::Upstream | Self::Lock => false,
        }
    }
}

/// The name of one record. The id is a digest, so that no token or user input is ever part of a
/// stored name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// What the record is.
    pub kind: Kind,
    /// SHA-256 of whatever names the record within its kind.
    pub id: [u8; 32],
}

impl Key {
    /// `kind:hex`, the name as stores use it. Not by the formatter: it is part of every stored
    /// name.
    #[must_use]
    pub fn name(&self) -> String {
        [self.kind.name(), ":", &wire::hex(&self.id)].concat()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// A record's version. Two writes of one name never share a version, also across a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub u64);

/// How long a record lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// For this many seconds from the write.
    Seconds(u64),
    /// Until it is deleted.
    Forever,
}

/// A record as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The stored bytes.
    pub value: Vec<u8>,
    /// The version to name in a compare-and-swap.
    pub version: Version,
}

/// What a compare-and-swap came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// Written.
    Swapped,
    /// The record had another version or was gone; nothing was written.
    Conflict,
}

/// Who holds a lock: a random value of the holder's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner(pub [u8; 16]);

/// A token bucket's shape: `capacity` tokens, refilled evenly over `period_seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// The most tokens it holds, and how many come back in one period.
    pub capacity: u32,
    /// The time in which an empty bucket fills, in seconds.
    pub period_seconds: u32,
}

/// What taking from a bucket came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// One token was there and is gone.
    Granted,
    /// The bucket was empty; a token is due in this many seconds (at least 1).
    Empty {
        /// Seconds until the next token.
        retry_after: u32,
    },
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreError {
    /// It cannot be reached or did not answer in time; whether a write happened is unknown.
    Unavailable,
    /// It has no room for the record, and nothing it may drop.
    Full,
    /// The record is larger than the store takes.
    TooLarge,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "the store cannot be reached",
            Self::Full => "the store is full",
            Self::TooLarge => "the record is too large for the store",
        })
    }
}

impl std::error::Error for StoreError {}
