//! Who asks, and which records are theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_storage_api::wire::{
    AwaitChange, CompareAndSwap, Delete, Get, GetMany, Lock, MemberWrite, Members, Put, RefusalCause, Space, Take,
    TakeTokens, Unlock,
};

use crate::config::{Caller, Spaces};

/// What each caller may use.
#[derive(Debug)]
pub(crate) struct Rights {
    /// `None` where the configuration does not tell callers apart.
    spaces: Option<BTreeMap<Caller, Vec<Spaces>>>,
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
    pub(crate) fn new(spaces: Option<BTreeMap<Caller, Vec<Spaces>>>) -> Arc<Self> {
        Arc::new(Self { spaces, told: Mutex::default() })
    }

    /// Those of somebody who is known by one or more names.
    pub(crate) fn of(self: &Arc<Self>, callers: Vec<Caller>) -> Grant {
        Grant { rights: Arc::clone(self), callers: callers.into() }
    }
}

impl Grant {
    /// Gives a request back whose space is the caller's.
    ///
    /// # Errors
    /// [`RefusalCause::Forbidden`] for any other.
    pub(crate) fn covers<T: InSpace>(&self, request: T) -> Result<T, RefusalCause> {
        let Some(spaces) = &self.rights.spaces else { return Ok(request) };
        let mut own = self.callers.iter().filter_map(|caller| spaces.get(caller)).flatten();
        if own.any(|spaces| spaces.contains(request.space())) {
            return Ok(request);
        }
        self.tell(request.space());
        Err(RefusalCause::Forbidden)
    }

    /// Only those who were let in come here, so that there are no more of them than the configuration names.
    fn tell(&self, space: &Space) {
        let Some(caller) = self.callers.first() else { return };
        let is_new = self.rights.told.lock().unwrap_or_else(PoisonError::into_inner).insert(caller.clone());
        if is_new {
            let space = format!("{}:{}", space.namespace(), space.name());
            tracing::warn!(%caller, space, "a caller has no right to a space; it is refused, and this is said once");
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
    use portcullis_storage_api::{Key, Kind};

    fn get(namespace: &str, name: &str) -> Get {
        Get { space: Space::new(namespace, name).unwrap(), key: Key { kind: Kind::Session, id: [0; 32] } }
    }

    #[test]
    fn a_caller_has_the_spaces_of_all_its_names_and_no_other() {
        let (first, second) = (Caller::Name("a.example".to_owned()), Caller::Name("spiffe://x/b".to_owned()));
        let one = Spaces::One(Space::new("prod", "gateway").unwrap());
        let rights = Rights::new(Some(BTreeMap::from([
            (first.clone(), vec![one]),
            (second.clone(), vec![Spaces::Namespace("test".to_owned())]),
            (Caller::Uid(7), vec![Spaces::All]),
        ])));
        let both = rights.of(vec![first.clone(), second]);
        assert!(both.covers(get("prod", "gateway")).is_ok());
        assert!(both.covers(get("test", "anything")).is_ok());
        assert_eq!(both.covers(get("prod", "gateway2")), Err(RefusalCause::Forbidden));
        assert_eq!(rights.of(vec![first]).covers(get("test", "anything")), Err(RefusalCause::Forbidden));
        assert!(rights.of(vec![Caller::Uid(7)]).covers(get("any", "any")).is_ok());
        assert_eq!(rights.of(vec![Caller::Uid(8)]).covers(get("any", "any")), Err(RefusalCause::Forbidden));
        assert_eq!(rights.of(Vec::new()).covers(get("any", "any")), Err(RefusalCause::Forbidden));
        assert!(Rights::new(None).of(Vec::new()).covers(get("any", "any")).is_ok());
    }
}
