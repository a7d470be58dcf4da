//! Async on callbacks: one future for one request (or one root task), polled only when an event of
//! its own arrives.
//!
//! There is no executor, no queue and no waker: the host calls back, the event goes into the
//! [`Inbox`], the future is polled once, and it is either done or waits for the next event.
//! Dropping the [`Task`] drops the future, so a request whose client has left does nothing more.
//!
//! INVARIANT: a task is polled only inside the callbacks of the context that started it. The host
//! binds a call's answer to the context that is active when the call is dispatched.

mod inbox;
pub mod log_limit;
mod task;

pub use self::inbox::{BODY_HELD_BYTES, Inbox};
pub use self::task::{Polled, Task};

#[cfg(test)]
#[path = "runtime/runtime_tests.rs"]
mod runtime_tests;
