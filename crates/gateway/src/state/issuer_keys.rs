//! The keys of the trusted issuers, as this VM knows them.

use std::cell::RefCell;
use std::rc::Rc;

use portcullis_protocol::jose::keys::JwkSet;

use crate::config::TrustedIssuer;
use crate::state::document_state::{DocumentState, is_within};
use crate::upstream::discovery::FetchedKeys;

/// The keys of each trusted issuer, in the order of the configuration.
pub(crate) struct IssuerKeys(Vec<RefCell<DocumentState<FetchedKeys>>>);

/// The keys that a token of an issuer is verified with.
pub(crate) enum UsableKeys {
    /// The last good set.
    Known {
        /// The keys.
        keys: Rc<JwkSet>,
        /// Whether a key that is not among them may come: they are being fetched again, or may be.
        may_change: bool,
    },
    /// There are none, and they are to be fetched first.
    ToFetch,
    /// There are none, and they could not be fetched just now.
    NeverFetched,
    /// The last good set is too old, and could not be fetched again just now.
    Expired,
}

impl IssuerKeys {
    pub(crate) fn new(issuers: usize) -> Self {
        Self((0..issuers).map(|_| RefCell::default()).collect())
    }

    /// Reads or changes what is known of the issuer at a place; `None` if there is none.
    pub(crate) fn state<T>(
        &self,
        place: usize,
        access: impl FnOnce(&mut DocumentState<FetchedKeys>) -> T,
    ) -> Option<T> {
        self.0.get(place).map(|state| access(&mut state.borrow_mut()))
    }

    /// Returns the keys of an issuer that may be used at `now`, in Unix seconds: no longer than the
    /// configuration allows after they were fetched, however good they were.
    pub(crate) fn usable(&self, place: usize, issuer: &TrustedIssuer, now: u64) -> UsableKeys {
        let may_change = |state: &DocumentState<FetchedKeys>| state.is_being_fetched || state.may_ask_again(now);
        let found = self.state(place, |state| match &state.known {
            Some(known) if is_within(Some(known.fetched_at), now, issuer.max_key_age) => {
                UsableKeys::Known { keys: Rc::clone(&known.keys), may_change: may_change(state) }
            }
            Some(_) if may_change(state) => UsableKeys::ToFetch,
            Some(_) => UsableKeys::Expired,
            None if state.is_unknown(now) => UsableKeys::ToFetch,
            None => UsableKeys::NeverFetched,
        });
        found.unwrap_or(UsableKeys::NeverFetched)
    }

    /// Returns `true` if this is still the issuer's set at `now`, so that what it verified counts.
    pub(crate) fn is_current(&self, place: usize, issuer: &TrustedIssuer, keys: &Rc<JwkSet>, now: u64) -> bool {
        matches!(self.usable(place, issuer, now), UsableKeys::Known { keys: current, .. } if Rc::ptr_eq(&current, keys))
    }

    /// Returns the places of the issuers whose keys are to be fetched at `now`, in Unix seconds; in
    /// a VM that does not serve, of those only that were never reached.
    pub(crate) fn due(&self, now: u64, serves: bool) -> Vec<usize> {
        let is_due = |state: &DocumentState<FetchedKeys>| state.is_due(now) && (serves || state.is_probe_due(now));
        self.0.iter().enumerate().filter(|(_, state)| is_due(&state.borrow())).map(|(place, _)| place).collect()
    }
}
