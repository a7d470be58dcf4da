//! Calls to clusters, and their answers.

use std::time::Duration;

use portcullis_gateway::ports::{CallError, CallReply, CallRequest};
use portcullis_protocol::http::freshness::Freshness;
use portcullis_storage_api::wire::{MARKER_HEADER, MARKER_VALUE};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType};

use super::buffer::buffer;
use super::clock::now;
use super::header_map::{HeaderMap, MAX_HEADERS, headers};

/// Sends a request to a cluster; returns the id that its answer will carry.
///
/// # Errors
/// [`CallError::NotSent`]: the cluster is unknown, or a value cannot be part of a header.
pub(super) fn dispatch(call: &CallRequest) -> Result<u32, CallError> {
    let length = call.body.len().to_string();
    let mut headers =
        vec![(":method", call.method), (":path", call.path.as_str()), (":authority", call.authority.as_str())];
    headers.extend(call.headers.iter().map(|(name, value)| (&**name, value.as_str())));
    if !call.body.is_empty() {
        headers.push(("content-length", &length));
    }
    if headers.iter().any(|(_, value)| value.bytes().any(|byte| byte.is_ascii_control())) {
        return Err(CallError::NotSent);
    }
    // The host reads 0 as no timeout at all.
    let timeout = Duration::from_millis(call.timeout_ms.clamp(1, MAX_CALL_MS));
    let sent = hostcalls::dispatch_http_call(&call.cluster, headers, Some(&call.body), Vec::new(), timeout);
    sent.map_err(|_| CallError::NotSent)
}

/// Returns the answer to a call. Only for the callback of the answer, with the sizes given there.
///
/// # Errors
/// [`CallError::NoAnswer`]: it has no headers, as after a reset, or is larger than
/// [`MAX_REPLY_BYTES`].
pub(crate) fn call_reply(header_count: usize, body_bytes: usize) -> Result<CallReply, CallError> {
    // Without headers the host has no answer.
    if header_count == 0 || header_count > MAX_HEADERS || body_bytes > MAX_REPLY_BYTES {
        return Err(CallError::NoAnswer);
    }
    let headers = headers(MapType::HttpCallResponseHeaders).ok_or(CallError::NoAnswer)?;
    let status = one(&headers, ":status").and_then(|status| status.parse().ok()).ok_or(CallError::NoAnswer)?;
    let content_type = one(&headers, "content-type").filter(|value| value.is_ascii()).map(str::to_owned);
    let from_bridge = one(&headers, MARKER_HEADER) == Some(MARKER_VALUE);
    let max_age = if from_bridge { None } else { max_age(&headers) };
    let body = buffer(BufferType::HttpCallResponseBody, 0, body_bytes);
    Ok(CallReply { status, content_type, max_age, from_bridge, body })
}

fn max_age(headers: &HeaderMap) -> Option<u64> {
    let mut freshness = Freshness::default();
    headers.iter().for_each(|(name, value)| freshness.read(name, value));
    freshness.max_age(now)
}

/// Returns the value of a header that was sent once and is text.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.iter().filter(|(other, _)| *other == name.as_bytes());
    let (_, value) = values.next()?;
    if values.next().is_some() { None } else { std::str::from_utf8(value).ok() }
}

/// The longest answer to a call that is read, in bytes.
const MAX_REPLY_BYTES: usize = 1024 * 1024;
/// The longest timeout of a call, in milliseconds.
const MAX_CALL_MS: u64 = 30_000;
