//! What a root context and all its streams share. It hangs from the root context, never from a static: two generations
//! of a configuration can live in one VM.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use portcullis_gateway::gateway::Gateway;
use portcullis_gateway::memory_store::MemoryStore;
use portcullis_gateway::upstream::RefreshOutcome;
use portcullis_gateway::verdict::Settled;
use portcullis_protocol::opaque::SessionId;

use crate::counters::Counters;
use crate::crypto::HostCrypto;
use crate::mailbox::Mailbox;
use crate::settle::Progress;
use crate::shared_cells::{HostClock, SharedCells};

/// One configured worker.
pub(crate) struct Worker {
    pub(crate) gateway: Rc<Gateway>,
    pub(crate) store: MemoryStore<SharedCells, HostClock>,
    pub(crate) crypto: HostCrypto,
    pub(crate) mailbox: Mailbox,
    pub(crate) counters: Counters,
    pub(crate) waiting: Waiting,
}

/// The paused streams that wait for a session's upstream tokens.
#[derive(Default)]
pub(crate) struct Waiting(RefCell<BTreeMap<u32, Waiter>>);

/// One paused stream.
pub(crate) struct Waiter {
    /// The stream's context.
    pub(crate) stream: u32,
    /// Whose tokens it waits for.
    pub(crate) session: SessionId,
    /// Turns the outcome into its decision.
    pub(crate) decide: Box<dyn FnOnce(&RefreshOutcome) -> Settled>,
    /// When it is decided without an outcome, in Unix seconds.
    pub(crate) deadline: u64,
    /// Where the stream looks up what became of it.
    pub(crate) progress: Rc<Cell<Progress>>,
}

impl Waiting {
    pub(crate) fn add(&self, waiter: Waiter) {
        self.0.borrow_mut().insert(waiter.stream, waiter);
    }

    /// Forgets a stream that ended otherwise.
    pub(crate) fn remove(&self, stream: u32) {
        self.0.borrow_mut().remove(&stream);
    }

    /// Takes out all that wait for a session.
    pub(crate) fn take_session(&self, session: SessionId) -> Vec<Waiter> {
        self.take(|waiter| waiter.session == session)
    }

    /// Takes out all that have waited long enough.
    pub(crate) fn take_overdue(&self, now: u64) -> Vec<Waiter> {
        self.take(|waiter| waiter.deadline <= now)
    }

    /// Whether any stream waits for a session.
    pub(crate) fn has(&self, session: SessionId) -> bool {
        self.0.borrow().values().any(|waiter| waiter.session == session)
    }

    /// Every session that is waited for, once.
    pub(crate) fn sessions(&self) -> Vec<SessionId> {
        let waiting = self.0.borrow();
        let sessions: BTreeMap<_, _> =
            waiting.values().map(|waiter| (*waiter.session.as_bytes(), waiter.session)).collect();
        sessions.into_values().collect()
    }

    fn take(&self, which: impl Fn(&Waiter) -> bool) -> Vec<Waiter> {
        self.0.borrow_mut().extract_if(.., |_, waiter| which(waiter)).map(|(_, waiter)| waiter).collect()
    }
}
