//! Envoy's metrics.

use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

/// Defines a counter; workers that give the same name count together.
pub(crate) fn counter(name: &str) -> Option<u32> {
    hostcalls::define_metric(MetricType::Counter, name).ok()
}

/// Adds to a counter.
pub(crate) fn count(counter: u32, by: u64) {
    let _ = hostcalls::increment_metric(counter, i64::try_from(by).unwrap_or(i64::MAX));
}
