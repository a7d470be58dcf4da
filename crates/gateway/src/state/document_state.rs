//! What this VM knows of the documents of another server: an identity provider's, a trusted
//! issuer's.

use crate::upstream::provider_error::{Outage, ProviderError};

/// How long after a failure documents that are not known are not asked for again, in seconds.
const FAILURE_SECONDS: u64 = 2;

/// How soon a server that was not reached is probed again where no request waits for it, in
/// seconds.
const PROBE_SECONDS: u64 = 30;

/// Documents of another server, as they were fetched.
pub trait Documents {
    /// How soon known documents are asked for again, in seconds: after a failure, and when a key is
    /// looked for that they do not have.
    const RETRY_SECONDS: u64;

    /// When they were fetched, in Unix seconds.
    fn fetched_at(&self) -> u64;

    /// How long they are used before they are fetched again, in seconds.
    fn life(&self) -> u64;
}

/// What this VM knows of a server.
pub struct DocumentState<T> {
    pub(crate) known: Option<T>,
    /// When the documents were last asked for, in Unix seconds.
    pub(crate) asked_at: Option<u64>,
    /// Whether they are being fetched, so that what needs them is worth waiting for.
    pub(crate) is_being_fetched: bool,
    /// When they last could not be got, in Unix seconds, and why.
    pub(crate) failed: Option<(u64, ProviderError)>,
}

impl<T> Default for DocumentState<T> {
    fn default() -> Self {
        Self { known: None, asked_at: None, is_being_fetched: false, failed: None }
    }
}

impl<T: Documents> DocumentState<T> {
    /// Whether the documents are to be fetched at `now`, in Unix seconds.
    #[must_use]
    pub fn is_due(&self, now: u64) -> bool {
        match &self.known {
            Some(known) => !is_within(Some(known.fetched_at()), now, known.life()) && self.may_ask_again(now),
            None => self.is_unknown(now),
        }
    }

    /// Whether a VM that has no request to serve asks for the documents at `now`, in Unix seconds.
    #[must_use]
    pub fn is_probe_due(&self, now: u64) -> bool {
        self.known.is_none() && !is_within(self.asked_at, now, PROBE_SECONDS)
    }

    /// Whether a request at `now`, in Unix seconds, has to wait for the documents: they are not
    /// known, and have not just failed to come.
    #[must_use]
    pub fn is_unknown(&self, now: u64) -> bool {
        self.known.is_none() && self.just_failed(now).is_none()
    }

    /// Whether known documents may be asked for again.
    pub(crate) fn may_ask_again(&self, now: u64) -> bool {
        !is_within(self.asked_at, now, T::RETRY_SECONDS)
    }

    pub(crate) fn just_failed(&self, now: u64) -> Option<&ProviderError> {
        let (at, error) = self.failed.as_ref()?;
        is_within(Some(*at), now, FAILURE_SECONDS).then_some(error)
    }

    /// What is known of the server, or why nothing is.
    pub(crate) fn known(&self) -> Result<&T, ProviderError> {
        let why = || self.failed.as_ref().map_or(Outage::Timeout.into(), |(_, error)| error.clone());
        self.known.as_ref().ok_or_else(why)
    }
}

/// Whether something happened less than `seconds` before `now`. What a clock that was set back
/// shows as still to come does not count.
pub(crate) fn is_within(at: Option<u64>, now: u64, seconds: u64) -> bool {
    at.and_then(|at| now.checked_sub(at)).is_some_and(|since| since < seconds)
}
