//! The callbacks that the module exports, and the contexts that they are about.
//!
//! Not exported: `proxy_on_done` and `proxy_on_log`, which come right before `proxy_on_delete`; the
//! answer's body and trailers, so that Envoy need not enter the module for each piece of a stream
//! of events; connections and gRPC.
#![expect(unsafe_code, reason = "an exported name is unsafe: nothing else may have it")]

use std::cell::{Cell, RefCell};
use std::time::Duration;

use hashbrown::HashMap;

use crate::{Action, Begun, Root, Stream, hostcalls, logger};

/// Makes a root context of its id.
type NewRoot = fn(u32) -> Box<dyn Root>;

/// How far a request has come.
enum Held {
    /// It is announced, to the root context with this id; its headers are still to come.
    Announced(u32),
    /// What else comes of it has this action.
    Decided(Action),
    /// Who is told what else comes of it.
    Open(Box<dyn Stream>),
}

/// The contexts of this VM. No callback is entered from within another one, as Envoy puts off what
/// a host call brings about; if one ever were, it would find its contexts borrowed and be told what
/// stops a request.
struct Contexts {
    new_root: Cell<Option<NewRoot>>,
    /// Few: one for each configuration in service.
    roots: RefCell<Vec<(u32, Box<dyn Root>)>>,
    streams: RefCell<HashMap<u32, Held>>,
    /// The context whose callback this is.
    current: Cell<u32>,
    /// The time, once it was asked for in this callback.
    now: Cell<Option<Duration>>,
    /// Whose call it was, by its number: the host answers to the root.
    calls: RefCell<HashMap<u32, u32>>,
}

thread_local! {
    static CONTEXTS: Contexts = Contexts {
        new_root: Cell::new(None),
        roots: RefCell::new(Vec::new()),
        streams: RefCell::new(HashMap::new()),
        current: Cell::new(0),
        now: Cell::new(None),
        calls: RefCell::new(HashMap::new()),
    };
}

/// Starts the module: what [`crate::main!`] does.
pub fn initialize(new_root: NewRoot) {
    #[cfg(target_os = "wasi")]
    {
        unsafe extern "C" {
            fn __wasm_call_ctors();
        }
        // SAFETY: the linker makes this function, and the host calls us once, before anything else.
        unsafe { __wasm_call_ctors() };
    }
    logger::install();
    CONTEXTS.with(|contexts| contexts.new_root.set(Some(new_root)));
}

/// Remembers that the call was made by the context whose callback this is.
pub(crate) fn call_was_made(call: u32) {
    CONTEXTS.with(|contexts| {
        if let Ok(mut calls) = contexts.calls.try_borrow_mut() {
            calls.insert(call, contexts.current.get());
        }
    });
}

/// The time in this callback, read from the host's clock when it is asked for first.
pub(crate) fn now(read: impl FnOnce() -> Duration) -> Duration {
    CONTEXTS.with(|contexts| {
        let now = contexts.now.get().unwrap_or_else(read);
        contexts.now.set(Some(now));
        now
    })
}

impl Contexts {
    fn create(&self, id: u32, parent: u32) {
        if parent == 0 {
            let root = self.new_root.get().map(|new_root| (id, new_root(id)));
            if let Ok(mut roots) = self.roots.try_borrow_mut() {
                roots.extend(root);
            }
            return;
        }
        if let Ok(mut streams) = self.streams.try_borrow_mut() {
            streams.insert(id, Held::Announced(parent));
        }
    }

    /// A request's headers have come; `None` when nobody could be told.
    fn begin(&self, id: u32, headers: usize, end: bool) -> Option<Action> {
        let mut streams = self.streams.try_borrow_mut().ok()?;
        let held = streams.get_mut(&id)?;
        let Held::Announced(parent) = *held else { return None };
        let roots = self.roots.try_borrow().ok()?;
        let (_, root) = roots.iter().find(|(held, _)| *held == parent)?;
        self.enter(id);
        let (action, rest) = match root.on_request_headers(id, headers, end) {
            Begun::Decided(action) => (action, Held::Decided(action)),
            Begun::Open(action, stream) => (action, Held::Open(stream)),
        };
        *held = rest;
        Some(action)
    }

