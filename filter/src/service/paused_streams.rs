//! The paused streams of a worker, and the bound on what they hold together.
//!
//! A paused request stays in memory until it is decided: its headers and body in Envoy, what its
//! handler reads of them here. While its body is awaited the client determines how long that is,
//! and anyone can open thousands. Refusing all new requests then would let the first few hundred
//! lock all others out. So above [`EVICTION_BYTES`] a stream that waits for its body is evicted for
//! each that comes: on the connection that has the most of them, the one that has waited longest.
//! The root answers those, a moment later. A burst that is faster is refused, and before that the
//! part of the room that [`RESERVED_BYTES`] names is left to streams that are the only ones of
//! their connection to wait for a body. A client with a connection of its own, whose body is a
//! moment behind its headers, is therefore served while others flood.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::rc::Rc;

use portcullis_gateway::decision::Resolved;
use portcullis_gateway::dispatch::admission::{Admission, Excess};

use crate::stream_outcome::StreamOutcome;

/// The paused streams of a worker, by their context.
#[derive(Default)]
pub(crate) struct PausedStreams(RefCell<Paused>);

/// A wait for a body.
pub(crate) struct BodyWait {
    /// The connection that it comes on.
    pub(crate) connection: u64,
    /// When it is given up, in Unix seconds.
    pub(crate) deadline: u64,
    /// What the stream may hold, and how it is refused.
    pub(crate) admission: Admission,
    /// Where the stream looks up its outcome.
    pub(crate) outcome: Rc<StreamOutcome>,
}

/// There is no room for a stream, or for more of its body; with the limits that refuse it, if it
/// waits for a body.
pub(crate) struct Full(pub(crate) Option<Admission>);

#[derive(Default)]
struct Paused {
    /// By context.
    streams: BTreeMap<u32, Entry>,
    /// Bytes that all of them hold.
    bytes: usize,
    /// Bytes held by those that are evicted and not answered yet.
    evicted_bytes: usize,
    /// Their contexts.
    evicted: Vec<u32>,
    /// The connections and contexts of those that wait for their body and are not evicted, sorted.
    /// Envoy counts contexts upwards, so of each connection the first has waited the longest.
    waiting: Vec<(u64, u32)>,
}

struct Entry {
    header_bytes: usize,
    bytes: usize,
    /// Where its handler reads a body that has not ended.
    body: Option<BodyWait>,
    evicted: Option<Excess>,
}

impl PausedStreams {
    /// Adds a stream whose headers have `header_bytes`. Returns `true` if others were evicted for
    /// it, which [`PausedStreams::take_evicted`] then returns.
    ///
    /// # Errors
    /// [`Full`].
    pub(crate) fn enter(&self, id: u32, header_bytes: usize, body: Option<BodyWait>) -> Result<bool, Full> {
        let mut entry = Entry { header_bytes, bytes: 0, body, evicted: None };
        entry.bytes = entry.held(0);
        self.0.borrow_mut().insert(id, entry)
    }

    /// Counts what has come of a stream's body, `bytes` altogether. Returns `true` if others were
    /// evicted for it. Once the body has `ended` the stream is not evicted, also if it was about to
    /// be. A stream that is not here is left alone.
    ///
    /// # Errors
    /// [`Full`]: the stream is removed.
    pub(crate) fn on_body(&self, id: u32, bytes: usize, ended: bool) -> Result<bool, Full> {
        let mut paused = self.0.borrow_mut();
        let is_evicted = paused.streams.get(&id).is_none_or(|entry| entry.evicted.is_some());
        if is_evicted && !ended {
            return Ok(false);
        }
        let Some(mut entry) = paused.remove(id) else { return Ok(false) };
        entry.bytes = entry.held(bytes);
        entry.evicted = None;
        if ended {
            entry.body = None;
        }
        paused.insert(id, entry)
    }

    /// Removes a stream that is decided or has ended.
    pub(crate) fn leave(&self, id: u32) {
        self.0.borrow_mut().remove(id);
    }

    /// Evicts the streams whose bodies did not come in time. A deadline that is further away than
    /// any is set is from before the clock was set back, and over.
    pub(crate) fn evict_overdue(&self, now: u64) {
        let mut paused = self.0.borrow_mut();
        let is_overdue = |(_, id): &&(u64, u32)| {
            let body = paused.streams.get(id).and_then(|entry| entry.body.as_ref());
            body.is_some_and(|body| !(1..=MAX_BODY_SECONDS).contains(&body.deadline.saturating_sub(now)))
        };
        let overdue: Vec<u32> = paused.waiting.iter().filter(is_overdue).map(|(_, id)| *id).collect();
        for id in overdue {
            paused.evict(id, Excess::SlowBody);
        }
    }

