//! Envoy's host calls, as the rest of the filter uses them: plain values in and out.
//!
//! The SDK panics on every status that it does not list for a call, and a panic takes a worker out
//! of service. So each function says when it may be called; within that, Envoy answers with a
//! status that is listed. Text from outside is always read as bytes.

mod clock;
pub(crate) mod crypto;
mod header_map;
mod header_pairs;
mod protobuf;
pub(crate) mod shared_cells;

use std::time::Duration;

use portcullis_gateway::ports::{CallError, CallReply, CallRequest};
use portcullis_protocol::http::message::Response;
use portcullis_storage_api::wire::{MARKER_HEADER, MARKER_VALUE};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType, Status};

pub(crate) use clock::{begin_callback, now, now_ms};
pub(crate) use header_map::HeaderMap;

/// The headers of the request, none where it is too late to read them; at most [`MOST_HEADERS`] of
/// them.
pub(crate) fn request_headers() -> HeaderMap {
    headers(MapType::HttpRequestHeaders).unwrap_or_default()
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

/// One header of the response. Only for the response headers callback.
pub(crate) fn response_header(name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, name).ok()?
}

/// Adds a header to the response. Only for the response headers callback.
pub(crate) fn add_response_header(name: &str, value: &str) {
    let _ = hostcalls::add_map_value_bytes(MapType::HttpResponseHeaders, name, value.as_bytes());
}

/// A piece of the request's buffered body. Only for the body callback, and within the size it was
/// told.
pub(crate) fn request_body(start: usize, length: usize) -> Vec<u8> {
    buffer(BufferType::HttpRequestBody, start, length)
}

/// Answers the request here. Once a request, before it was resumed.
pub(crate) fn reply(response: &Response) {
    let headers = response.headers().iter().take(MOST_REPLY_HEADERS);
    let headers = headers.map(|(name, value)| (*name, value.as_str())).collect();
    let _ = hostcalls::send_http_response(response.status().into(), headers, Some(response.body_bytes()));
}

/// Lets the paused request go on.
pub(crate) fn continue_request() {
    let _ = hostcalls::resume_http_request();
}

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

/// Sends a request to a cluster; gives the id that its answer will carry.
///
/// # Errors
/// [`CallError::NotSent`]: the cluster is unknown, or a value cannot be part of a header.
pub(crate) fn dispatch(call: &CallRequest) -> Result<u32, CallError> {
    let length = call.body.len().to_string();
    let mut headers =
        vec![(":method", call.method), (":path", call.path.as_str()), (":authority", call.authority.as_str())];
    headers.extend(call.headers.iter().map(|(name, value)| (*name, value.as_str())));
    if !call.body.is_empty() {
        headers.push(("content-length", &length));
    }
    if headers.iter().any(|(_, value)| value.bytes().any(|byte| byte.is_ascii_control())) {
        return Err(CallError::NotSent);
    }
    // The host reads 0 as no time-out at all.
    let timeout = Duration::from_millis(call.timeout_ms.clamp(1, LONGEST_CALL_MS));
    let sent = hostcalls::dispatch_http_call(&call.cluster, headers, Some(&call.body), Vec::new(), timeout);
    sent.map_err(|_| CallError::NotSent)
}

/// The answer to a call. Only for the callback that brought it, with the sizes it was told.
///
/// # Errors
/// [`CallError::NoAnswer`]: it has no headers, as after a reset, or is larger than we take.
pub(crate) fn call_reply(header_count: usize, body_bytes: usize) -> Result<CallReply, CallError> {
    // Without headers the host has no answer.
    if header_count == 0 || header_count > MOST_HEADERS || body_bytes > LONGEST_REPLY {
        return Err(CallError::NoAnswer);
    }
    let headers = headers(MapType::HttpCallResponseHeaders).ok_or(CallError::NoAnswer)?;
    let status = one(&headers, ":status").and_then(|status| status.parse().ok()).ok_or(CallError::NoAnswer)?;
    let content_type = one(&headers, "content-type").filter(|value| value.is_ascii()).map(str::to_owned);
    let from_bridge = one(&headers, MARKER_HEADER) == Some(MARKER_VALUE);
    let body = buffer(BufferType::HttpCallResponseBody, 0, body_bytes);
    Ok(CallReply { status, content_type, from_bridge, body })
}

