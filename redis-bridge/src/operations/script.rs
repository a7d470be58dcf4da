//! The constant scripts: one for each verb that changes something.

use std::sync::LazyLock;

/// A script that Redis runs as one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// `put`.
    Put,
    /// `put_new`.
    PutNew,
    /// `take`.
    Take,
    /// `compare_and_swap`.
    CompareAndSwap,
    /// `delete`.
    Delete,
    /// `add_member`.
    AddMember,
    /// `remove_member`.
    RemoveMember,
    /// `lock`.
    Lock,
    /// `unlock`.
    Unlock,
    /// `take_tokens`.
    TakeTokens,
}

impl Script {
    /// The text.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Put => include_str!("scripts/put.lua"),
            Self::PutNew => include_str!("scripts/put_new.lua"),
            Self::Take => include_str!("scripts/take.lua"),
            Self::CompareAndSwap => include_str!("scripts/compare_and_swap.lua"),
            Self::Delete => include_str!("scripts/delete.lua"),
            Self::AddMember => include_str!("scripts/add_member.lua"),
            Self::RemoveMember => include_str!("scripts/remove_member.lua"),
            Self::Lock => include_str!("scripts/lock.lua"),
            Self::Unlock => include_str!("scripts/unlock.lua"),
            Self::TakeTokens => include_str!("scripts/take_tokens.lua"),
        }
    }

    /// The SHA-1 by which Redis knows it once it has seen it.
    pub(crate) fn digest(self) -> &'static str {
        static DIGESTS: LazyLock<Vec<(&'static str, String)>> = LazyLock::new(|| {
            let digest = |script: &Script| (script.name(), redis::Script::new(script.text()).get_hash().to_owned());
            Script::ALL.iter().map(digest).collect()
        });
        DIGESTS.iter().find(|(name, _)| *name == self.name()).map_or("", |(_, digest)| digest)
    }

    /// Its word in stored names, so that a key of one verb means nothing to another.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::PutNew => "put_new",
            Self::Take => "take",
            Self::CompareAndSwap => "compare_and_swap",
            Self::Delete => "delete",
            Self::AddMember => "add_member",
            Self::RemoveMember => "remove_member",
            Self::Lock => "lock",
            Self::Unlock => "unlock",
            Self::TakeTokens => "take_tokens",
        }
    }

    /// Every script.
    pub(crate) const ALL: [Self; 10] = [
        Self::Put,
        Self::PutNew,
        Self::Take,
        Self::CompareAndSwap,
        Self::Delete,
        Self::AddMember,
        Self::RemoveMember,
        Self::Lock,
        Self::Unlock,
        Self::TakeTokens,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_uses_only_the_granted_commands_and_says_why_it_is_one() {
        const GRANTED: [&str; 9] = ["GET", "SET", "DEL", "EXISTS", "PEXPIRE", "PTTL", "SADD", "SREM", "SMEMBERS"];
        for script in Script::ALL {
            let text = script.text();
            assert!(text.starts_with(&format!("-- {}: ", script.name())), "{}", script.name());
            let prose = text.replace("\n-- ", " ");
            assert!(prose.contains(". One script, because "), "{}", script.name());
            let calls = text.split("redis.call('").skip(1).map(|rest| rest.split('\'').next().unwrap());
            for command in calls {
                assert!(GRANTED.contains(&command), "{} calls {command}", script.name());
            }
        }
    }

    #[test]
    fn every_script_has_its_own_digest() {
        let mut digests: Vec<&str> = Script::ALL.iter().map(|script| script.digest()).collect();
        assert!(digests.iter().all(|digest| digest.len() == 40));
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), Script::ALL.len());
    }
}
