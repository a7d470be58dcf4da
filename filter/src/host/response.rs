//! The response of the backend, and the end of its stream.

use proxy_wasm::hostcalls;
use proxy_wasm::types::MapType;

use super::header_map::headers;

/// Returns a header of the response; of several, one or all of them. Only for the response headers
/// callback.
pub(crate) fn response_header(name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, name).ok()?
}

/// Returns the values of all headers of a name; `None` if there are more headers than the host
/// hands out. Only for the response headers callback.
pub(crate) fn response_header_values(name: &[u8]) -> Option<Vec<Vec<u8>>> {
    let headers = headers(MapType::HttpResponseHeaders)?;
    Some(headers.iter().filter(|(held, _)| *held == name).map(|(_, value)| value.to_vec()).collect())
}

/// Adds a header to the response. Only for the response headers callback.
pub(crate) fn add_response_header(name: &str, value: &[u8]) {
    let _ = hostcalls::add_map_value_bytes(MapType::HttpResponseHeaders, name, value);
}

/// Removes every header of this name. Only for the response headers callback.
pub(crate) fn remove_response_header(name: &str) {
    let _ = hostcalls::remove_map_value(MapType::HttpResponseHeaders, name);
}

/// Closes the stream that is the current context, whatever of its response has been sent: the
/// connection of HTTP/1, and the stream alone of HTTP/2 and later. Not in a callback of the stream.
pub(crate) fn close_stream() {
    let _ = hostcalls::reset_http_response();
}