/// The plugin's configuration. Only for the configure callback, with the size it was told.
pub(crate) fn configuration(size: usize) -> Vec<u8> {
    buffer(BufferType::PluginConfiguration, 0, size)
}

/// Makes the host calls that follow concern another context; `false` if that context is gone.
pub(crate) fn set_effective_context(id: u32) -> bool {
    hostcalls::set_effective_context(id).is_ok()
}

/// Asks for a tick at every `period`. Only for the configure callback.
pub(crate) fn set_tick_period(period: Duration) {
    let _ = hostcalls::set_tick_period(period);
}

/// A variable of the VM's environment.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A value that all VMs of this `vm_id` share, with its version; `None` for a key that was never
/// written. An empty value is none to the SDK, which tells it from a key that is not there by the
/// version.
pub(crate) fn shared(key: &str) -> Option<(Vec<u8>, u32)> {
    let (value, version) = hostcalls::get_shared_data(key).ok()?;
    Some((value.unwrap_or_default(), version?))
}

/// Replaces a shared value if it still has this version; `false` when it has not.
pub(crate) fn replace_shared(key: &str, value: &[u8], version: u32) -> bool {
    // Version 0 would replace what is there whatever its version.
    version != 0 && hostcalls::set_shared_data(key, Some(value), Some(version)).is_ok()
}

/// Writes a shared value, whatever was there.
pub(crate) fn set_shared(key: &str, value: &[u8]) {
    let _ = hostcalls::set_shared_data(key, Some(value), None);
}

/// Registers a queue whose messages wake the root context of the caller.
pub(crate) fn register_queue(name: &str) -> Option<u32> {
    hostcalls::register_shared_queue(name).ok()
}

/// Puts a message into a queue; one for a queue that is gone is dropped.
pub(crate) fn enqueue(queue: u32, message: &[u8]) {
    let _ = hostcalls::enqueue_shared_queue(queue, Some(message));
}

/// Takes the next message of a queue; `None` when there is none.
pub(crate) fn dequeue(queue: u32) -> Option<Vec<u8>> {
    hostcalls::dequeue_shared_queue(queue).ok()?
}

/// Calls a function of Envoy's own; `None` when it is missing or refuses the arguments.
pub(crate) fn foreign(name: &str, arguments: &[u8]) -> Option<Vec<u8>> {
    hostcalls::call_foreign_function(name, Some(arguments)).ok().map(Option::unwrap_or_default)
}

/// Defines a counter; workers that give the same name count together.
pub(crate) fn counter(name: &str) -> Option<u32> {
    hostcalls::define_metric(MetricType::Counter, name).ok()
}

/// Adds to a counter.
pub(crate) fn count(counter: u32, by: u64) {
    let _ = hostcalls::increment_metric(counter, i64::try_from(by).unwrap_or(i64::MAX));
}

/// All headers of a map; `None` if it is not there now.
fn headers(map: MapType) -> Option<HeaderMap> {
    header_pairs::header_pairs(map).map(HeaderMap::new)
}

/// At most `size` bytes of a buffer from `start` on; none where it has none.
fn buffer(buffer: BufferType, start: usize, size: usize) -> Vec<u8> {
    if size == 0 {
        return Vec::new();
    }
    hostcalls::get_buffer(buffer, start, size).ok().flatten().unwrap_or_default()
}

/// An attribute of the stream; `None` where it has no value.
fn property(path: [&str; 2]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).ok()?
}

/// The value of a header that was sent once and is text.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.iter().filter(|(other, _)| *other == name.as_bytes());
    let (_, value) = values.next()?;
    if values.next().is_some() { None } else { std::str::from_utf8(value).ok() }
}

/// The most headers that are read: beyond 1024 the host hands out no map at all.
pub(crate) const MOST_HEADERS: usize = 1000;
/// The host drops every header of a reply that has more than 1024 of them, the security headers
/// first noticed missing.
const MOST_REPLY_HEADERS: usize = 100;
/// The longest answer to a call that is read, in bytes.
const LONGEST_REPLY: usize = 1024 * 1024;
/// The longest time-out of a call, in milliseconds.
const LONGEST_CALL_MS: u64 = 30_000;
