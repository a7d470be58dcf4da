//! The paused streams that wait for a root task.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use portcullis_gateway::decision::Settled;
use portcullis_gateway::upstream::refresh::RefreshOutcome;
use portcullis_protocol::credentials::SessionId;

use crate::apply::Fate;

/// The paused streams that wait for a root task, and those of them that are decided and wait for
/// their turn to be settled; both by the stream's context.
#[derive(Default)]
pub(crate) struct Waiting {
    undecided: RefCell<BTreeMap<u32, Waiter>>,
    decided: RefCell<BTreeMap<u32, (Waiter, RefreshOutcome)>>,
}

/// One paused stream.
pub(crate) struct Waiter {
    /// The stream's context.
    pub(crate) stream: u32,
    /// What it waits for.
    pub(crate) awaited: Awaited,
    /// Turns the outcome into its decision. For the provider's documents there is none, and any is
    /// ignored.
    pub(crate) decide: Box<dyn FnOnce(&RefreshOutcome) -> Settled>,
    /// When it is decided without an outcome, in Unix seconds.
    pub(crate) deadline: u64,
    /// Where the stream looks up what became of it.
    pub(crate) fate: Rc<Fate>,
}

/// What a stream waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// The upstream tokens of this session.
    Session(SessionId),
    /// The provider's documents.
    Provider,
}

impl Waiting {
    pub(crate) fn add(&self, waiter: Waiter) {
        self.undecided.borrow_mut().insert(waiter.stream, waiter);
    }

    /// Forgets a stream that ended otherwise.
    pub(crate) fn remove(&self, stream: u32) {
        self.undecided.borrow_mut().remove(&stream);
        self.decided.borrow_mut().remove(&stream);
    }

    /// Decides all that wait for a session.
    pub(crate) fn decide_session(&self, session: SessionId, outcome: &RefreshOutcome) {
        self.decide(|waiter| waiter.awaited == Awaited::Session(session), outcome);
    }

    /// Decides all that wait for the provider's documents, which have come or will not.
    pub(crate) fn decide_provider(&self) {
        self.decide(|waiter| waiter.awaited == Awaited::Provider, &RefreshOutcome::Unavailable);
    }

    /// Decides all that have waited long enough.
    pub(crate) fn decide_overdue(&self, now: u64, outcome: &RefreshOutcome) {
        self.decide(|waiter| waiter.deadline <= now, outcome);
    }

    /// Takes out up to `most` that are decided, each with its decision.
    pub(crate) fn take_decided(&self, most: usize) -> Vec<(u32, Rc<Fate>, Settled)> {
        let mut decided = self.decided.borrow_mut();
        let taken = std::iter::from_fn(|| decided.pop_first()).take(most);
        taken.map(|(stream, (Waiter { decide, fate, .. }, outcome))| (stream, fate, decide(&outcome))).collect()
    }

    /// Whether any are decided and not settled yet.
    pub(crate) fn has_decided(&self) -> bool {
        !self.decided.borrow().is_empty()
    }

    /// Whether any stream waits for a session.
    pub(crate) fn has(&self, session: SessionId) -> bool {
        self.undecided.borrow().values().any(|waiter| waiter.awaited == Awaited::Session(session))
    }

    /// Every session that is waited for, once.
    pub(crate) fn sessions(&self) -> Vec<SessionId> {
        let waiting = self.undecided.borrow();
        let awaited = waiting.values().filter_map(|waiter| match waiter.awaited {
            Awaited::Session(session) => Some((*session.as_bytes(), session)),
            Awaited::Provider => None,
        });
        awaited.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    fn decide(&self, which: impl Fn(&Waiter) -> bool, outcome: &RefreshOutcome) {
        let mut undecided = self.undecided.borrow_mut();
        let decided = undecided.extract_if(.., |_, waiter| which(waiter));
        self.decided.borrow_mut().extend(decided.map(|(stream, waiter)| (stream, (waiter, outcome.clone()))));
    }
}
