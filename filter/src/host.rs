//! Envoy's host calls, as the rest of the filter uses them: bytes in, plain values out, and no panic.
//!
//! The SDK's own helpers panic on a header that is not UTF-8 and on every status they do not list, and a panic takes a
//! worker out of service. Each function here names the precondition under which the host can only answer with statuses
//! that the SDK lists; the callers keep to it. `clippy.toml` bans the SDK's calls everywhere else.
#![expect(clippy::disallowed_methods, reason = "the one file that makes host calls")]

use std::time::{Duration, UNIX_EPOCH};

use portcullis_gateway::ports::{CallError, CallReply, CallRequest};
use portcullis_protocol::http::Response;
use portcullis_storage_api::wire::{MARKER_HEADER, MARKER_VALUE};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType, Status};

/// Name and value pairs, as bytes.
pub(crate) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// The headers of the request. Only for the headers callback or while the request is paused, and for at most
/// [`MOST_HEADERS`] of them.
pub(crate) fn request_headers() -> Pairs {
    pairs(MapType::HttpRequestHeaders)
}

/// The cookies of the request, however many fields they come in; `None` without any. Preconditions as
/// [`request_headers`].
pub(crate) fn request_cookies() -> Option<Vec<u8>> {
    // The getter gives the first field only, which is enough to know that there is none.
    request_header(COOKIE)?;
    let headers = request_headers();
    let fields = headers.iter().filter(|(name, _)| name == COOKIE.as_bytes()).map(|(_, value)| value.as_slice());
    Some(fields.collect::<Vec<_>>().join(&b"; "[..]))
}

/// One header of the request; several of one name come joined or first only. Preconditions as [`request_headers`].
pub(crate) fn request_header(name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, name).ok().flatten()
}

/// Replaces every header of this name by one. Preconditions as [`request_headers`].
pub(crate) fn set_request_header(name: &str, value: &[u8]) {
    let _ = hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, Some(value));
}

/// Removes every header of this name. Preconditions as [`request_headers`].
pub(crate) fn remove_request_header(name: &str) {
    let _ = hostcalls::remove_map_value(MapType::HttpRequestHeaders, name);
}

/// One header of the response. Only for the response headers callback.
pub(crate) fn response_header(name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, name).ok().flatten()
}

/// Adds a header to the response. Only for the response headers callback.
pub(crate) fn add_response_header(name: &str, value: &str) {
    let _ = hostcalls::add_map_value(MapType::HttpResponseHeaders, name, value);
}

/// A piece of the request's buffered body. Only for the body callback, and within the size it was told.
pub(crate) fn request_body(start: usize, length: usize) -> Vec<u8> {
    if length == 0 {
        return Vec::new();
    }
    hostcalls::get_buffer(BufferType::HttpRequestBody, start, length).ok().flatten().unwrap_or_default()
}

/// Lets a paused request go on. Its headers must not be touched afterwards.
pub(crate) fn resume_request() {
    let _ = hostcalls::resume_http_request();
}

/// Answers the request here. Once a request, before it was resumed.
pub(crate) fn reply(response: &Response) {
    let headers = response.headers().iter().take(MOST_REPLY_HEADERS);
    let headers = headers.map(|(name, value)| (*name, value.as_str())).collect();
    let body = Some(response.body_bytes()).filter(|body| !body.is_empty());
    let _ = hostcalls::send_http_response(u32::from(response.status()), headers, body);
}

/// A string property of the request, such as `source.address`.
pub(crate) fn text_property(path: [&str; 2]) -> Option<String> {
    let value = hostcalls::get_property(path.to_vec()).ok().flatten()?;
    String::from_utf8(value).ok()
}

/// Publishes a value as filter state `wasm.<name>`. Only in a callback of the stream it is about.
pub(crate) fn set_filter_state(name: &str, value: &str) {
    let _ = hostcalls::set_property(vec![name], Some(value.as_bytes()));
}

/// Makes the host calls of the next lines concern another context; `false` when that context is gone.
pub(crate) fn enter_context(id: u32) -> bool {
    hostcalls::set_effective_context(id).is_ok()
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
    let body = Some(call.body.as_slice()).filter(|body| !body.is_empty());
    // The host reads 0 as no time-out at all.
    let timeout = Duration::from_millis(call.timeout_ms.clamp(1, LONGEST_CALL_MS));
    hostcalls::dispatch_http_call(&call.cluster, headers, body, Vec::new(), timeout).map_err(|_| CallError::NotSent)
}

