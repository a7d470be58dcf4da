//! The [proxy-wasm ABI 0.2.1](https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1), as
//! far as the filter uses it: what Envoy is asked ([`hostcalls`]), and what it tells ([`Root`] and
//! [`Stream`]).
//!
//! Envoy enters the module for every callback that it exports, and each entrance costs as much as
//! half a header. So this exports those that the filter has a use for. Nothing here panics,
//! whatever Envoy answers: a status is a number that may be any. It is the only crate of the
//! workspace with `unsafe` in it.

mod callbacks;
pub mod header_map;
pub mod hostcalls;
mod logger;

pub use callbacks::initialize;

/// What the host tells the context of one configuration in one worker.
pub trait Root {
    /// Here is a configuration of `size` bytes; `false` refuses it.
    fn on_configure(&mut self, size: usize) -> bool;

    /// The tick period is over.
    fn on_tick(&mut self);

    /// There is a message in a queue that this context registered.
    fn on_queue_ready(&mut self, queue: u32);

    /// A call that this context made was answered, with so many headers and so many bytes of a
    /// body; with no headers where it failed.
    fn on_http_call_response(&mut self, call: u32, headers: usize, body: usize);

    /// A request came in the context `stream`, with so many headers; with `end` it has nothing
    /// else.
    fn on_request_headers(&self, stream: u32, headers: usize, end: bool) -> Begun;
}

/// What a request came to with its headers.
pub enum Begun {
    /// It is decided, and nothing more needs to be told: what else comes of it has this action as
    /// well.
    Decided(Action),
    /// Its action for now, and who is told the rest. What that has to do at the end it does when it
    /// is dropped, as a [`Root`] does when its configuration is taken out of service.
    Open(Action, Box<dyn Stream>),
}

/// What the host tells the context of a request that is not done with its headers.
pub trait Stream {
    /// So many bytes of the body can be read; with `end` it is complete.
    fn on_request_body(&mut self, size: usize, end: bool) -> Action;

    /// The request ends with trailers.
    fn on_request_trailers(&mut self) -> Action;

    /// The answer has come; its headers can be read and changed.
    fn on_response_headers(&mut self);

    /// As [`Root::on_http_call_response`].
    fn on_http_call_response(&mut self, call: u32, headers: usize, body: usize);
}

/// What becomes of a request for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It goes on.
    Continue,
    /// It waits.
    Pause,
}

/// Names the function that makes a root context of its id: the start of the module, once in a
/// crate.
#[macro_export]
macro_rules! main {
    ($new_root:expr) => {
        /// The first thing that Envoy calls.
        #[unsafe(no_mangle)]
        pub extern "C" fn _initialize() {
            $crate::initialize($new_root);
        }
    };
}