    fn delete(&self, id: u32) {
        self.enter(id);
        // What ends is dropped when nothing is borrowed any more.
        let stream = self.streams.try_borrow_mut().ok().and_then(|mut streams| streams.remove(&id));
        if stream.is_some() {
            return;
        }
        let root = self.roots.try_borrow_mut().ok().and_then(|mut roots| {
            let index = roots.iter().position(|(held, _)| *held == id)?;
            Some(roots.swap_remove(index))
        });
        drop(root);
    }

    fn enter(&self, id: u32) {
        self.current.set(id);
        self.now.set(None);
    }

    /// Tells a root context; `None` when there is no such.
    fn root<T>(&self, id: u32, tell: impl FnOnce(&mut dyn Root) -> T) -> Option<T> {
        let mut roots = self.roots.try_borrow_mut().ok()?;
        let (_, root) = roots.iter_mut().find(|(held, _)| *held == id)?;
        self.enter(id);
        Some(tell(root.as_mut()))
    }

    /// Tells a stream; `None` when there is no such, or nothing to tell it.
    fn stream<T>(&self, id: u32, tell: impl FnOnce(&mut dyn Stream) -> T) -> Option<T> {
        let mut streams = self.streams.try_borrow_mut().ok()?;
        let Held::Open(stream) = streams.get_mut(&id)? else { return None };
        self.enter(id);
        Some(tell(stream.as_mut()))
    }

    /// Tells a stream of a piece of its request. What is not decided, or not known, does not go on.
    fn piece(&self, id: u32, tell: impl FnOnce(&mut dyn Stream) -> Action) -> Action {
        let Ok(mut streams) = self.streams.try_borrow_mut() else { return Action::Pause };
        match streams.get_mut(&id) {
            Some(Held::Decided(action)) => *action,
            Some(Held::Open(stream)) => {
                self.enter(id);
                tell(stream.as_mut())
            }
            Some(Held::Announced(_)) | None => Action::Pause,
        }
    }

    fn answer(&self, call: u32, headers: usize, body: usize) {
        let caller = self.calls.try_borrow_mut().ok().and_then(|mut calls| calls.remove(&call));
        // A stream may have ended before its answer came.
        let Some(caller) = caller.filter(|caller| hostcalls::set_effective_context(*caller)) else { return };
        if self.stream(caller, |stream| stream.on_http_call_response(call, headers, body)).is_none() {
            self.root(caller, |root| root.on_http_call_response(call, headers, body));
        }
    }
}

fn on_root<T>(id: u32, otherwise: T, tell: impl FnOnce(&mut dyn Root) -> T) -> T {
    CONTEXTS.with(|contexts| contexts.root(id, tell)).unwrap_or(otherwise)
}

fn number(action: Action) -> u32 {
    match action {
        Action::Continue => 0,
        Action::Pause => 1,
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// Gives the host memory for an answer, which the one who asked then owns; null where there is
/// none.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    hostcalls::allocate(size)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(id: u32, parent: u32) {
    CONTEXTS.with(|contexts| contexts.create(id, parent));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(id: u32) {
    CONTEXTS.with(|contexts| contexts.delete(id));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(id: u32, size: usize) -> u32 {
    on_root(id, false, |root| root.on_configure(size)).into()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(id: u32) {
    on_root(id, (), |root| root.on_tick());
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_queue_ready(id: u32, queue: u32) {
    on_root(id, (), |root| root.on_queue_ready(queue));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(_root: u32, call: u32, headers: usize, body: usize, _trailers: usize) {
    CONTEXTS.with(|contexts| contexts.answer(call, headers, body));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(id: u32, headers: usize, end: u32) -> u32 {
    let begun = CONTEXTS.with(|contexts| contexts.begin(id, headers, end != 0));
    number(begun.unwrap_or_else(|| {
        // Nobody would ever decide it.
        hostcalls::send_local_response(503, &[], &[]);
        Action::Pause
    }))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(id: u32, size: usize, end: u32) -> u32 {
    number(CONTEXTS.with(|contexts| contexts.piece(id, |stream| stream.on_request_body(size, end != 0))))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(id: u32, _trailers: usize) -> u32 {
    number(CONTEXTS.with(|contexts| contexts.piece(id, |stream| stream.on_request_trailers())))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(id: u32, _headers: usize, _end: u32) -> u32 {
    CONTEXTS.with(|contexts| contexts.stream(id, |stream| stream.on_response_headers()));
    number(Action::Continue)
}
