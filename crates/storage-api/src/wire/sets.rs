//! The verbs on sets.

use serde::{Deserialize, Serialize};

use super::mutation::Mutation;
use super::records::record;
use super::space::Space;
use crate::key::Key;
use crate::record::Ttl;
use crate::text::{Text, as_text, hex, of_hex};

/// A member of a set: a digest, like a record's id; 64 hex digits on the wire.
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

/// `add_member` and `remove_member`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberWrite {
    /// Whose set.
    pub space: Space,
    /// Which set. A set and a record of the same name do not meet.
    #[serde(deserialize_with = "record")]
    pub key: Key,
    /// What to add or remove.
    pub member: Member,
    /// How long the set lives at least, from now; a set never loses life by a new member. Removing
    /// leaves it alone.
    pub ttl: Ttl,
    /// How it is done.
    pub mutation: Mutation,
}

/// To `add_member` and `remove_member`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberAnswer {
    /// Whether the set changed.
    pub changed: bool,
}

/// `members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Members {
    /// Whose set.
    pub space: Space,
    /// Which set.
    #[serde(deserialize_with = "record")]
    pub key: Key,
}

/// To `members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MembersAnswer {
    /// The members, in ascending order.
    pub members: Vec<Member>,
}

/// The most members a set may have.
pub const MEMBERS: usize = 1024;
