//! The scripts of the verbs that change something: `scripts/<verb>.lua`.

use std::sync::LazyLock;

use portcullis_storage_api::for_each_verb;
use portcullis_storage_api::wire::{Call, verbs};

use crate::redis::script::Script;

/// A verb that runs a script.
pub(crate) trait Scripted: Call {
    /// The verb's script.
    fn script() -> &'static Script;
}

macro_rules! define_scripts {
    ($({ $verb:ident $name:ident $request:ident $answer:ident $right:ident $execution:ident $doc:literal })*) => {
        $(define_scripts!(@script $execution $verb $name);)*
    };
    (@script script $verb:ident $name:ident) => {
        impl Scripted for verbs::$verb {
            fn script() -> &'static Script {
                static SCRIPT: LazyLock<Script> =
                    LazyLock::new(|| Script::new(include_str!(concat!("scripts/", stringify!($name), ".lua"))));
                &SCRIPT
            }
        }
    };
    (@script $other:ident $verb:ident $name:ident) => {};
}

for_each_verb!(define_scripts);

#[cfg(test)]
mod tests {
    use portcullis_storage_api::wire::{Execution, Verb};

    use super::*;

    macro_rules! list_scripts {
        ($({ $verb:ident $name:ident $request:ident $answer:ident $right:ident $execution:ident $doc:literal })*) => {
            vec![$(list_scripts!(@entry $execution $verb)),*].into_iter().flatten().collect()
        };
        (@entry script $verb:ident) => {
            Some((Verb::$verb, <verbs::$verb as Scripted>::script()))
        };
        (@entry $other:ident $verb:ident) => {
            None
        };
    }

    fn scripts() -> Vec<(Verb, &'static Script)> {
        for_each_verb!(list_scripts)
    }

    #[test]
    fn a_script_uses_only_the_granted_commands_and_says_why_it_is_one() {
        const GRANTED: [&str; 9] = ["GET", "SET", "DEL", "EXISTS", "PEXPIRE", "PTTL", "SADD", "SREM", "SMEMBERS"];
        assert_eq!(scripts().len(), Verb::ALL.iter().filter(|verb| verb.execution() == Execution::Script).count());
        for (verb, script) in scripts() {
            let (verb, text) = (verb.name(), script.text());
            assert!(text.starts_with(&format!("-- {verb}: ")), "{verb}");
            let prose = text.replace("\n-- ", " ");
            assert!(prose.contains(". One script, because "), "{verb}");
            let calls = text.split("redis.call('").skip(1).map(|rest| rest.split('\'').next().unwrap());
            for command in calls {
                assert!(GRANTED.contains(&command), "{verb} calls {command}");
            }
        }
    }

    #[test]
    fn every_script_has_its_own_digest() {
        let mut digests: Vec<&str> = scripts().iter().map(|(_, script)| script.digest()).collect();
        assert!(digests.iter().all(|digest| digest.len() == 40));
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), scripts().len());
    }
}
