//! The paused streams that wait for a job of the root.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use portcullis_gateway::config::ProviderId;
use portcullis_gateway::decision::{RefreshOutcome, Resolved};
use portcullis_gateway::ports::UpstreamTokenRef;

use crate::stream_outcome::StreamOutcome;

/// The paused streams that wait for a job of the root, and those of them that are resolved, whose
/// decisions are still to be applied; both by the stream's context.
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
    /// Turns the outcome of a refresh into the decision. A stream that waits for documents ignores
    /// it.
    pub(crate) decide: Box<dyn FnOnce(&RefreshOutcome) -> Resolved>,
    /// When it is resolved without an outcome, in Unix seconds.
    pub(crate) deadline: u64,
    /// Where the stream looks up its outcome.
    pub(crate) outcome: Rc<StreamOutcome>,
}

/// The event that a stream waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// These upstream tokens.
    Upstream(UpstreamTokenRef),
    /// The documents of this provider.
    Provider(ProviderId),
    /// The keys of the trusted issuer at this place in the configuration.
    Keys(usize),
}

impl PendingStreams {
    pub(crate) fn add(&self, stream: PendingStream) {
        self.waiting.borrow_mut().insert(stream.stream, stream);
    }

    /// Removes a stream that is decided in another way or has ended.
    pub(crate) fn remove(&self, stream: u32) {
        self.waiting.borrow_mut().remove(&stream);
        self.resolved.borrow_mut().remove(&stream);
    }

    /// Resolves all that wait for these upstream tokens.
    pub(crate) fn resolve_upstream(&self, token: UpstreamTokenRef, outcome: &RefreshOutcome) {
        self.resolve(|stream| stream.awaited == Awaited::Upstream(token), outcome);
    }

    /// Resolves all that wait for a provider's documents, which have been fetched or could not be.
    pub(crate) fn resolve_provider(&self, provider: ProviderId) {
        self.resolve(|stream| stream.awaited == Awaited::Provider(provider), &RefreshOutcome::Unavailable);
    }

    /// Resolves all that wait for the keys of a trusted issuer, which have been fetched or could
    /// not be.
    pub(crate) fn resolve_keys(&self, issuer: usize) {
        self.resolve(|stream| stream.awaited == Awaited::Keys(issuer), &RefreshOutcome::Unavailable);
    }

    /// Resolves all whose deadline has passed, or is further away than any is set: then the clock
    /// was set back.
    pub(crate) fn resolve_overdue(&self, now: u64, outcome: &RefreshOutcome) {
        self.resolve(|stream| !(1..=MAX_WAIT_SECONDS).contains(&stream.deadline.saturating_sub(now)), outcome);
    }

    /// Removes and returns up to `most` that are resolved, each with its decision.
    pub(crate) fn take_resolved(&self, most: usize) -> Vec<(u32, Rc<StreamOutcome>, Resolved)> {
        let mut resolved = self.resolved.borrow_mut();
        let taken = std::iter::from_fn(|| resolved.pop_first()).take(most);
        taken
            .map(|(stream, (PendingStream { decide, outcome, .. }, refreshed))| (stream, outcome, decide(&refreshed)))
            .collect()
    }

    /// Returns `true` if any decision is still to be applied.
    pub(crate) fn has_resolved(&self) -> bool {
        !self.resolved.borrow().is_empty()
    }

    /// Returns `true` if any stream waits for these upstream tokens.
    pub(crate) fn has(&self, token: UpstreamTokenRef) -> bool {
        self.waiting.borrow().values().any(|stream| stream.awaited == Awaited::Upstream(token))
    }

    /// Returns all upstream tokens that a stream waits for.
    pub(crate) fn upstream_tokens(&self) -> BTreeSet<UpstreamTokenRef> {
        let waiting = self.waiting.borrow();
        let mut tokens = BTreeSet::new();
        tokens.extend(waiting.values().filter_map(|stream| match stream.awaited {
            Awaited::Upstream(token) => Some(token),
            Awaited::Provider(_) | Awaited::Keys(_) => None,
        }));
        tokens
    }

    fn resolve(&self, which: impl Fn(&PendingStream) -> bool, outcome: &RefreshOutcome) {
        let mut waiting = self.waiting.borrow_mut();
        let resolved = waiting.extract_if(.., |_, stream| which(stream));
        self.resolved.borrow_mut().extend(resolved.map(|(id, stream)| (id, (stream, outcome.clone()))));
    }
}

/// How long a stream waits at most, in seconds.
pub(crate) const MAX_WAIT_SECONDS: u64 = 10;
