//! Attributes of a stream, and the filter state that it leaves.

use proxy_wasm::hostcalls;

/// Returns the address of the direct peer, `ip:port`. Only in a callback of the request.
pub(crate) fn peer() -> Option<String> {
    String::from_utf8(property(["source", "address"])?).ok()
}

/// Returns Envoy's number of the connection that the request came on, or 0 if there is none. Only
/// in a callback of the request.
pub(crate) fn connection() -> u64 {
    let bytes = property(["connection", "id"]);
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Publishes a value as filter state `wasm.<name>`. Only in a callback of the stream it is about.
pub(crate) fn set_filter_state(name: &str, value: &str) {
    let _ = hostcalls::set_property(vec![name], Some(value.as_bytes()));
}

/// Returns an attribute of the stream; `None` if it has no value.
fn property(path: [&str; 2]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).ok()?
}
