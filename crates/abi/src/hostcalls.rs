//! What the host may be asked. Each function is about the context whose callback this is, or the
//! one that [`set_effective_context`] named; what the host cannot do there it refuses.
#![expect(unsafe_code, reason = "host calls take pointers into this module's memory")]

use std::alloc::{Layout, alloc};
use std::ptr::{null, null_mut};
use std::time::Duration;

use crate::callbacks;
use crate::header_map::{self, HeaderMap};

/// The header maps of a stream, and of the answer to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapType {
    /// The request's headers, in the callbacks of the request and as long as it is paused.
    RequestHeaders = 0,
    /// The answer's headers, in their callback.
    ResponseHeaders = 2,
    /// The headers of the answer to a call, in its callback.
    CallResponseHeaders = 6,
}

/// Bytes that the host holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferType {
    /// The request's body as far as it has come, in its callback.
    RequestBody = 0,
    /// The body of the answer to a call, in its callback.
    CallResponseBody = 4,
    /// The configuration, in the callback that brings it.
    PluginConfiguration = 7,
}

/// The host did not do it: its status is another one than `Ok`. Which one helps nobody here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// All headers of a map.
///
/// # Errors
/// [`Refused`]: the map is not there now.
pub fn headers(map: MapType) -> Result<HeaderMap, Refused> {
    // SAFETY: it hands out bytes as `given` asks.
    unsafe { given(|data, size| proxy_get_header_map_pairs(map as u32, data, size)) }.map(HeaderMap::new)
}

/// The first header of this name; `None` also where the map is not there now.
#[must_use]
pub fn header(map: MapType, name: &str) -> Option<Vec<u8>> {
    // SAFETY: it hands out bytes as `given` asks, and the name is read during the call only.
    unsafe { given(|data, size| proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, size)) }.ok()
}

/// Replaces all headers of this name by one.
///
/// # Errors
/// [`Refused`]: the map is not there now, or cannot be changed any more.
pub fn set_header(map: MapType, name: &str, value: &[u8]) -> Result<(), Refused> {
    let (name, name_size, value, size) = (name.as_ptr(), name.len(), value.as_ptr(), value.len());
    // SAFETY: the host reads both during the call only.
    checked(unsafe { proxy_replace_header_map_value(map as u32, name, name_size, value, size) })
}

/// Adds a header.
///
/// # Errors
/// As [`set_header`].
pub fn add_header(map: MapType, name: &str, value: &str) -> Result<(), Refused> {
    let (name, name_size, value, size) = (name.as_ptr(), name.len(), value.as_ptr(), value.len());
    // SAFETY: the host reads both during the call only.
    checked(unsafe { proxy_add_header_map_value(map as u32, name, name_size, value, size) })
}

/// Removes all headers of this name, if there are any.
///
/// # Errors
/// As [`set_header`].
pub fn remove_header(map: MapType, name: &str) -> Result<(), Refused> {
    // SAFETY: the host reads the name during the call only.
    checked(unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// At most `size` bytes of a buffer from `start` on.
///
/// # Errors
/// [`Refused`]: it is not there now.
pub fn buffer(buffer: BufferType, start: usize, size: usize) -> Result<Vec<u8>, Refused> {
    if size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: it hands out bytes as `given` asks.
    unsafe { given(|data, length| proxy_get_buffer_bytes(buffer as u32, start, size, data, length)) }
}

/// A property: a path of Envoy's attributes with a zero byte between its parts.
///
/// # Errors
/// [`Refused`]: it is unknown, or no value.
pub fn property(path: &str) -> Result<Vec<u8>, Refused> {
    // SAFETY: it hands out bytes as `given` asks, and the path is read during the call only.
    unsafe { given(|data, size| proxy_get_property(path.as_ptr(), path.len(), data, size)) }
}

/// Publishes a value as filter state `wasm.<name>` of the stream.
pub fn set_property(name: &str, value: &[u8]) {
    // SAFETY: the host reads both during the call only.
    unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}

/// Lets the paused request go on.
pub fn continue_request() {
    // SAFETY: a number is all that the host is given.
    unsafe { proxy_continue_stream(REQUEST) };
}

/// Answers the request.
pub fn send_local_response(status: u16, headers: &[(&str, &str)], body: &[u8]) {
    let headers = header_map::encode(headers);
    let (start, size) = (headers.as_ptr(), headers.len());
    // SAFETY: the host reads headers and body during the call only; there are no details.
    unsafe {
        proxy_send_local_response(status.into(), null(), 0, body.as_ptr(), body.len(), start, size, NO_GRPC_STATUS);
    }
}

/// Sends a request to a cluster; gives the number that its answer will carry. Pseudo headers are
/// among the headers.
///
/// # Errors
/// [`Refused`]: the cluster is unknown, or a header is missing.
pub fn http_call(cluster: &str, headers: &[(&str, &str)], body: &[u8], timeout: Duration) -> Result<u32, Refused> {
    let headers = header_map::encode(headers);
    let trailers = header_map::encode(&[]);
    let timeout = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    let mut call = 0;
    // SAFETY: the host reads everything during the call only, and writes the number to our
    // variable.
    let status = unsafe {
        proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            trailers.as_ptr(),
            trailers.len(),
            timeout,
            &raw mut call,
        )
    };
    checked(status)?;
    callbacks::call_was_made(call);
    Ok(call)
}

/// Makes what is asked next concern another context; `false` when that context is gone.
#[must_use]
pub fn set_effective_context(id: u32) -> bool {
    // SAFETY: a number is all that the host is given.
    checked(unsafe { proxy_set_effective_context(id) }).is_ok()
}

/// The time since 1970, which stands still within a callback: the host is asked once. The end of
/// all time where it has no clock, so that nothing is valid any more.
#[must_use]
pub fn now() -> Duration {
    callbacks::now(|| {
        let mut nanoseconds = 0;
        // SAFETY: the host writes to our variable during the call.
        let status = unsafe { proxy_get_current_time_nanoseconds(&raw mut nanoseconds) };
        checked(status).map_or(Duration::MAX, |()| Duration::from_nanos(nanoseconds))
    })
}

/// Asks for a tick at every `period`.
pub fn set_tick_period(period: Duration) {
    let period = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: a number is all that the host is given.
    unsafe { proxy_set_tick_period_milliseconds(period) };
}

/// A value that all VMs of one `vm_id` share, and its version, which is never 0.
///
/// # Errors
/// [`Refused`]: nothing has this key.
pub fn shared_data(key: &[u8]) -> Result<(Vec<u8>, u32), Refused> {
    let mut version = 0;
    // SAFETY: it hands out bytes as `given` asks; the key is read, and the version written, during
    // the call only.
    let value =
        unsafe { given(|data, size| proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut version)) }?;
    Ok((value, version))
}

