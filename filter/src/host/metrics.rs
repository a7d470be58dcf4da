//! Envoy's metrics.

use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

/// Defines a counter; workers that give the same name count together.
pub(crate) fn counter(name: &str) -> Option<u32> {
    hostcalls::define_metric(MetricType::Counter, name).ok()
}

/// Defines a gauge and sets it.
pub(crate) fn set_gauge(name: &str, value: u64) {
    if let Ok(gauge) = hostcalls::define_metric(MetricType::Gauge, name) {
        let _ = hostcalls::record_metric(gauge, value);
    }
}

/// Adds to a counter.
pub(crate) fn count(counter: u32, by: u64) {
    let _ = hostcalls::increment_metric(counter, i64::try_from(by).unwrap_or(i64::MAX));
}
