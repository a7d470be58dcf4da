//! The open streams of a worker that a login has let through, and when each must end.
//!
//! A request is decided once, and its response may go on for hours: an event stream, a long poll, a
//! WebSocket. So each stream is kept with its grant until it is closed, and the root looks at them
//! on its ticks. A stream ends
//!
//! - when its session has ended: at once in this Envoy, where the workers tell each other, and by a
//!   look at the store every [`CHECK_SECONDS`] elsewhere,
//! - when its access token has expired, unless the login was refreshed meanwhile; then when the
//!   token expires that the last refresh gave. Behind a token of a trusted issuer there is no
//!   login, so its streams end with it.
//!
//! A client whose stream is cut off comes back, and gets what a call gets: 401, on which it
//! refreshes or logs in. While the store is unavailable a stream goes on until its token expires,
//! as calls do.

use std::cell::RefCell;
use std::collections::BTreeSet;

use portcullis_gateway::decision::Grant;
use portcullis_protocol::credentials::SessionId;

/// The open streams of a worker that a login has let through.
#[derive(Default)]
pub(crate) struct OpenStreams(RefCell<Open>);

/// Where a stream is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(usize);

/// An open stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenStream {
    /// Its context.
    id: u32,
    /// When it was let through, in Unix seconds.
    pub(crate) opened_at: u64,
    /// By what it was let through; its end moves on with the refreshes of the login.
    pub(crate) grant: Grant,
    /// When its session is to be looked up, in Unix seconds.
    check_at: u64,
    /// Whether it was marked as one to be closed, which is done once.
    is_over: bool,
}

/// The result of a look at the store about a session's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    /// The session lives, and its last refresh keeps them until then, in Unix seconds.
    Until(u64),
    /// The session has ended.
    Ended,
    /// The store did not answer.
    Unknown,
}

#[derive(Default)]
struct Open {
    /// Streams, and free places in between; a stream stays in its place.
    places: Vec<Option<OpenStream>>,
    free: Vec<usize>,
    /// The contexts of those that are to be closed.
    over: Vec<u32>,
}

impl OpenStreams {
    /// Adds a stream that goes on at `now`, in Unix seconds.
    pub(crate) fn enter(&self, id: u32, grant: Grant, now: u64) -> Place {
        let mut open = self.0.borrow_mut();
        let check_at = now.saturating_add(FIRST_CHECK_SECONDS).min(grant.expires_at);
        let stream = OpenStream { id, opened_at: now, grant, check_at, is_over: false };
        let free = open.free.pop();
        match free.and_then(|place| Some((place, open.places.get_mut(place)?))) {
            Some((place, free)) => {
                *free = Some(stream);
                Place(place)
            }
            None => {
                open.places.push(Some(stream));
                Place(open.places.len().saturating_sub(1))
            }
        }
    }

    /// Removes a stream that is closed.
    pub(crate) fn leave(&self, Place(place): Place) {
        let mut open = self.0.borrow_mut();
        if open.places.get_mut(place).is_some_and(|stream| stream.take().is_some()) {
            open.free.push(place);
        }
    }

    /// Returns the stream in a place.
    pub(crate) fn at(&self, Place(place): Place) -> Option<OpenStream> {
        self.0.borrow().places.get(place).cloned().flatten()
    }

    /// Marks every stream of the sessions that have ended.
    pub(crate) fn end_sessions(&self, has_ended: impl Fn(SessionId) -> bool) {
        self.0.borrow_mut().update(|session| session.is_some_and(&has_ended), |_| true);
    }

    /// Returns up to `most` sessions that are to be looked up at `now`, in Unix seconds. Each is
    /// returned again after a while, if [`OpenStreams::checked`] does not say otherwise.
    pub(crate) fn take_due(&self, most: usize, now: u64) -> BTreeSet<SessionId> {
        let mut open = self.0.borrow_mut();
        let mut sessions = BTreeSet::new();
        for stream in open.places.iter().flatten().filter(|stream| stream.is_due(now)) {
            if let Some(session) = stream.grant.session.filter(|_| sessions.len() < most) {
                sessions.insert(session);
            }
        }
        open.update(
            |session| session.is_none_or(|session| sessions.contains(&session)),
            |stream| {
                stream.check_at = now.saturating_add(CHECK_SECONDS);
                if stream.grant.session.is_none() {
                    stream.check_at = stream.check_at.min(stream.grant.expires_at);
                }
                stream.grant.session.is_none() && now >= stream.grant.expires_at
            },
        );
        sessions
    }

    /// Applies what was found out about a session at `now`, in Unix seconds. Streams whose end has
    /// come are marked.
    pub(crate) fn checked(&self, session: SessionId, checked: Checked, now: u64) {
        self.0.borrow_mut().update(
            |other| other == Some(session),
            |stream| {
                let next = match checked {
                    Checked::Ended => return true,
                    Checked::Until(until) => {
                        stream.grant.expires_at = stream.grant.expires_at.max(until);
                        CHECK_SECONDS
                    }
                    Checked::Unknown => RETRY_SECONDS,
                };
                stream.check_at = now.saturating_add(next).min(stream.grant.expires_at);
                now >= stream.grant.expires_at
            },
        );
    }

    /// Removes and returns up to `most` of the marked streams, which are to be closed.
    pub(crate) fn take_over(&self, most: usize) -> Vec<u32> {
        let mut open = self.0.borrow_mut();
        let rest = open.over.len().saturating_sub(most);
        open.over.split_off(rest)
    }

    /// Returns `true` if any stream is marked and not taken.
    pub(crate) fn has_over(&self) -> bool {
        !self.0.borrow().over.is_empty()
    }
}

impl Open {
    /// Changes every stream of some sessions, and marks those for which `is_over` returns `true`.
    fn update(
        &mut self,
        is_theirs: impl Fn(Option<SessionId>) -> bool,
        mut is_over: impl FnMut(&mut OpenStream) -> bool,
    ) {
        for stream in self.places.iter_mut().flatten() {
            if !stream.is_over && is_theirs(stream.grant.session) && is_over(stream) {
                stream.is_over = true;
                self.over.push(stream.id);
            }
        }
    }
}

impl OpenStream {
    /// A time that is further away than any is set is from before the clock was set back.
    fn is_due(&self, now: u64) -> bool {
        !self.is_over && (self.check_at <= now || self.check_at.saturating_sub(now) > CHECK_SECONDS)
    }
}

/// How soon a session is looked up first, in seconds. It may have ended while the stream was being
/// let through.
const FIRST_CHECK_SECONDS: u64 = 5;
/// How often a session is looked up, in seconds.
const CHECK_SECONDS: u64 = 30;
/// How soon it is looked up again if the store did not answer, in seconds.
const RETRY_SECONDS: u64 = 5;

#[cfg(test)]
#[path = "open_streams_tests.rs"]
mod open_streams_tests;
