//! The paused streams that wait for a root task.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use portcullis_gateway::decision::Resolved;
use portcullis_gateway::upstream::tokens::RefreshOutcome;
use portcullis_protocol::credentials::SessionId;

use crate::apply::StreamOutcome;

/// The paused streams that wait for a root task, and those of them that are decided and wait for
/// their turn to be settled; both by the stream's context.
#[derive(Default)]
pub(crate) struct PendingStreams {
    waiting: RefCell<BTreeMap<u32, PendingStream>>,
    resolved: RefCell<BTreeMap<u32, (PendingStream, RefreshOutcome)>>,
}

/// One paused stream.
pub(crate) struct PendingStream {
    /// The stream's context.
    pub(crate) stream: u32,
    /// What it waits for.
    pub(crate) awaited: Awaited,
    /// Turns the outcome into its decision. For the provider's documents there is none, and any is
    /// ignored.
    pub(crate) decide: Box<dyn FnOnce(&RefreshOutcome) -> Resolved>,
    /// When it is decided without an outcome, in Unix seconds.
    pub(crate) deadline: u64,
    /// Where the stream looks up what became of it.
    pub(crate) outcome: Rc<StreamOutcome>,
}

/// What a stream waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// The upstream tokens of this session.
    Session(SessionId),
    /// The provider's documents.
    Provider,
}

impl PendingStreams {
    pub(crate) fn add(&self, stream: PendingStream) {
        self.waiting.borrow_mut().insert(stream.stream, stream);
    }

    /// Forgets a stream that ended otherwise.
    pub(crate) fn remove(&self, stream: u32) {
        self.waiting.borrow_mut().remove(&stream);
        self.resolved.borrow_mut().remove(&stream);
    }

    /// Decides all that wait for a session.
    pub(crate) fn resolve_session(&self, session: SessionId, outcome: &RefreshOutcome) {
        self.resolve(|stream| stream.awaited == Awaited::Session(session), outcome);
    }

    /// Decides all that wait for the provider's documents, which have come or will not.
    pub(crate) fn resolve_provider(&self) {
        self.resolve(|stream| stream.awaited == Awaited::Provider, &RefreshOutcome::Unavailable);
    }

    /// Decides all that have waited long enough.
    pub(crate) fn resolve_overdue(&self, now: u64, outcome: &RefreshOutcome) {
        self.resolve(|stream| stream.deadline <= now, outcome);
    }

    /// Takes out up to `most` that are decided, each with its decision.
    pub(crate) fn take_resolved(&self, most: usize) -> Vec<(u32, Rc<StreamOutcome>, Resolved)> {
        let mut resolved = self.resolved.borrow_mut();
        let taken = std::iter::from_fn(|| resolved.pop_first()).take(most);
        taken
            .map(|(stream, (PendingStream { decide, outcome, .. }, refreshed))| (stream, outcome, decide(&refreshed)))
            .collect()
    }

    /// Whether any are decided and not settled yet.
    pub(crate) fn has_resolved(&self) -> bool {
        !self.resolved.borrow().is_empty()
    }

    /// Whether any stream waits for a session.
    pub(crate) fn has(&self, session: SessionId) -> bool {
        self.waiting.borrow().values().any(|stream| stream.awaited == Awaited::Session(session))
    }

    /// Every session that is waited for, once.
    pub(crate) fn sessions(&self) -> Vec<SessionId> {
        let waiting = self.waiting.borrow();
        let awaited = waiting.values().filter_map(|stream| match stream.awaited {
            Awaited::Session(session) => Some((*session.as_bytes(), session)),
            Awaited::Provider => None,
        });
        awaited.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    fn resolve(&self, which: impl Fn(&PendingStream) -> bool, outcome: &RefreshOutcome) {
        let mut waiting = self.waiting.borrow_mut();
        let resolved = waiting.extract_if(.., |_, stream| which(stream));
        self.resolved.borrow_mut().extend(resolved.map(|(id, stream)| (id, (stream, outcome.clone()))));
    }
}
