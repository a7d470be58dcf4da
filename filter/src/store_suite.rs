//! The store's contract, run inside Envoy on its shared data: `POST
//! /_store-suite/<case>/<phase>?salt=<number>` answers `{"failure": null}` or what the store did;
//! `add-up`, `sum` and `contend` are the parts of the races. Only in builds with the feature
//! `store-suite`.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use portcullis_gateway::store::memory::MemoryStore;
use portcullis_gateway::store_suite::{CASES, Failure, PAUSE_SECONDS, add_up, contend, run, sum};
use portcullis_protocol::http::message::Response;
use serde_json::{Value, json};

use crate::host;
use crate::service::store::WorkerStore;

/// The answer to a request for the suite; `None` for any other request, and where the store is not
/// the memory: the suite polls a verb to its end at once, and the bridge's verbs wait for an
/// answer.
pub(crate) fn answer(store: &WorkerStore, target: &[u8]) -> Option<Response> {
    let WorkerStore::Memory(store) = store else { return None };
    let store: &MemoryStore<_, _> = store;
    let target = std::str::from_utf8(target).ok()?;
    let rest = target.strip_prefix("/_store-suite/")?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let salt = query.strip_prefix("salt=").and_then(|salt| salt.parse().ok()).unwrap_or(0);
    let (name, number) = path.split_once('/').unwrap_or((path, "0"));
    let number = number.parse().unwrap_or(0);
    let outcome = match name {
        "cases" => Ok(cases()),
        "add-up" => to_end(add_up(store, salt, number)).map(|lost| json!({ "lost": lost })),
        "sum" => to_end(sum(store, salt)).map(|sum| json!({ "sum": sum })),
        "contend" => {
            to_end(contend(store, salt, number)).map(|(written, taken)| json!({ "written": written, "taken": taken }))
        }
        case => to_end(run(store, salt, case, number)).map(|()| json!({ "failure": null })),
    };
    let body = outcome.unwrap_or_else(|Failure(what)| json!({ "failure": what }));
    Some(Response::json(200, body.to_string().into_bytes()))
}

fn cases() -> Value {
    let cases: Vec<Value> = CASES.iter().map(|case| json!({ "name": case.name, "phases": case.phases })).collect();
    json!({ "cases": cases, "pause_seconds": PAUSE_SECONDS, "now": host::now() })
}

/// Polls a future to its end. The memory store never waits; the suite only lets others on, and here
/// those run by themselves.
fn to_end<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}
