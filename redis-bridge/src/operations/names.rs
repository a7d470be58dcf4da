//! The names under which records are stored: `<prefix>{<namespace>:<name>}:<kind>:<hex>`.
//!
//! The braces are a hash tag: everything of one gateway has one slot, so a script may touch two
//! names in a cluster too. Every part is of a type that cannot hold a colon, a brace or a pattern,
//! so no caller can name anything else.

use portcullis_storage_api::wire::{IdempotencyKey, Space, hex};
use portcullis_storage_api::{Key, Kind};
use serde::Deserialize as _;
use serde::de::value::{Error, StrDeserializer};

use crate::operations::script::Script;
use crate::redis::slot::slot;

/// Makes stored names.
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
    /// The memory of one mutation's answer.
    Memory(Kind),
    /// Nothing that is made here.
    Unknown,
}

impl Names {
    /// With the prefix of all names, which ends with a colon.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// A record, a lock or a bucket.
    #[must_use]
    pub fn record(&self, space: &Space, key: &Key) -> String {
        self.of_space(space) + &key.name()
    }

    /// The cluster's slot of everything in a space.
    pub(crate) fn slot(&self, space: &Space) -> u16 {
        slot(&tag(space))
    }

    /// A set.
    pub(crate) fn set(&self, space: &Space, key: &Key) -> String {
        self.record(space, key) + ":members"
    }

    /// The memory of one mutation's answer. It holds the verb and the record too: an idempotency
    /// key used twice for two things is two keys, and one caller's key never answers for another
    /// record.
    pub(crate) fn memory(&self, space: &Space, key: &Key, script: Script, idempotency: IdempotencyKey) -> String {
        [&self.record(space, key), ":", script.name(), ":", &hex(&idempotency.0)].concat()
    }

    /// What matches all names of a space, or those of one kind. Only its last letter means more
    /// than itself.
    #[must_use]
    pub fn pattern(&self, space: &Space, kind: Option<Kind>) -> String {
        let kind = kind.map(|kind| format!("{}:", kind.name())).unwrap_or_default();
        format!("{}{kind}*", self.of_space(space))
    }

    /// Reads a stored name of a space.
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
            Some(memory) if Script::ALL.iter().any(|script| memory.starts_with(&format!("{}:", script.name()))) => {
                Stored::Memory(key.kind)
            }
            Some(_) => Stored::Unknown,
        }
    }

    fn of_space(&self, space: &Space) -> String {
        [&self.prefix, "{", space.namespace(), ":", space.name(), "}:"].concat()
    }
}

/// Reads a record's name as the wire writes it, a kind, a colon and 64 hex digits.
pub(crate) fn key(text: &str) -> Option<Key> {
    Key::deserialize(StrDeserializer::<Error>::new(text)).ok()
}

fn tag(space: &Space) -> String {
    format!("{}:{}", space.namespace(), space.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_storage_api::Kind;

    #[test]
    fn names_have_the_shape_that_the_acl_grants() {
        let names = Names::new("thv:auth:");
        let space = Space::new("prod", "gateway").unwrap();
        let key = Key { kind: Kind::Session, id: [0xab; 32] };
        let record = format!("thv:auth:{{prod:gateway}}:session:{}", "ab".repeat(32));
        assert_eq!(names.record(&space, &key), record);
        assert_eq!(names.set(&space, &key), format!("{record}:members"));
        let memory = names.memory(&space, &key, Script::Take, IdempotencyKey([1; 16]));
        assert_eq!(memory, format!("{record}:take:{}", "01".repeat(16)));
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
        let memory = names.memory(&space, &key, Script::CompareAndSwap, IdempotencyKey([1; 16]));
        assert_eq!(read(&memory), Stored::Memory(Kind::Client));
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
