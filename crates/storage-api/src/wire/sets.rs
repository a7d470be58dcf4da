//! The verbs on sets.

use serde::{Deserialize, Serialize};

use super::mutation::Mutation;
use super::records::record;
use super::space::Space;
use crate::key::Key;
use crate::record::Ttl;
use crate::text::{Text, as_text, hex, of_hex};

/// A member of a set: a digest; 64 hex digits on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member(pub [u8; 32]);

impl Text for Member {
    const FORM: &'static str = "64 lower-case hex digits";

    fn to_text(&self) -> String {
        hex(&self.0)
    }

    fn of_text(text: &str) -> Option<Self> {
        of_hex(text).map(Self)
    }
}

as_text!(Member);

/// The request of `add_member` and `remove_member`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberWrite {
    /// The space.
    pub space: Space,
    /// The set. A record of the same key is independent of it.
    #[serde(deserialize_with = "record")]
    pub key: Key,
    /// The member to add or remove.
    pub member: Member,
    /// The minimum lifetime of the set from now. A new member never shortens it, and
    /// `remove_member` ignores it.
    pub ttl: Ttl,
    /// Idempotency and durability.
    pub mutation: Mutation,
}

/// The answer to `add_member` and `remove_member`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberAnswer {
    /// Whether the set changed.
    pub changed: bool,
}

/// The request of `members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Members {
    /// The space.
    pub space: Space,
    /// The set.
    #[serde(deserialize_with = "record")]
    pub key: Key,
}

/// The answer to `members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MembersAnswer {
    /// The members, in ascending order.
    pub members: Vec<Member>,
}

/// The maximum of members of a set.
pub const MAX_MEMBERS: usize = 1024;
