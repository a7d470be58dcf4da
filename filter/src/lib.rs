//! The filter: Envoy's callbacks on one side, the gateway's ports on the other, and nothing else.
//!
//! Reading order: `root` (one per worker: configuration and shared work), `stream` (one per request), `settle` (a
//! decision becomes an effect), `ports` (what the gateway's handlers are given), `host` (the host calls).

mod counters;
mod crypto;
mod host;
mod mailbox;
mod ports;
mod protobuf;
mod root;
mod settle;
mod shared_cells;
#[cfg(feature = "store-suite")]
mod store_suite;
mod stream;
mod task_store;
mod worker;

/// What Envoy calls when it has loaded the module.
mod start {
    use proxy_wasm::types::LogLevel;

    use crate::root::Root;

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Info);
        proxy_wasm::set_root_context(|id| Box::new(Root::new(id)));
    }}
}
