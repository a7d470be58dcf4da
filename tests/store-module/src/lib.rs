//! The store's contract inside Envoy, on the filter's cells in shared data: `POST
//! /_store-contract/<case>/<phase>?salt=<number>` answers `{"failure":
//! null}`
//! or what the store did; `add-up`, `sum` and `contend` are the parts of the races.
//! `tests/stories/store.rs` asks.

#[path = "../../../filter/src/host/clock.rs"]
mod clock;
#[path = "../../../filter/src/host/shared_cells.rs"]
mod shared_cells;
#[path = "../../../filter/src/host/shared_data.rs"]
#[expect(dead_code, reason = "the filter also has queues")]
mod shared_data;

/// What Envoy calls first. In a module of its own, as the macro's function has no documentation.
mod start {
    use std::rc::Rc;

    use portcullis_gateway::store::memory::MemoryStore;
    use proxy_wasm::hostcalls;
    use proxy_wasm::traits::{Context, HttpContext, RootContext};
    use proxy_wasm::types::{Action, ContextType, LogLevel, MapType};

    use crate::contract::{Cells, answer};
    use crate::shared_cells::{HostClock, SharedCells};

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Info);
        proxy_wasm::set_root_context(|_| Box::new(Root { store: None }));
    }}

    struct Root {
        store: Option<Rc<Cells>>,
    }

    impl Context for Root {}

    impl RootContext for Root {
        fn on_configure(&mut self, _: usize) -> bool {
            crate::clock::begin_callback();
            self.store = Some(Rc::new(MemoryStore::new(SharedCells::create(BYTES), HostClock, BYTES)));
            true
        }

        fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
            Some(Box::new(Stream { store: self.store.clone() }))
        }

        fn get_type(&self) -> Option<ContextType> {
            Some(ContextType::HttpContext)
        }
    }

    struct Stream {
        store: Option<Rc<Cells>>,
    }

    impl Context for Stream {}

    impl HttpContext for Stream {
        fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
            crate::clock::begin_callback();
            let target = hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, ":path").ok().flatten();
            let answer = self.store.as_ref().zip(target).and_then(|(store, target)| answer(store, &target));
            let (status, body) = answer.map_or((404, String::new()), |answer| (200, answer.to_string()));
            let headers = vec![("content-type", "application/json")];
            let _ = hostcalls::send_http_response(status, headers, Some(body.as_bytes()));
            Action::Pause
        }
    }

    /// The size of the store.
    const BYTES: u64 = 16 * 1024 * 1024;
}

mod contract {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use portcullis_gateway::store::memory::MemoryStore;
    use portcullis_testkit::store_contract::{CASES, Failure, PAUSE_SECONDS, add_up, contend, run, sum};
    use serde_json::{Value, json};

    use crate::clock::now;
    use crate::shared_cells::{HostClock, SharedCells};

    pub(crate) type Cells = MemoryStore<SharedCells, HostClock>;

    /// Returns the answer to a request for the contract; `None` for any other request.
    pub(crate) fn answer(store: &Cells, target: &[u8]) -> Option<Value> {
        let target = std::str::from_utf8(target).ok()?;
        let rest = target.strip_prefix("/_store-contract/")?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let salt = query.strip_prefix("salt=").and_then(|salt| salt.parse().ok()).unwrap_or(0);
        let (name, number) = path.split_once('/').unwrap_or((path, "0"));
        let number = number.parse().unwrap_or(0);
        let outcome = match name {
            "cases" => Ok(cases()),
            "add-up" => to_end(add_up(store, salt, number)).map(|lost| json!({ "lost": lost })),
            "sum" => to_end(sum(store, salt)).map(|sum| json!({ "sum": sum })),
            "contend" => to_end(contend(store, salt, number)).map(|written| json!({ "written": written })),
            case => to_end(run(store, salt, case, number)).map(|()| json!({ "failure": null })),
        };
        Some(outcome.unwrap_or_else(|Failure(what)| json!({ "failure": what })))
    }

    fn cases() -> Value {
        let cases: Vec<Value> = CASES.iter().map(|case| json!({ "name": case.name, "phases": case.phases })).collect();
        json!({ "cases": cases, "pause_seconds": PAUSE_SECONDS, "now": now() })
    }

    /// Polls a future to its end. The memory store never waits; the contract only yields to others,
    /// and here those run by themselves.
    fn to_end<T>(future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return value;
            }
        }
    }
}
