//! The grants of callers: spaces, and secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_storage_api::wire::{RefusalCause, Space};

use crate::config::{Caller, Right};

/// The rights of every caller.
#[derive(Debug)]
pub(crate) struct CallerPolicy {
    /// `None` if the configuration does not list callers: then every caller has every right.
    rights: Option<BTreeMap<Caller, Right>>,
    /// The callers whose refusal was logged. At most the callers that the configuration allows.
    logged: Mutex<BTreeSet<Caller>>,
}

/// The rights of the caller of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    policy: Arc<CallerPolicy>,
    callers: Arc<[Caller]>,
}

impl CallerPolicy {
    /// Creates the policy of the configuration.
    pub(crate) fn new(rights: Option<BTreeMap<Caller, Right>>) -> Arc<Self> {
        Arc::new(Self { rights, logged: Mutex::default() })
    }

    /// Returns the grant of a caller with these names.
    pub(crate) fn grant(self: &Arc<Self>, callers: Vec<Caller>) -> Grant {
        Grant { policy: Arc::clone(self), callers: callers.into() }
    }
}

impl Grant {
    /// Authorizes a request about a space.
    ///
    /// # Errors
    /// [`RefusalCause::Forbidden`] if the caller has no right to the space.
    pub(crate) fn authorize_space(&self, space: &Space) -> Result<(), RefusalCause> {
        if self.has(|right| right.spaces.iter().any(|spaces| spaces.contains(space))) {
            return Ok(());
        }
        self.log_refusal(&format!("{}:{}", space.namespace(), space.name()));
        Err(RefusalCause::Forbidden)
    }

    /// Authorizes a request for secrets.
    ///
    /// # Errors
    /// [`RefusalCause::Forbidden`] if the caller has no right to secrets.
    pub(crate) fn authorize_secrets(&self) -> Result<(), RefusalCause> {
        if self.has(|right| right.secrets) {
            return Ok(());
        }
        self.log_refusal("secrets");
        Err(RefusalCause::Forbidden)
    }

    fn has(&self, is_enough: impl Fn(&Right) -> bool) -> bool {
        let Some(rights) = &self.policy.rights else { return true };
        self.callers.iter().filter_map(|caller| rights.get(caller)).any(is_enough)
    }

    /// Logs the first refusal of a caller.
    fn log_refusal(&self, requested: &str) {
        let Some(caller) = self.callers.first() else { return };
        let is_new = self.policy.logged.lock().unwrap_or_else(PoisonError::into_inner).insert(caller.clone());
        if is_new {
            tracing::warn!(%caller, requested, "caller without the right to its request; logged once per caller");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Spaces;

    fn space(namespace: &str, name: &str) -> Space {
        Space::new(namespace, name).unwrap()
    }

    #[test]
    fn a_caller_has_the_spaces_of_all_its_names_and_no_other() {
        let (first, second) = (Caller::Name("a.example".to_owned()), Caller::Name("spiffe://x/b".to_owned()));
        let one = Spaces::One(space("prod", "gateway"));
        let policy = CallerPolicy::new(Some(BTreeMap::from([
            (first.clone(), Right { spaces: vec![one], secrets: false }),
            (second.clone(), Right { spaces: vec![Spaces::Namespace("test".to_owned())], secrets: true }),
            (Caller::Uid(7), Right { spaces: vec![Spaces::All], secrets: false }),
        ])));
        let both = policy.grant(vec![first.clone(), second]);
        assert!(both.authorize_space(&space("prod", "gateway")).is_ok());
        assert!(both.authorize_space(&space("test", "anything")).is_ok());
        assert_eq!(both.authorize_space(&space("prod", "gateway2")), Err(RefusalCause::Forbidden));
        assert_eq!(both.authorize_secrets(), Ok(()));
        for without in [first.clone(), Caller::Uid(7), Caller::Uid(8)] {
            assert_eq!(policy.grant(vec![without]).authorize_secrets(), Err(RefusalCause::Forbidden));
        }
        assert_eq!(CallerPolicy::new(None).grant(Vec::new()).authorize_secrets(), Ok(()));
        assert_eq!(policy.grant(vec![first]).authorize_space(&space("test", "anything")), Err(RefusalCause::Forbidden));
        assert!(policy.grant(vec![Caller::Uid(7)]).authorize_space(&space("any", "any")).is_ok());
        assert_eq!(
            policy.grant(vec![Caller::Uid(8)]).authorize_space(&space("any", "any")),
            Err(RefusalCause::Forbidden)
        );
        assert_eq!(policy.grant(Vec::new()).authorize_space(&space("any", "any")), Err(RefusalCause::Forbidden));
        assert!(CallerPolicy::new(None).grant(Vec::new()).authorize_space(&space("any", "any")).is_ok());
    }
}
