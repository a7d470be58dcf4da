//! The filter: Envoy's callbacks on one side, the gateway's ports on the other, and nothing else.
//!
//! Reading order: `root` (one per worker: configuration and callbacks), `jobs` (its work that
//! belongs to no single request), `http_context` (one per request), `apply` (the one place where a
//! decision becomes an effect), `service` (what a worker has: active configuration, store, ports,
//! paused and pending streams), `workers` (messages between them), `host` (the host calls, over the
//! proxy-wasm SDK).

mod apply;
mod counters;
mod host;
mod http_context;
mod jobs;
mod log_lines;
mod root;
mod service;
mod stream_outcome;
mod version;
mod workers;

/// What Envoy calls first. In a module of its own, as the macro's function has no documentation.
mod start {
    use proxy_wasm::types::LogLevel;

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Info);
        proxy_wasm::set_root_context(|id| Box::new(crate::root::Root::new(id)));
    }}
}

/// Takes a bounded number of steps, whatever was allocated and freed before, and touches little
/// memory while it does.
#[global_allocator]
static ALLOCATOR: rlsf::GlobalTlsf = rlsf::GlobalTlsf::new();
