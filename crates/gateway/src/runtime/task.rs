//! One future, polled when an event of its own arrives.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::inbox::Inbox;
use crate::ports::{CallError, CallReply};

/// A future that still waits for an event.
pub struct Task<T> {
    future: Option<Pin<Box<dyn Future<Output = T>>>>,
    inbox: Inbox,
}

/// The result of the first poll of a future.
pub enum Polled<T> {
    /// It needed no event.
    Ready(T),
    /// It waits.
    Pending(Task<T>),
}

impl<T> Task<T> {
    /// Polls a future for the first time. `inbox` is the one that the future's own calls and body
    /// reads go through.
    pub fn start(inbox: Inbox, future: impl Future<Output = T> + 'static) -> Polled<T> {
        let mut task = Self { future: Some(Box::pin(future)), inbox };
        match task.poll() {
            Some(value) => Polled::Ready(value),
            None => Polled::Pending(task),
        }
    }

    /// Whether the future waits for the answer to this call.
    #[must_use]
    pub fn waits_for(&self, id: u32) -> bool {
        self.inbox.0.borrow().calls.iter().any(|call| call.id == id)
    }

    /// Hands over the answer to a call; gives the result if that was the last thing missing. An
    /// answer that no call waits for is dropped.
    pub fn on_call(&mut self, id: u32, reply: Result<CallReply, CallError>) -> Option<T> {
        if self.inbox.deliver(id, reply) { self.poll() } else { None }
    }

    /// The most bytes of the body that are worth handing over next: one more than there is room
    /// for, so that a body which is too large is noticed; 0 where none is kept any more.
    #[must_use]
    pub fn wanted_body_bytes(&self) -> usize {
        self.inbox.0.borrow().wanted_body_bytes()
    }

    /// Hands over the next piece of the request's body; `end` says that no more follows.
    pub fn on_body(&mut self, piece: &[u8], end: bool) -> Option<T> {
        self.inbox.receive(piece, end);
        self.poll()
    }

    /// Delivers a tick to the task.
    pub fn on_tick(&mut self) -> Option<T> {
        if self.inbox.tick() { self.poll() } else { None }
    }

    fn poll(&mut self) -> Option<T> {
        let future = self.future.as_mut()?;
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => {
                self.future = None;
                Some(value)
            }
            Poll::Pending => None,
        }
    }
}
