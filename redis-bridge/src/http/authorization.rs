//! Who asks, and which records are theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_storage_api::wire::{
    AwaitChange, CompareAndSwap, Delete, Get, GetMany, Lock, MemberWrite, Members, Put, RefusalCause, Space, Take,
    TakeTokens, Unlock,
};

use crate::config::{Caller, Right};

/// What each caller may use.
#[derive(Debug)]
pub(crate) struct Rights {
    /// `None` where the configuration does not tell callers apart.
    rights: Option<BTreeMap<Caller, Right>>,
    /// The callers whose refusal was logged: the same one a thousand times tells nothing more.
    told: Mutex<BTreeSet<Caller>>,
}

/// What the caller at the other end of a connection may use.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    rights: Arc<Rights>,
    callers: Arc<[Caller]>,
}

/// A request about one space.
pub(crate) trait InSpace {
    /// The space.
    fn space(&self) -> &Space;
}

impl Rights {
    /// As the configuration has them.
    pub(crate) fn new(rights: Option<BTreeMap<Caller, Right>>) -> Arc<Self> {
        Arc::new(Self { rights, told: Mutex::default() })
    }

    /// The rights of a caller that is known by one or more names.
    pub(crate) fn of(self: &Arc<Self>, callers: Vec<Caller>) -> Grant {
        Grant { rights: Arc::clone(self), callers: callers.into() }
    }
}

impl Grant {
    /// Returns the request if its space is the caller's.
    ///
    /// # Errors
    /// [`RefusalCause::Forbidden`] for any other.
    pub(crate) fn covers<T: InSpace>(&self, request: T) -> Result<T, RefusalCause> {
        if self.has(|right| right.spaces.iter().any(|spaces| spaces.contains(request.space()))) {
            return Ok(request);
        }
        let space = request.space();
        self.tell(&format!("{}:{}", space.namespace(), space.name()));
        Err(RefusalCause::Forbidden)
    }

    /// Whether the caller may ask for secrets.
    ///
    /// # Errors
    /// [`RefusalCause::Forbidden`] where it may not.
    pub(crate) fn covers_secrets(&self) -> Result<(), RefusalCause> {
        if self.has(|right| right.secrets) {
            return Ok(());
        }
        self.tell("secrets");
        Err(RefusalCause::Forbidden)
    }

    fn has(&self, enough: impl Fn(&Right) -> bool) -> bool {
        let Some(rights) = &self.rights.rights else { return true };
        self.callers.iter().filter_map(|caller| rights.get(caller)).any(enough)
    }

    /// Only those who were let in come here, so that there are no more of them than the
    /// configuration names.
    fn tell(&self, asked: &str) {
        let Some(caller) = self.callers.first() else { return };
        let is_new = self.rights.told.lock().unwrap_or_else(PoisonError::into_inner).insert(caller.clone());
        if is_new {
            tracing::warn!(%caller, asked, "a caller has no right to what it asks for; this is said once");
        }
    }
}

macro_rules! in_space {
    ($($request:ty),*) => {
        $(impl InSpace for $request {
            fn space(&self) -> &Space {
                &self.space
            }
        })*
    };
}

in_space!(Get, GetMany, Put, Take, CompareAndSwap, Delete, MemberWrite, Members, Lock, Unlock, AwaitChange, TakeTokens);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Spaces;
    use portcullis_storage_api::{Key, Kind};

    fn get(namespace: &str, name: &str) -> Get {
        Get { space: Space::new(namespace, name).unwrap(), key: Key { kind: Kind::Session, id: [0; 32] } }
    }

    #[test]
    fn a_caller_has_the_spaces_of_all_its_names_and_no_other() {
        let (first, second) = (Caller::Name("a.example".to_owned()), Caller::Name("spiffe://x/b".to_owned()));
        let one = Spaces::One(Space::new("prod", "gateway").unwrap());
        let rights = Rights::new(Some(BTreeMap::from([
            (first.clone(), Right { spaces: vec![one], secrets: false }),
            (second.clone(), Right { spaces: vec![Spaces::Namespace("test".to_owned())], secrets: true }),
            (Caller::Uid(7), Right { spaces: vec![Spaces::All], secrets: false }),
        ])));
        let both = rights.of(vec![first.clone(), second]);
        assert!(both.covers(get("prod", "gateway")).is_ok());
        assert!(both.covers(get("test", "anything")).is_ok());
        assert_eq!(both.covers(get("prod", "gateway2")), Err(RefusalCause::Forbidden));
        assert_eq!(both.covers_secrets(), Ok(()));
        for without in [first.clone(), Caller::Uid(7), Caller::Uid(8)] {
            assert_eq!(rights.of(vec![without]).covers_secrets(), Err(RefusalCause::Forbidden));
        }
        assert_eq!(Rights::new(None).of(Vec::new()).covers_secrets(), Ok(()));
        assert_eq!(rights.of(vec![first]).covers(get("test", "anything")), Err(RefusalCause::Forbidden));
        assert!(rights.of(vec![Caller::Uid(7)]).covers(get("any", "any")).is_ok());
        assert_eq!(rights.of(vec![Caller::Uid(8)]).covers(get("any", "any")), Err(RefusalCause::Forbidden));
        assert_eq!(rights.of(Vec::new()).covers(get("any", "any")), Err(RefusalCause::Forbidden));
        assert!(Rights::new(None).of(Vec::new()).covers(get("any", "any")).is_ok());
    }
}