/// The answer to a call. Only for the callback that brought it, with the sizes it was told.
///
/// # Errors
/// [`CallError::NoAnswer`]: it has no headers, as after a reset, or is larger than we take.
pub(crate) fn call_reply(headers: usize, body: usize) -> Result<CallReply, CallError> {
    // Without headers the host has no map to read, and asking for it would end the VM.
    if headers == 0 || headers > MOST_HEADERS || body > LONGEST_REPLY {
        return Err(CallError::NoAnswer);
    }
    let headers = pairs(MapType::HttpCallResponseHeaders);
    let status = one(&headers, b":status").and_then(|status| status.parse().ok()).ok_or(CallError::NoAnswer)?;
    let content_type = one(&headers, b"content-type").filter(|value| value.is_ascii()).map(str::to_owned);
    let from_bridge = one(&headers, MARKER_HEADER.as_bytes()) == Some(MARKER_VALUE);
    let body = if body == 0 {
        Vec::new()
    } else {
        hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, body).ok().flatten().unwrap_or_default()
    };
    Ok(CallReply { status, content_type, from_bridge, body })
}

/// The plugin's configuration. Only for the configure callback, with the size it was told.
pub(crate) fn configuration(size: usize) -> Vec<u8> {
    if size == 0 {
        return Vec::new();
    }
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten().unwrap_or_default()
}

/// A variable of the VM's environment.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The time in whole seconds since 1970.
pub(crate) fn now() -> u64 {
    since_1970().as_secs()
}

/// The time in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

/// Asks for a tick at every `period`.
pub(crate) fn set_tick_period(period: Duration) {
    let _ = hostcalls::set_tick_period(period);
}

/// A value that all VMs of this `vm_id` share, with its version; `None` for a key that was never written.
pub(crate) fn shared(key: &str) -> Option<(Vec<u8>, u32)> {
    let (value, version) = hostcalls::get_shared_data(key).ok()?;
    Some((value.unwrap_or_default(), version?))
}

/// Replaces a shared value if it still has this version; `false` when it has not.
pub(crate) fn replace_shared(key: &str, value: &[u8], version: u32) -> bool {
    hostcalls::set_shared_data(key, Some(value), Some(version)).is_ok()
}

/// Writes a shared value, whatever was there.
pub(crate) fn set_shared(key: &str, value: &[u8]) {
    let _ = hostcalls::set_shared_data(key, Some(value), None);
}

/// Registers a queue whose messages wake the root context of the caller.
pub(crate) fn register_queue(name: &str) -> Option<u32> {
    hostcalls::register_shared_queue(name).ok()
}

/// Sends a message; one to a queue that is gone is dropped.
pub(crate) fn enqueue(queue: u32, message: &[u8]) {
    let _ = hostcalls::enqueue_shared_queue(queue, Some(message));
}

/// Takes the next message.
pub(crate) fn dequeue(queue: u32) -> Option<Vec<u8>> {
    hostcalls::dequeue_shared_queue(queue).ok().flatten()
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
    let _: Result<(), Status> = hostcalls::increment_metric(counter, i64::try_from(by).unwrap_or(i64::MAX));
}

fn since_1970() -> Duration {
    let since = hostcalls::get_current_time().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.unwrap_or_default()
}

fn pairs(map: MapType) -> Pairs {
    let pairs = hostcalls::get_map_bytes(map).unwrap_or_default();
    pairs.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect()
}

/// The value of a header that was sent once and is text.
fn one<'a>(headers: &'a [(Vec<u8>, Vec<u8>)], name: &[u8]) -> Option<&'a str> {
    let mut values = headers.iter().filter(|(other, _)| other == name);
    let (_, value) = values.next()?;
    if values.next().is_some() { None } else { std::str::from_utf8(value).ok() }
}

const COOKIE: &str = "cookie";
/// The most headers that are read: beyond 1024 the host hands out no map at all.
pub(crate) const MOST_HEADERS: usize = 1000;
/// The host drops every header of a reply that has more than 1024 of them, the security headers first noticed missing.
const MOST_REPLY_HEADERS: usize = 100;
/// The longest answer to a call that is read, in bytes.
const LONGEST_REPLY: usize = 1024 * 1024;
/// The longest time-out of a call, in milliseconds.
const LONGEST_CALL_MS: u64 = 30_000;
