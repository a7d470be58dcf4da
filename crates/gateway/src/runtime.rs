//! Async on callbacks: one future for one request (or one root task), polled only when an event of its own arrives.
//!
//! There is no executor, no queue and no waker: the host calls back, the event goes into the [`Inbox`], the future is
//! polled once, and it is either done or waits for the next event. Dropping the [`Task`] drops the future, so a request
//! whose client has left does nothing more.
//!
//! INVARIANT: a task is polled only inside the callbacks of the context that started it. The host binds a call's answer
//! to the context that is active when the call is dispatched.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::ports::{BodyTooLarge, CallError, CallReply};

/// A future that still waits for an event.
pub struct Task<T> {
    future: Option<Pin<Box<dyn Future<Output = T>>>>,
    inbox: Inbox,
}

/// What the first poll of a future came to.
pub enum Started<T> {
    /// It needed no event.
    Ready(T),
    /// It waits.
    Waiting(Task<T>),
}

impl<T> Task<T> {
    /// Polls a future for the first time. `inbox` is the one that the future's own calls and body reads go through.
    pub fn start(inbox: Inbox, future: impl Future<Output = T> + 'static) -> Started<T> {
        let mut task = Self { future: Some(Box::pin(future)), inbox };
        match task.poll() {
            Some(value) => Started::Ready(value),
            None => Started::Waiting(task),
        }
    }

    /// Whether the future waits for the answer to this call.
    #[must_use]
    pub fn waits_for(&self, id: u32) -> bool {
        self.inbox.0.borrow().calls.iter().any(|call| call.id == id)
    }

    /// Hands over the answer to a call; gives the result if that was the last thing missing. An answer that nobody
    /// waits for is dropped.
    pub fn on_call(&mut self, id: u32, reply: Result<CallReply, CallError>) -> Option<T> {
        if self.inbox.deliver(id, reply) { self.poll() } else { None }
    }

    /// The most bytes of the body that are worth handing over next: one more than there is room for, so that a body which
    /// is too large is noticed; 0 where none is kept any more.
    #[must_use]
    pub fn wanted_body_bytes(&self) -> usize {
        self.inbox.0.borrow().wanted_body_bytes()
    }

    /// Hands over the next piece of the request's body; `end` says that no more follows.
    pub fn on_body(&mut self, piece: &[u8], end: bool) -> Option<T> {
        self.inbox.receive(piece, end);
        self.poll()
    }

    /// Tells the task that a tick has passed.
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

/// Where the events of one task arrive. Clones share the same inbox.
#[derive(Clone, Default)]
pub struct Inbox(Rc<RefCell<Mail>>);

impl Inbox {
    /// An empty inbox, which keeps up to [`BODY_HELD_BYTES`] of a body. `body_ended` is true for a request that has none.
    #[must_use]
    pub fn new(body_ended: bool) -> Self {
        Self::keeping(BODY_HELD_BYTES, body_ended)
    }

    /// An empty inbox that keeps up to `body_bytes` of a body: as much as the handler reads, 0 where it reads none.
    #[must_use]
    pub fn keeping(body_bytes: usize, body_ended: bool) -> Self {
        Self(Rc::new(RefCell::new(Mail { body_bytes, ended: body_ended, ..Mail::default() })))
    }

    /// An inbox without a body that is told of ticks: a root task's.
    #[must_use]
    pub fn ticking() -> Self {
        Self(Rc::new(RefCell::new(Mail { ended: true, ticks: Some(0), ..Mail::default() })))
    }

    /// Waits for the next tick; `false`, at once, where none ever comes.
    pub async fn next_tick(&self) -> bool {
        let Some(before) = self.0.borrow().ticks else { return false };
        poll_fn(|_| if self.0.borrow().ticks == Some(before) { Poll::Pending } else { Poll::Ready(true) }).await
    }

    /// Makes a call: `dispatch` runs on the first poll and gives the call's id, then the answer is awaited. Dropping
    /// the future forgets the call.
    ///
    /// # Errors
    /// What `dispatch` or the delivered answer says.
    pub async fn call(&self, dispatch: impl FnOnce() -> Result<u32, CallError>) -> Result<CallReply, CallError> {
        let id = dispatch()?;
        let slot = Slot::open(self.clone(), id);
        poll_fn(|_| slot.reply()).await
    }

