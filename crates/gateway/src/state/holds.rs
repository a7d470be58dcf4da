//! What is not done again for a moment, by upstream tokens.

use std::cell::RefCell;

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use crate::ports::UpstreamTokenRef;

/// Upstream tokens for which something was done less than a fixed time ago.
pub(crate) struct Holds {
    /// When each is over, in Unix seconds.
    until: RefCell<HashMap<UpstreamTokenRef, u64, FixedState>>,
    seconds: u64,
}

impl Holds {
    /// None yet; each is to last this long.
    pub(crate) fn new(seconds: u64, hasher: FixedState) -> Self {
        Self { until: RefCell::new(HashMap::with_hasher(hasher)), seconds }
    }

    /// Returns `true` if these tokens are held at `now`, in Unix seconds. A hold that would last
    /// longer than any does is from before the clock was set back, and over.
    pub(crate) fn has(&self, token: UpstreamTokenRef, now: u64) -> bool {
        self.until.borrow().get(&token).is_some_and(|until| self.lasts(*until, now))
    }

    /// Holds these tokens from `now` on. Where too many are held already, they are not.
    pub(crate) fn hold(&self, token: UpstreamTokenRef, now: u64) {
        let mut until = self.until.borrow_mut();
        if until.len() >= MOST {
            until.retain(|_, until| self.lasts(*until, now));
        }
        if until.len() < MOST {
            until.insert(token, now.saturating_add(self.seconds));
        }
    }

    fn lasts(&self, until: u64, now: u64) -> bool {
        until.checked_sub(now).is_some_and(|left| left > 0 && left <= self.seconds)
    }
}

const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use portcullis_protocol::credentials::SessionId;

    use super::*;
    use crate::config::ProviderId;
    use crate::ports::TokenOwner;

    fn token(number: u32) -> UpstreamTokenRef {
        let mut session = [0; 16];
        session[..4].copy_from_slice(&number.to_be_bytes());
        let owner = TokenOwner::Session(SessionId::new(session));
        UpstreamTokenRef { owner, provider: ProviderId::of("idp", "https://idp.example") }
    }

    fn holds() -> Holds {
        Holds::new(30, FixedState::with_seed(7))
    }

    #[test]
    fn a_hold_is_over_after_its_time_and_where_the_clock_was_set_back() {
        let holds = holds();
        holds.hold(token(1), 1_000);
        for (now, held) in [(999, false), (1_000, true), (1_029, true), (1_030, false), (2_000, false), (0, false)] {
            assert_eq!(holds.has(token(1), now), held, "{now}");
        }
        assert!(!holds.has(token(2), 1_000));
    }

    #[test]
    fn there_are_only_so_many_at_once() {
        let holds = holds();
        let most = u32::try_from(MOST).unwrap();
        for number in 0..=most {
            holds.hold(token(number), 1_000);
        }
        assert_eq!(holds.until.borrow().len(), MOST);
        assert!(holds.has(token(0), 1_000) && !holds.has(token(most), 1_000));
        holds.hold(token(most), 1_030);
        assert_eq!(holds.until.borrow().len(), 1, "those that are over make room");
    }
}