    /// Removes and returns up to `most` of the evicted streams, each with its refusal.
    pub(crate) fn take_evicted(&self, most: usize) -> Vec<(u32, Rc<StreamOutcome>, Resolved)> {
        let mut paused = self.0.borrow_mut();
        let ids: Vec<u32> = paused.evicted.iter().take(most).copied().collect();
        let refusal = |id| {
            let Entry { body, evicted, .. } = paused.remove(id)?;
            let BodyWait { admission, outcome, .. } = body?;
            Some((id, outcome, admission.refuse(evicted?)))
        };
        ids.into_iter().filter_map(refusal).collect()
    }

    /// Returns `true` if any stream is evicted and not answered yet.
    pub(crate) fn has_evicted(&self) -> bool {
        !self.0.borrow().evicted.is_empty()
    }
}

impl Paused {
    fn insert(&mut self, id: u32, entry: Entry) -> Result<bool, Full> {
        let bytes = self.bytes.saturating_add(entry.bytes);
        let has_company = entry.body.as_ref().is_some_and(|body| self.waits_on(body.connection));
        if bytes > MAX_BYTES.saturating_sub(if has_company { RESERVED_BYTES } else { 0 }) {
            return Err(Full(entry.body.map(|body| body.admission)));
        }
        self.bytes = bytes;
        if let Some(body) = &entry.body {
            let place = self.waiting.partition_point(|other| *other < (body.connection, id));
            self.waiting.insert(place, (body.connection, id));
        }
        self.streams.insert(id, entry);
        Ok(self.make_room())
    }

    fn remove(&mut self, id: u32) -> Option<Entry> {
        self.stop_waiting(id);
        let entry = self.streams.remove(&id)?;
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        if entry.evicted.is_some() {
            self.evicted.retain(|evicted| *evicted != id);
            self.evicted_bytes = self.evicted_bytes.saturating_sub(entry.bytes);
        }
        Some(entry)
    }

    /// Returns `true` if a stream of this connection waits for its body.
    fn waits_on(&self, connection: u64) -> bool {
        let first = self.waiting.partition_point(|(other, _)| *other < connection);
        self.waiting.get(first).is_some_and(|(other, _)| *other == connection)
    }

    /// Evicts streams until the rest fits or none waits for its body; returns `true` if it evicted
    /// any.
    fn make_room(&mut self) -> bool {
        let mut evicts = false;
        while self.bytes.saturating_sub(self.evicted_bytes) > EVICTION_BYTES {
            let connections = self.waiting.chunk_by(|(one, _), (other, _)| one == other);
            let oldest = connections.filter_map(|streams| Some((streams.len(), streams.first()?.1)));
            let Some((_, id)) = oldest.max_by_key(|(count, oldest)| (*count, Reverse(*oldest))) else { break };
            self.evict(id, Excess::Evicted);
            evicts = true;
        }
        evicts
    }

    fn evict(&mut self, id: u32, excess: Excess) {
        self.stop_waiting(id);
        if let Some(entry) = self.streams.get_mut(&id) {
            entry.evicted = Some(excess);
            self.evicted.push(id);
            self.evicted_bytes = self.evicted_bytes.saturating_add(entry.bytes);
        }
    }

    fn stop_waiting(&mut self, id: u32) {
        let body = self.streams.get(&id).and_then(|entry| entry.body.as_ref());
        if let Some(place) = body.and_then(|body| self.waiting.binary_search(&(body.connection, id)).ok()) {
            self.waiting.remove(place);
        }
    }
}

impl Entry {
    /// What Envoy and the filter hold: headers and body once each in Envoy, and again here what a
    /// handler reads of them.
    fn held(&self, body_bytes: usize) -> usize {
        let kept = self.body.as_ref().map_or(0, |body| body_bytes.min(body.admission.body_bytes));
        let headers = self.header_bytes.saturating_mul(2);
        [headers, body_bytes, kept].into_iter().fold(STREAM_BYTES, usize::saturating_add)
    }
}

/// The memory of a paused stream apart from its headers and body, in bytes, nearly all of it in
/// Envoy: 20,000 streams of short headers took 298 MiB.
const STREAM_BYTES: usize = 16 * 1024;
/// What the paused streams may hold, in bytes, before those that wait for their body are evicted:
/// some 680 of them with headers of 1 KiB.
const EVICTION_BYTES: usize = 12 * 1024 * 1024;
/// The most that the paused streams hold, in bytes.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// What of it is only for streams that are the only ones of their connection to wait for a body,
/// and for those that wait for no body, in bytes.
const RESERVED_BYTES: usize = 12 * 1024 * 1024;

/// How long a request waits for a body, which has 16 KiB at most, or 64 KiB at registration.
pub(crate) const MAX_BODY_SECONDS: u64 = 20;

#[cfg(test)]
#[path = "paused_streams_tests.rs"]
mod paused_streams_tests;
