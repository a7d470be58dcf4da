//! The sessions that this VM has last heard have ended.

use std::collections::VecDeque;

use portcullis_protocol::credentials::SessionId;

/// The sessions that ended last, so that a request that found one of them just before does not have
/// its token remembered after.
#[derive(Default)]
pub(crate) struct RecentlyEnded(VecDeque<SessionId>);

impl RecentlyEnded {
    /// Adds sessions; the oldest make room.
    pub(crate) fn add(&mut self, sessions: &[SessionId]) {
        for session in sessions {
            if self.contains(*session) {
                continue;
            }
            if self.0.len() >= CAPACITY {
                self.0.pop_front();
            }
            self.0.push_back(*session);
        }
    }

    /// Returns `true` if the session is one of them.
    pub(crate) fn contains(&self, session: SessionId) -> bool {
        self.0.contains(&session)
    }
}

/// As many as a list of ended sessions has: more than end while one request waits for the store.
const CAPACITY: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_known_and_each_once() {
        let session = |number: u16| SessionId::new([number.to_be_bytes(); 8].concat().try_into().unwrap());
        let mut ended = RecentlyEnded::default();
        ended.add(&[session(0), session(1)]);
        for _ in 0..2 * CAPACITY {
            ended.add(&[session(1)]);
        }
        assert!(ended.contains(session(0)) && ended.contains(session(1)) && !ended.contains(session(2)));
        for number in 2..=u16::try_from(CAPACITY).unwrap() {
            ended.add(&[session(number)]);
        }
        assert!(!ended.contains(session(0)) && ended.contains(session(1)));
    }
}
