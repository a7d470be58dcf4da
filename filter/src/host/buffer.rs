//! Bytes that the host holds: bodies, and the configuration.

use proxy_wasm::hostcalls;
use proxy_wasm::types::BufferType;

/// Returns at most `size` bytes of a buffer from `start` on.
pub(super) fn buffer(buffer: BufferType, start: usize, size: usize) -> Vec<u8> {
    if size == 0 {
        return Vec::new();
    }
    hostcalls::get_buffer(buffer, start, size).ok().flatten().unwrap_or_default()
}
