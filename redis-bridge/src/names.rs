//! The names under which records are stored: `<prefix>{<namespace>:<name>}:<kind>:<hex>`.
//!
//! The braces are a hash tag: everything of one gateway has one slot, so a script may touch two names in a cluster too.
//! Every part is of a type that cannot hold a colon, a brace or a pattern, so no caller can name anything else.

use portcullis_storage_api::Key;
use portcullis_storage_api::wire::{IdempotencyKey, Space, hex};

use crate::script::Script;

/// Makes stored names.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: String,
}

impl Names {
    /// With the prefix of all names, which ends with a colon.
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// A record, a lock or a bucket.
    pub(crate) fn record(&self, space: &Space, key: &Key) -> String {
        let id = hex(&key.id);
        [&self.prefix, "{", space.namespace(), ":", space.name(), "}:", key.kind.name(), ":", &id].concat()
    }

    /// A set.
    pub(crate) fn set(&self, space: &Space, key: &Key) -> String {
        self.record(space, key) + ":members"
    }

    /// The memory of one mutation's answer. It holds the verb and the record too: an idempotency key used twice for two
    /// things is two keys, and one caller's key never answers for another record.
    pub(crate) fn memory(&self, space: &Space, key: &Key, script: Script, idempotency: IdempotencyKey) -> String {
        [&self.record(space, key), ":", script.name(), ":", &hex(&idempotency.0)].concat()
    }
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
}
