//! Attributes of a stream, and the filter state that it leaves.

use proxy_wasm::hostcalls;

/// The address of the direct peer, `ip:port`. Only in a callback of the request.
pub(crate) fn peer() -> Option<String> {
    String::from_utf8(property(["source", "address"])?).ok()
}

/// Envoy's number for the connection that the request came on; 0 where it has none. Only in a
/// callback of the request.
pub(crate) fn connection() -> u64 {
    let bytes = property(["connection", "id"]);
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Publishes a value as filter state `wasm.<name>`. Only in a callback of the stream it is about.
pub(crate) fn set_filter_state(name: &str, value: &str) {
    let _ = hostcalls::set_property(vec![name], Some(value.as_bytes()));
}

/// An attribute of the stream; `None` where it has no value.
fn property(path: [&str; 2]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).ok()?
}
