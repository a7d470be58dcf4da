//! The request that a callback is about: its headers, its body, and what it is answered with.

use portcullis_protocol::http::message::Response;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, Status};

use super::buffer::buffer;
use super::header_map::{HeaderMap, headers};

/// Returns the headers of the request: none if it is too late to read them, or if there are more
/// than the host hands out.
pub(crate) fn request_headers() -> HeaderMap {
    read_request_headers().unwrap_or_default()
}

/// As [`request_headers`]; `None` if they cannot be read.
pub(crate) fn read_request_headers() -> Option<HeaderMap> {
    headers(MapType::HttpRequestHeaders)
}

/// Returns the trailers of the request; `None` if they cannot be read. Only for the trailers
/// callback.
pub(crate) fn request_trailers() -> Option<HeaderMap> {
    headers(MapType::HttpRequestTrailers)
}

/// Replaces every header of this name by one. Only in the headers callback or while the request is
/// paused: afterwards the SDK panics.
///
/// # Errors
/// The host's status, if it is not [`Status::Ok`].
pub(crate) fn set_request_header(name: &str, value: &[u8]) -> Result<(), Status> {
    hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, Some(value))
}

/// Removes every header of this name. Preconditions and errors as [`set_request_header`].
pub(crate) fn remove_request_header(name: &str) -> Result<(), Status> {
    hostcalls::remove_map_value(MapType::HttpRequestHeaders, name)
}

/// Removes every trailer of this name. Only in the trailers callback.
///
/// # Errors
/// As [`set_request_header`].
pub(crate) fn remove_request_trailer(name: &str) -> Result<(), Status> {
    hostcalls::remove_map_value(MapType::HttpRequestTrailers, name)
}

/// Returns a piece of the request's buffered body. Only for the body callback, and within the size
/// given there.
pub(crate) fn request_body(start: usize, length: usize) -> Vec<u8> {
    buffer(BufferType::HttpRequestBody, start, length)
}

/// Answers the request here. Once a request, before it was resumed.
pub(crate) fn reply(response: &Response) {
    let headers = response.headers().iter().take(MAX_REPLY_HEADERS);
    let headers = headers.map(|(name, value)| (*name, value.as_str())).collect();
    let _ = hostcalls::send_http_response(response.status().into(), headers, Some(response.body_bytes()));
}

/// Lets the paused request go on.
pub(crate) fn continue_request() {
    let _ = hostcalls::resume_http_request();
}

/// The host drops every header of a reply that has more than 1024 of them, the security headers
/// first noticed missing.
const MAX_REPLY_HEADERS: usize = 100;
