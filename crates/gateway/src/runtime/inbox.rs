//! Where the events of one task arrive.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use crate::ports::{BodyTooLarge, CallError, CallReply};

/// Where the events of one task arrive. Clones share the same inbox.
#[derive(Clone, Default)]
pub struct Inbox(pub(super) Rc<RefCell<Mail>>);

impl Inbox {
    /// An empty inbox, which keeps up to [`BODY_HELD_BYTES`] of a body. `body_ended` is true for a
    /// request that has none.
    #[must_use]
    pub fn new(body_ended: bool) -> Self {
        Self::keeping(BODY_HELD_BYTES, body_ended)
    }

    /// An empty inbox that keeps up to `body_bytes` of a body: as much as the handler reads, 0
    /// where it reads none.
    #[must_use]
    pub fn keeping(body_bytes: usize, body_ended: bool) -> Self {
        Self(Rc::new(RefCell::new(Mail { body_bytes, ended: body_ended, ..Mail::default() })))
    }

    /// An inbox without a body that receives ticks: a root task's.
    #[must_use]
    pub fn ticking() -> Self {
        Self(Rc::new(RefCell::new(Mail { ended: true, ticks: Some(0), ..Mail::default() })))
    }

    /// Waits for the next tick; `false`, at once, where none ever comes.
    pub async fn next_tick(&self) -> bool {
        let Some(before) = self.0.borrow().ticks else { return false };
        poll_fn(|_| if self.0.borrow().ticks == Some(before) { Poll::Pending } else { Poll::Ready(true) }).await
    }

    /// Makes a call: `dispatch` runs on the first poll and gives the call's id, then the answer is
    /// awaited. Dropping the future forgets the call.
    ///
    /// # Errors
    /// What `dispatch` or the delivered answer says.
    pub async fn call(&self, dispatch: impl FnOnce() -> Result<u32, CallError>) -> Result<CallReply, CallError> {
        let id = dispatch()?;
        let slot = Slot::open(self.clone(), id);
        poll_fn(|_| slot.reply()).await
    }

    /// Waits for the whole body, which the first caller gets; `limit` counts bytes and cannot
    /// exceed what is kept of it.
    ///
    /// # Errors
    /// [`BodyTooLarge`] as soon as more than `limit` bytes have come, without waiting for the end.
    pub async fn body(&self, limit: usize) -> Result<Vec<u8>, BodyTooLarge> {
        poll_fn(|_| self.0.borrow_mut().body(limit)).await
    }

    /// Whether anything may come of the tick.
    pub(super) fn tick(&self) -> bool {
        let mut mail = self.0.borrow_mut();
        mail.ticks = mail.ticks.map(|ticks| ticks.wrapping_add(1));
        mail.ticks.is_some()
    }

    pub(super) fn deliver(&self, id: u32, reply: Result<CallReply, CallError>) -> bool {
        match self.0.borrow_mut().calls.iter_mut().find(|call| call.id == id) {
            Some(call) => {
                call.reply = Some(reply);
                true
            }
            None => false,
        }
    }

    pub(super) fn receive(&self, piece: &[u8], end: bool) {
        let mut mail = self.0.borrow_mut();
        mail.ended |= end;
        mail.too_large |= mail.body.len().saturating_add(piece.len()) > mail.body_bytes;
        if mail.too_large {
            mail.body = Vec::new();
        } else {
            mail.body.extend_from_slice(piece);
        }
    }
}

#[derive(Default)]
pub(super) struct Mail {
    /// The calls under way; a handful at most, so a list beats a map.
    pub(super) calls: Vec<Call>,
    pub(super) body: Vec<u8>,
    /// The most bytes of the body that are kept.
    body_bytes: usize,
    ended: bool,
    too_large: bool,
    /// How many ticks have passed, where the task receives them.
    ticks: Option<u64>,
}

impl Mail {
    pub(super) fn wanted_body_bytes(&self) -> usize {
        if self.too_large || self.body_bytes == 0 {
            return 0;
        }
        self.body_bytes.saturating_sub(self.body.len()).saturating_add(1)
    }

    pub(super) fn body(&mut self, limit: usize) -> Poll<Result<Vec<u8>, BodyTooLarge>> {
        if self.too_large || self.body.len() > limit {
            Poll::Ready(Err(BodyTooLarge))
        } else if self.ended {
            Poll::Ready(Ok(std::mem::take(&mut self.body)))
        } else {
            Poll::Pending
        }
    }
}

pub(super) struct Call {
    pub(super) id: u32,
    reply: Option<Result<CallReply, CallError>>,
}

/// A place in the inbox for one call's answer, given up when the caller stops waiting.
struct Slot {
    inbox: Inbox,
    pub(super) id: u32,
}

impl Slot {
    fn open(inbox: Inbox, id: u32) -> Self {
        inbox.0.borrow_mut().calls.push(Call { id, reply: None });
        Self { inbox, id }
    }

    fn reply(&self) -> Poll<Result<CallReply, CallError>> {
        let mut mail = self.inbox.0.borrow_mut();
        let call = mail.calls.iter_mut().find(|call| call.id == self.id);
        match call.and_then(|call| call.reply.take()) {
            Some(reply) => Poll::Ready(reply),
            None => Poll::Pending,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.inbox.0.borrow_mut().calls.retain(|call| call.id != self.id);
    }
}

/// The most bytes of a body that are kept for a task whose handler is not known: no handler reads
/// longer bodies.
pub const BODY_HELD_BYTES: usize = 64 * 1024;
