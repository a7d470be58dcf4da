//! Envoy's clock, which costs a host call: it is read once in a callback.

use std::cell::Cell;
use std::time::{Duration, UNIX_EPOCH};

use proxy_wasm::hostcalls;

thread_local! {
    /// Unix time, once it was read in this callback. No part of a configuration: two of them in one
    /// VM have the same time.
    static NOW: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Forgets the time of the callback before. Every callback that reads the time begins with this.
pub(crate) fn begin_callback() {
    NOW.set(None);
}

/// Unix time in whole seconds, cached for the duration of a callback.
pub(crate) fn now() -> u64 {
    unix_time().as_secs()
}

/// Unix time in milliseconds, cached for the duration of a callback.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(unix_time().as_millis()).unwrap_or(u64::MAX)
}

/// `Duration::MAX` if the host has no clock, so that every token counts as expired.
fn unix_time() -> Duration {
    let now = NOW.get().unwrap_or_else(|| {
        let time = hostcalls::get_current_time().ok();
        time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or(Duration::MAX)
    });
    NOW.set(Some(now));
    now
}
