//! What the root context asks for: its configuration, ticks, and to speak for another context.

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::BufferType;

use super::buffer::buffer;

/// Returns the plugin's configuration. Only for the configure callback, with the size given there.
pub(crate) fn configuration(size: usize) -> Vec<u8> {
    buffer(BufferType::PluginConfiguration, 0, size)
}

/// Returns a variable of the VM's environment.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Asks for a tick at every `period`. Only for the configure callback.
pub(crate) fn set_tick_period(period: Duration) {
    let _ = hostcalls::set_tick_period(period);
}

/// Makes the host calls that follow concern another context; `false` if that context is gone.
pub(crate) fn set_effective_context(id: u32) -> bool {
    hostcalls::set_effective_context(id).is_ok()
}