    /// Waits for the whole body, which the first caller gets; `limit` counts bytes and cannot exceed what is kept of it.
    ///
    /// # Errors
    /// [`BodyTooLarge`] as soon as more than `limit` bytes have come, without waiting for the end.
    pub async fn body(&self, limit: usize) -> Result<Vec<u8>, BodyTooLarge> {
        poll_fn(|_| self.0.borrow_mut().body(limit)).await
    }

    /// Whether anything may come of the tick.
    fn tick(&self) -> bool {
        let mut mail = self.0.borrow_mut();
        mail.ticks = mail.ticks.map(|ticks| ticks.wrapping_add(1));
        mail.ticks.is_some()
    }

    fn deliver(&self, id: u32, reply: Result<CallReply, CallError>) -> bool {
        match self.0.borrow_mut().calls.iter_mut().find(|call| call.id == id) {
            Some(call) => {
                call.reply = Some(reply);
                true
            }
            None => false,
        }
    }

    fn receive(&self, piece: &[u8], end: bool) {
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
struct Mail {
    /// The calls under way; a handful at most, so a list beats a map.
    calls: Vec<Call>,
    body: Vec<u8>,
    /// The most bytes of the body that are kept.
    body_bytes: usize,
    ended: bool,
    too_large: bool,
    /// How many ticks have passed, where the task is told of them.
    ticks: Option<u64>,
}

impl Mail {
    fn wanted_body_bytes(&self) -> usize {
        if self.too_large || self.body_bytes == 0 {
            return 0;
        }
        self.body_bytes.saturating_sub(self.body.len()).saturating_add(1)
    }

    fn body(&mut self, limit: usize) -> Poll<Result<Vec<u8>, BodyTooLarge>> {
        if self.too_large || self.body.len() > limit {
            Poll::Ready(Err(BodyTooLarge))
        } else if self.ended {
            Poll::Ready(Ok(std::mem::take(&mut self.body)))
        } else {
            Poll::Pending
        }
    }
}

struct Call {
    id: u32,
    reply: Option<Result<CallReply, CallError>>,
}

/// A place in the inbox for one call's answer, given up when the caller stops waiting.
struct Slot {
    inbox: Inbox,
    id: u32,
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

/// The most bytes of a body that are kept for a task whose handler is not known: no handler reads longer bodies.
pub const BODY_HELD_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16) -> Result<CallReply, CallError> {
        Ok(CallReply { status, content_type: None, from_bridge: false, body: Vec::new() })
    }

    fn waiting<T>(started: Started<T>) -> Task<T> {
        match started {
            Started::Ready(_) => panic!("settled without an event"),
            Started::Waiting(task) => task,
        }
    }

    fn ready<T>(started: Started<T>) -> T {
        match started {
            Started::Ready(value) => value,
            Started::Waiting(_) => panic!("still waits"),
        }
    }

    fn calling(id: u32) -> (Inbox, Task<Result<u16, CallError>>) {
        let inbox = Inbox::new(true);
        let own = inbox.clone();
        let task = Task::start(inbox.clone(), async move { Ok(own.call(|| Ok(id)).await?.status) });
        (inbox, waiting(task))
    }

    fn reading(limit: usize, body_ended: bool) -> Started<Result<Vec<u8>, BodyTooLarge>> {
        let inbox = Inbox::new(body_ended);
        Task::start(inbox.clone(), async move { inbox.body(limit).await })
    }

    #[test]
    fn a_future_that_needs_nothing_is_ready_at_once() {
        assert_eq!(ready(Task::start(Inbox::new(true), async { 7 })), 7);
    }

    #[test]
    fn a_call_settles_with_its_own_answer() {
        let (_, mut task) = calling(4);
        assert!(task.waits_for(4));
        assert!(!task.waits_for(5));
        assert_eq!(task.on_call(4, reply(204)), Some(Ok(204)));
    }

    #[test]
    fn a_call_that_cannot_be_sent_fails_without_waiting() {
        let inbox = Inbox::new(true);
        let own = inbox.clone();
        let started = Task::start(inbox, async move { own.call(|| Err(CallError::NotSent)).await.err() });
        assert_eq!(ready(started), Some(CallError::NotSent));
    }

    #[test]
    fn a_call_without_an_answer_settles_with_the_error() {
        let (_, mut task) = calling(4);
        assert_eq!(task.on_call(4, Err(CallError::NoAnswer)), Some(Err(CallError::NoAnswer)));
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_ignored() {
        let (_, mut task) = calling(4);
        assert_eq!(task.on_call(5, reply(200)), None);
        assert_eq!(task.on_call(4, reply(201)), Some(Ok(201)));
    }

    #[test]
    fn a_finished_task_ignores_later_events() {
        let (_, mut task) = calling(4);
        assert!(task.on_call(4, reply(200)).is_some());
        assert_eq!(task.on_call(4, reply(500)), None);
        assert_eq!(task.on_body(b"late", true), None);
        assert!(!task.waits_for(4));
    }

    #[test]
    fn a_tick_wakes_a_task_that_is_told_of_ticks_and_no_other() {
        let inbox = Inbox::ticking();
        let own = inbox.clone();
        let mut task = waiting(Task::start(inbox, async move { (own.next_tick().await, own.next_tick().await) }));
        assert_eq!(task.on_tick(), None);
        assert_eq!(task.on_tick(), Some((true, true)));
        for body_ended in [true, false] {
            let inbox = Inbox::new(body_ended);
            let own = inbox.clone();
            assert!(!ready(Task::start(inbox, async move { own.next_tick().await })));
        }
        let (_, mut task) = calling(4);
        assert_eq!(task.on_tick(), None);
        assert!(task.on_call(4, reply(200)).is_some());
    }

    #[test]
    fn two_calls_in_flight_may_be_answered_in_any_order() {
        let inbox = Inbox::new(true);
        let own = inbox.clone();
        let mut task = waiting(Task::start(inbox, async move {
            let mut first = Box::pin(own.call(|| Ok(1)));
            let mut second = Box::pin(own.call(|| Ok(2)));
            let (mut a, mut b) = (None, None);
            poll_fn(move |context| {
                if a.is_none()
                    && let Poll::Ready(reply) = first.as_mut().poll(context)
                {
                    a = Some(reply.map_or(0, |reply| reply.status));
                }
                if b.is_none()
                    && let Poll::Ready(reply) = second.as_mut().poll(context)
                {
                    b = Some(reply.map_or(0, |reply| reply.status));
                }
                match (a, b) {
                    (Some(a), Some(b)) => Poll::Ready((a, b)),
                    _ => Poll::Pending,
                }
            })
            .await
        }));
        assert_eq!(task.on_call(2, reply(202)), None);
        assert_eq!(task.on_call(1, reply(201)), Some((201, 202)));
    }

    #[test]
    fn a_call_that_was_given_up_leaves_no_slot() {
        let inbox = Inbox::new(true);
        let own = inbox.clone();
        let mut task = waiting(Task::start(inbox, async move {
            let mut abandoned = Box::pin(own.call(|| Ok(1)));
            poll_fn(|context| {
                assert!(abandoned.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
            drop(abandoned);
            own.call(|| Ok(2)).await.map(|reply| reply.status).ok()
        }));
        assert_eq!(task.on_call(1, reply(200)), None);
        assert!(!task.waits_for(1));
        assert_eq!(task.on_call(2, reply(203)), Some(Some(203)));
    }

    #[test]
    fn dropping_the_task_half_way_drops_what_it_held() {
        let held = Rc::new(());
        let inbox = Inbox::new(true);
        let (own, kept) = (inbox.clone(), held.clone());
        let task = waiting(Task::start(inbox.clone(), async move {
            let answer = own.call(|| Ok(1)).await;
            drop(kept);
            answer.is_ok()
        }));
        assert_eq!(Rc::strong_count(&held), 2);
        drop(task);
        assert_eq!(Rc::strong_count(&held), 1);
        assert!(!inbox.deliver(1, reply(200)));
    }

    #[test]
    fn a_body_arrives_in_pieces() {
        let mut task = waiting(reading(8, false));
        assert_eq!(task.on_body(b"abc", false), None);
        assert_eq!(task.on_body(b"", false), None);
        assert_eq!(task.on_body(b"def", true), Some(Ok(b"abcdef".to_vec())));
    }

    #[test]
    fn a_body_may_end_with_an_empty_piece() {
        let mut task = waiting(reading(8, false));
        assert_eq!(task.on_body(b"abc", false), None);
        assert_eq!(task.on_body(b"", true), Some(Ok(b"abc".to_vec())));
    }

    #[test]
    fn a_request_without_a_body_reads_as_empty() {
        assert_eq!(ready(reading(8, true)), Ok(Vec::new()));
    }

    #[test]
    fn a_body_of_exactly_the_limit_is_taken() {
        let mut task = waiting(reading(3, false));
        assert_eq!(task.on_body(b"abc", true), Some(Ok(b"abc".to_vec())));
    }

    #[test]
    fn a_body_over_the_limit_settles_before_its_end() {
        let mut task = waiting(reading(3, false));
        assert_eq!(task.on_body(b"abcd", false), Some(Err(BodyTooLarge)));
    }

    #[test]
    fn a_body_that_came_before_anyone_asked_is_kept() {
        let inbox = Inbox::new(false);
        let own = inbox.clone();
        let mut task = waiting(Task::start(inbox, async move {
            let _ = own.call(|| Ok(1)).await;
            own.body(8).await
        }));
        assert_eq!(task.on_body(b"abc", true), None);
        assert_eq!(task.on_call(1, reply(200)), Some(Ok(b"abc".to_vec())));
    }

    #[test]
    fn a_body_that_has_ended_stays_ended() {
        let inbox = Inbox::new(false);
        let own = inbox.clone();
        let mut task = waiting(Task::start(inbox, async move {
            let _ = own.call(|| Ok(1)).await;
            own.body(8).await
        }));
        assert_eq!(task.on_body(b"abc", true), None);
        assert_eq!(task.on_body(b"", false), None);
        assert_eq!(task.on_call(1, reply(200)), Some(Ok(b"abc".to_vec())));
    }

    #[test]
    fn no_more_of_a_body_is_wanted_than_shows_that_it_is_too_large() {
        let inbox = Inbox::keeping(4, false);
        let own = inbox.clone();
        let mut task = waiting(Task::start(inbox.clone(), async move { own.call(|| Ok(1)).await.is_ok() }));
        assert_eq!(task.wanted_body_bytes(), 5);
        assert_eq!(task.on_body(b"abc", false), None);
        assert_eq!(task.wanted_body_bytes(), 2);
        assert_eq!(task.on_body(b"de", false), None);
        assert_eq!((task.wanted_body_bytes(), inbox.0.borrow().body.capacity()), (0, 0));
        assert!(matches!(inbox.0.borrow_mut().body(usize::MAX), Poll::Ready(Err(BodyTooLarge))));
    }

    #[test]
    fn nothing_is_kept_of_a_body_that_no_handler_reads() {
        let inbox = Inbox::keeping(0, false);
        let own = inbox.clone();
        let mut task = waiting(Task::start(inbox.clone(), async move { own.call(|| Ok(1)).await.is_ok() }));
        assert_eq!(task.wanted_body_bytes(), 0);
        assert_eq!(task.on_body(b"a", true), None);
        assert_eq!(inbox.0.borrow().body.capacity(), 0);
    }

    #[test]
    fn no_more_than_the_held_bytes_are_kept_for_a_task() {
        let (inbox, mut task) = calling(1);
        for _ in 0..3 {
            assert_eq!(task.on_body(&vec![0; BODY_HELD_BYTES / 2], false), None);
            assert!(inbox.0.borrow().body.len() <= BODY_HELD_BYTES);
        }
        assert!(matches!(inbox.0.borrow_mut().body(usize::MAX), Poll::Ready(Err(BodyTooLarge))));
    }
}
