//! The queue of a worker: messages from its own streams to its root context, and from its peers.

use std::cell::Cell;

use super::message::Message;
use super::registry;
use crate::host;

/// A worker's queue.
pub(crate) struct WorkerQueue {
    queue: u32,
    /// When this worker was last registered, in Unix seconds; 0 for never.
    registered_at: Cell<u64>,
}

impl WorkerQueue {
    /// Registers a queue that wakes the calling root context.
    pub(crate) fn open(name: &str) -> Option<Self> {
        let queue = host::register_queue(name)?;
        Some(Self { queue, registered_at: Cell::new(0) })
    }

    /// Adds this worker to the registry, or renews its entry when that is due. Only for workers
    /// that serve requests: the others need no messages.
    pub(crate) fn register(&self, now: u64) {
        if now.saturating_sub(self.registered_at.get()) < RENEWAL_SECONDS {
            return;
        }
        self.registered_at.set(now);
        registry::register(self.queue, now);
    }

    /// Returns `true` if this worker serves requests.
    pub(crate) fn is_registered(&self) -> bool {
        self.registered_at.get() > 0
    }

    /// Renews the entry of a worker that is registered.
    pub(crate) fn renew(&self, now: u64) {
        if self.is_registered() {
            self.register(now);
        }
    }

    /// Removes this worker from the registry.
    pub(crate) fn close(&self) {
        if self.registered_at.replace(0) > 0 {
            registry::remove(self.queue);
        }
    }

    /// Wakes this worker's own root.
    pub(crate) fn notify_root(&self, message: Message) {
        host::enqueue(self.queue, &message.bytes());
    }

    /// Sends a message to every other worker.
    pub(crate) fn notify_peers(&self, message: Message, now: u64) {
        for queue in registry::peers(self.queue, now) {
            host::enqueue(queue, &message.bytes());
        }
    }

    /// Returns the next message for this worker.
    pub(crate) fn next(&self) -> Option<Message> {
        for _ in 0..MAX_UNKNOWN_MESSAGES {
            if let Some(message) = Message::parse(&host::dequeue(self.queue)?) {
                return Some(message);
            }
        }
        None
    }
}

/// A queue is only written by this filter; anything else in it is skipped, up to this many.
const MAX_UNKNOWN_MESSAGES: u32 = 1024;
const RENEWAL_SECONDS: u64 = 20;