/// Writes a shared value if it still has this version, and whatever its version for 0; `false` when
/// it has another one.
pub fn set_shared_data(key: &[u8], value: &[u8], version: u32) -> bool {
    // SAFETY: the host reads both during the call only.
    let status = unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version) };
    checked(status).is_ok()
}

/// Registers a queue whose messages wake the root context.
///
/// # Errors
/// [`Refused`]: the host has none.
pub fn register_shared_queue(name: &str) -> Result<u32, Refused> {
    let mut queue = 0;
    // SAFETY: the name is read, and the number written, during the call only.
    checked(unsafe { proxy_register_shared_queue(name.as_ptr(), name.len(), &raw mut queue) }).map(|()| queue)
}

/// Puts a message into a queue; one for a queue that is gone is dropped.
pub fn enqueue_shared_queue(queue: u32, message: &[u8]) {
    // SAFETY: the host reads the message during the call only.
    unsafe { proxy_enqueue_shared_queue(queue, message.as_ptr(), message.len()) };
}

/// Takes the next message of a queue; `None` when there is none.
#[must_use]
pub fn dequeue_shared_queue(queue: u32) -> Option<Vec<u8>> {
    // SAFETY: it hands out bytes as `given` asks.
    unsafe { given(|data, size| proxy_dequeue_shared_queue(queue, data, size)) }.ok()
}

/// Calls a function of the host that is no part of the ABI.
///
/// # Errors
/// [`Refused`]: it is missing, or did not take the arguments.
pub fn call_foreign_function(name: &str, arguments: &[u8]) -> Result<Vec<u8>, Refused> {
    // SAFETY: it hands out bytes as `given` asks; name and arguments are read during the call only.
    unsafe {
        given(|data, size| {
            proxy_call_foreign_function(name.as_ptr(), name.len(), arguments.as_ptr(), arguments.len(), data, size)
        })
    }
}

/// Defines a counter; all VMs that give one name count together.
///
/// # Errors
/// [`Refused`]: the host has none.
pub fn define_counter(name: &str) -> Result<u32, Refused> {
    let mut counter = 0;
    // SAFETY: the name is read, and the number written, during the call only.
    checked(unsafe { proxy_define_metric(COUNTER, name.as_ptr(), name.len(), &raw mut counter) }).map(|()| counter)
}

/// Adds to a counter.
pub fn increment_counter(counter: u32, by: i64) {
    // SAFETY: numbers are all that the host is given.
    unsafe { proxy_increment_metric(counter, by) };
}

/// Writes to the host's log, at one of the ABI's levels.
pub(crate) fn log(level: u32, text: &str) {
    // SAFETY: the host reads the text during the call only.
    unsafe { proxy_log(level, text.as_ptr(), text.len()) };
}

/// Memory that [`given`] takes over; null for no bytes, and where there is none left.
pub(crate) fn allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        // SAFETY: the layout has a size that is not zero.
        Ok(layout) if size > 0 => unsafe { alloc(layout) },
        _ => null_mut(),
    }
}

/// Takes what the host writes into memory that it asks [`allocate`] for.
///
/// # Safety
/// `ask` must be a host call that writes an address and a size to where its two arguments point,
/// both of memory that it asked for during the call, has filled and will not touch again. That is
/// how the ABI hands out bytes.
unsafe fn given(ask: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, Refused> {
    let (mut data, mut size) = (null_mut(), 0);
    checked(ask(&raw mut data, &raw mut size))?;
    if data.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the memory is from `allocate`, with this size and the layout of so many bytes; the
    // host has filled all of it, and nobody else holds its address.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

fn checked(status: u32) -> Result<(), Refused> {
    if status == OK { Ok(()) } else { Err(Refused) }
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, text: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_buffer_bytes(kind: u32, start: usize, most: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout: u32,
        call: *mut u32,
    ) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        version: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(key: *const u8, key_size: usize, value: *const u8, value_size: usize, version: u32)
    -> u32;
    fn proxy_register_shared_queue(name: *const u8, name_size: usize, queue: *mut u32) -> u32;
    fn proxy_enqueue_shared_queue(queue: u32, message: *const u8, size: usize) -> u32;
    fn proxy_dequeue_shared_queue(queue: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, metric: *mut u32) -> u32;
    fn proxy_increment_metric(metric: u32, by: i64) -> u32;
}

const OK: u32 = 0;
/// The stream type of a request.
const REQUEST: u32 = 0;
/// The metric type of a counter.
const COUNTER: u32 = 0;
const NO_GRPC_STATUS: i32 = -1;
