//! Envoy's host calls, as the rest of the filter uses them: plain values in and out, and no panic.

use std::time::Duration;

use portcullis_abi::header_map::HeaderMap;
use portcullis_abi::hostcalls::{self, BufferType, MapType};
use portcullis_gateway::ports::{CallError, CallReply, CallRequest};
use portcullis_protocol::http::message::Response;
use portcullis_storage_api::wire::{MARKER_HEADER, MARKER_VALUE};

pub(crate) use portcullis_abi::hostcalls::{
    Refused, continue_request, dequeue_shared_queue as dequeue, enqueue_shared_queue as enqueue, set_effective_context,
    set_tick_period,
};

/// The headers of the request, none where it is too late to read them. Only for the headers
/// callback or while the request is paused, and for at most [`MOST_HEADERS`] of them.
pub(crate) fn request_headers() -> HeaderMap {
    hostcalls::headers(MapType::RequestHeaders).unwrap_or_default()
}

/// Replaces every header of this name by one. Preconditions as [`request_headers`].
///
/// # Errors
/// [`Refused`]: it is too late.
pub(crate) fn set_request_header(name: &str, value: &[u8]) -> Result<(), Refused> {
    hostcalls::set_header(MapType::RequestHeaders, name, value)
}

/// Removes every header of this name. Preconditions as [`request_headers`].
///
/// # Errors
/// [`Refused`]: it is too late.
pub(crate) fn remove_request_header(name: &str) -> Result<(), Refused> {
    hostcalls::remove_header(MapType::RequestHeaders, name)
}

/// One header of the response. Only for the response headers callback.
pub(crate) fn response_header(name: &str) -> Option<Vec<u8>> {
    hostcalls::header(MapType::ResponseHeaders, name)
}

/// Adds a header to the response, or leaves it as it is. Only for the response headers callback.
pub(crate) fn add_response_header(name: &str, value: &str) {
    let _ = hostcalls::add_header(MapType::ResponseHeaders, name, value);
}

/// A piece of the request's buffered body. Only for the body callback, and within the size it was
/// told.
pub(crate) fn request_body(start: usize, length: usize) -> Vec<u8> {
    hostcalls::buffer(BufferType::RequestBody, start, length).unwrap_or_default()
}

/// Answers the request here. Once a request, before it was resumed.
pub(crate) fn reply(response: &Response) {
    let headers = response.headers().iter().take(MOST_REPLY_HEADERS);
    let headers: Vec<_> = headers.map(|(name, value)| (*name, value.as_str())).collect();
    hostcalls::send_local_response(response.status(), &headers, response.body_bytes());
}

/// The address of the direct peer, `ip:port`.
pub(crate) fn peer() -> Option<String> {
    String::from_utf8(hostcalls::property("source\0address").ok()?).ok()
}

/// Envoy's number for the connection that the request came on; 0 where it has none. Only in a
/// callback of the request.
pub(crate) fn connection() -> u64 {
    let bytes = hostcalls::property("connection\0id").ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Publishes a value as filter state `wasm.<name>`. Only in a callback of the stream it is about.
pub(crate) fn set_filter_state(name: &str, value: &str) {
    hostcalls::set_property(name, value.as_bytes());
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
    hostcalls::http_call(&call.cluster, &headers, &call.body, timeout).map_err(|_| CallError::NotSent)
}

/// The answer to a call. Only for the callback that brought it, with the sizes it was told.
///
/// # Errors
/// [`CallError::NoAnswer`]: it has no headers, as after a reset, or is larger than we take.
pub(crate) fn call_reply(headers: usize, body: usize) -> Result<CallReply, CallError> {
    // Without headers the host has no answer.
    if headers == 0 || headers > MOST_HEADERS || body > LONGEST_REPLY {
        return Err(CallError::NoAnswer);
    }
    let headers = hostcalls::headers(MapType::CallResponseHeaders).map_err(|_| CallError::NoAnswer)?;
    let status = one(&headers, ":status").and_then(|status| status.parse().ok()).ok_or(CallError::NoAnswer)?;
    let content_type = one(&headers, "content-type").filter(|value| value.is_ascii()).map(str::to_owned);
    let from_bridge = one(&headers, MARKER_HEADER) == Some(MARKER_VALUE);
    let body = hostcalls::buffer(BufferType::CallResponseBody, 0, body).unwrap_or_default();
    Ok(CallReply { status, content_type, from_bridge, body })
}

/// The plugin's configuration. Only for the configure callback, with the size it was told.
pub(crate) fn configuration(size: usize) -> Vec<u8> {
    hostcalls::buffer(BufferType::PluginConfiguration, 0, size).unwrap_or_default()
}

/// A variable of the VM's environment.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The time in whole seconds since 1970.
pub(crate) fn now() -> u64 {
    hostcalls::now().as_secs()
}

/// The time in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(hostcalls::now().as_millis()).unwrap_or(u64::MAX)
}

/// A value that all VMs of this `vm_id` share, with its version; `None` for a key that was never
/// written.
pub(crate) fn shared(key: &[u8]) -> Option<(Vec<u8>, u32)> {
    hostcalls::shared_data(key).ok()
}

/// Replaces a shared value if it still has this version; `false` when it has not.
pub(crate) fn replace_shared(key: &[u8], value: &[u8], version: u32) -> bool {
    version != ANY_VERSION && hostcalls::set_shared_data(key, value, version)
}

/// Writes a shared value, whatever was there.
pub(crate) fn set_shared(key: &[u8], value: &[u8]) {
    hostcalls::set_shared_data(key, value, ANY_VERSION);
}

/// Registers a queue whose messages wake the root context of the caller.
pub(crate) fn register_queue(name: &str) -> Option<u32> {
    hostcalls::register_shared_queue(name).ok()
}

/// Calls a function of Envoy's own; `None` when it is missing or refuses the arguments.
pub(crate) fn foreign(name: &str, arguments: &[u8]) -> Option<Vec<u8>> {
    hostcalls::call_foreign_function(name, arguments).ok()
}

/// Defines a counter; workers that give the same name count together.
pub(crate) fn counter(name: &str) -> Option<u32> {
    hostcalls::define_counter(name).ok()
}

/// Adds to a counter.
pub(crate) fn count(counter: u32, by: u64) {
    hostcalls::increment_counter(counter, i64::try_from(by).unwrap_or(i64::MAX));
}

/// The value of a header that was sent once and is text.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.iter().filter(|(other, _)| *other == name.as_bytes());
    let (_, value) = values.next()?;
    if values.next().is_some() { None } else { std::str::from_utf8(value).ok() }
}

/// A version that no value has: what is there is replaced whatever its version.
const ANY_VERSION: u32 = 0;
/// The most headers that are read: beyond 1024 the host hands out no map at all.
pub(crate) const MOST_HEADERS: usize = 1000;
/// The host drops every header of a reply that has more than 1024 of them, the security headers
/// first noticed missing.
const MOST_REPLY_HEADERS: usize = 100;
/// The longest answer to a call that is read, in bytes.
const LONGEST_REPLY: usize = 1024 * 1024;
/// The longest time-out of a call, in milliseconds.
const LONGEST_CALL_MS: u64 = 30_000;
