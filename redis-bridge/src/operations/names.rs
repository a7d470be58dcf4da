//! The names under which records are stored: `<prefix>{<namespace>:<name>}:<kind>:<hex>`.
//!
//! The braces are a hash tag: everything of one gateway has one slot, so a script may touch two
//! names in a cluster too. Every part is of a type that cannot hold a colon, a brace or a pattern,
//! so no caller can name anything else.

use portcullis_storage_api::wire::{Execution, IdempotencyKey, Space, Verb, hex};
use portcullis_storage_api::{Key, Kind};
use serde::Deserialize as _;
use serde::de::value::{Error, StrDeserializer};

use crate::redis::slot::slot;

/// The names of one key prefix.
#[derive(Debug, Clone)]
pub struct Names {
    prefix: String,
}

/// The meaning of a stored name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// A record, a lock or a bucket.
    Record(Key),
    /// A set.
    Set(Kind),
    /// The stored answer of one mutation.
    Replay(Kind),
    /// None of the bridge's names.
    Unknown,
}

impl Names {
    /// Creates the names with a prefix that ends with a colon.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// Returns the name of a record, a lock or a bucket.
    #[must_use]
    pub fn record(&self, space: &Space, key: &Key) -> String {
        self.of_space(space) + &key.name()
    }

    /// Returns the cluster's slot of every name of a space.
    pub(crate) fn slot(&self, space: &Space) -> u16 {
        slot(&tag(space))
    }

    /// Returns the name of a set.
    pub(crate) fn set(&self, space: &Space, key: &Key) -> String {
        self.record(space, key) + ":members"
    }

    /// Returns the name of one mutation's stored answer. It includes the verb and the record, so
    /// that an idempotency key that is used for two mutations never answers one with the other.
    pub(crate) fn replay(&self, space: &Space, key: &Key, verb: Verb, idempotency: IdempotencyKey) -> String {
        [&self.record(space, key), ":", verb.name(), ":", &hex(&idempotency.0)].concat()
    }

    /// Returns a pattern for `SCAN` that matches all names of a space, or those of one kind. Its
    /// last letter is the only wildcard.
    #[must_use]
    pub fn pattern(&self, space: &Space, kind: Option<Kind>) -> String {
        let kind = kind.map(|kind| format!("{}:", kind.name())).unwrap_or_default();
        format!("{}{kind}*", self.of_space(space))
    }

    /// Parses a stored name of a space.
    #[must_use]
    pub fn read(&self, space: &Space, name: &[u8]) -> Stored {
        let text = std::str::from_utf8(name).ok().and_then(|name| name.strip_prefix(&self.of_space(space)));
        let parts: Vec<&str> = text.unwrap_or_default().splitn(3, ':').collect();
        let (kind, id, rest) = match parts.as_slice() {
            [kind, id] => (kind, id, None),
            [kind, id, rest] => (kind, id, Some(*rest)),
            _ => return Stored::Unknown,
        };
        let Some(key) = key(&format!("{kind}:{id}")) else { return Stored::Unknown };
        match rest {
            None => Stored::Record(key),
            Some("members") => Stored::Set(key.kind),
            Some(rest) if is_replay(rest) => Stored::Replay(key.kind),
            Some(_) => Stored::Unknown,
        }
    }

    fn of_space(&self, space: &Space) -> String {
        [&self.prefix, "{", space.namespace(), ":", space.name(), "}:"].concat()
    }
}

/// Parses a record's name as on the wire: a kind, a colon and 64 hex digits.
fn key(text: &str) -> Option<Key> {
    Key::deserialize(StrDeserializer::<Error>::new(text)).ok()
}

/// Returns `true` for what follows a record's name in the name of a stored answer.
fn is_replay(rest: &str) -> bool {
    let scripted = Verb::ALL.iter().filter(|verb| verb.execution() == Execution::Script);
    scripted.into_iter().any(|verb| rest.strip_prefix(verb.name()).is_some_and(|rest| rest.starts_with(':')))
}

fn tag(space: &Space) -> String {
    format!("{}:{}", space.namespace(), space.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_shape_that_the_acl_grants() {
        let names = Names::new("thv:auth:");
        let space = Space::new("prod", "gateway").unwrap();
        let key = Key { kind: Kind::Session, id: [0xab; 32] };
        let record = format!("thv:auth:{{prod:gateway}}:session:{}", "ab".repeat(32));
        assert_eq!(names.record(&space, &key), record);
        assert_eq!(names.set(&space, &key), format!("{record}:members"));
        let memory = names.replay(&space, &key, Verb::Delete, IdempotencyKey([1; 16]));
        assert_eq!(memory, format!("{record}:delete:{}", "01".repeat(16)));
    }

    #[test]
    fn a_stored_name_is_read_as_what_it_was_made_for() {
        let names = Names::new("thv:auth:");
        let space = Space::new("prod", "gateway").unwrap();
        let key = Key { kind: Kind::Client, id: [0xab; 32] };
        let read = |name: &str| names.read(&space, name.as_bytes());
        let record = names.record(&space, &key);
        assert_eq!(read(&record), Stored::Record(key));
        assert_eq!(read(&names.set(&space, &key)), Stored::Set(Kind::Client));
        let memory = names.replay(&space, &key, Verb::CompareAndSwap, IdempotencyKey([1; 16]));
        assert_eq!(read(&memory), Stored::Replay(Kind::Client));
        let other = Space::new("prod", "gateway2").unwrap();
        let strange = [names.record(&other, &key), format!("{record}0"), format!("{record}:x"), record.to_uppercase()];
        for name in strange.iter().map(String::as_str).chain(["", "thv:auth:{prod:gateway}:"]) {
            assert_eq!(read(name), Stored::Unknown, "{name}");
        }
        assert_eq!(names.read(&space, b"thv:auth:{prod:gateway}:client:\xff"), Stored::Unknown);
        assert_eq!(names.pattern(&space, None), "thv:auth:{prod:gateway}:*");
        assert_eq!(names.pattern(&space, Some(Kind::Client)), "thv:auth:{prod:gateway}:client:*");
    }
}
