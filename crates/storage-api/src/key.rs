//! The kinds of records, and the name of one record.

use std::fmt;

use crate::text::{Text, as_text, hex, of_hex};

/// The kind of a record. It is part of the record's name, and decides whether a full store may drop
/// the record. Its number is part of the record's seal and is never reused.
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
    /// The upstream provider's tokens of one session.
    Upstream = 5,
    /// A rate-limit bucket.
    RateLimit = 6,
    /// A lock held for the length of one upstream refresh.
    Lock = 7,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Pending, Self::Session, Self::Client, Self::Consent, Self::Upstream, Self::RateLimit, Self::Lock];

    /// Returns the part of a stored name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Session => "session",
            Self::Client => "client",
            Self::Consent => "consent",
            Self::Upstream => "upstream",
            Self::RateLimit => "ratelimit",
            Self::Lock => "lock",
        }
    }

    /// Returns `true` if a bounded store may drop a record of this kind before it expires.
    ///
    /// Strangers can create these records without a login, so a flood of them must not evict a
    /// user's session; losing one costs at most a repeated step. (Without the record of a used
    /// login, the browser that carries the login, and no other, can use it again.)
    #[must_use]
    pub fn is_expendable(self) -> bool {
        match self {
            Self::Pending | Self::RateLimit | Self::Client | Self::Consent => true,
            Self::Session | Self::Upstream | Self::Lock => false,
        }
    }
}

/// The name of one record. The id is a digest, so that no token or user input is ever part of a
/// stored name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// What the record is.
    pub kind: Kind,
    /// SHA-256 of the record's identity within its kind.
    pub id: [u8; 32],
}

impl Key {
    /// Returns `kind:hex`, the name in stores. Built without the formatter, because every stored
    /// name contains it.
    #[must_use]
    pub fn name(&self) -> String {
        [self.kind.name(), ":", &hex(&self.id)].concat()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl Text for Key {
    const FORM: &'static str = "a kind, a colon and 64 lower-case hex digits";

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn of_text(text: &str) -> Option<Self> {
        let (kind, id) = text.split_once(':')?;
        let kind = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
        Some(Self { kind, id: of_hex(id)? })
    }
}

as_text!(Key);
