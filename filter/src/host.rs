//! Envoy's host calls, as the rest of the filter uses them: plain values in and out.
//!
//! The SDK panics on every status that it does not list for a call, and a panic takes a worker out
//! of service. So each function says when it may be called; within that, Envoy answers with a
//! status that is listed. Text from outside is always read as bytes.

mod buffer;
mod calls;
mod clock;
pub(crate) mod crypto;
mod foreign;
mod header_map;
mod header_pairs;
mod metrics;
mod plugin;
mod properties;
mod protobuf;
mod request;
mod response;
mod shared_cells;
mod shared_data;
mod task_calls;

pub(crate) use calls::call_reply;
pub(crate) use clock::{begin_callback, now, now_ms};
pub(crate) use header_map::{HeaderMap, MAX_HEADERS};
pub(crate) use metrics::{count, counter, set_gauge};
pub(crate) use plugin::{configuration, set_effective_context, set_tick_period, variable};
pub(crate) use properties::{connection, declare_struct, peer, set_filter_state};
pub(crate) use request::{
    continue_request, read_request_headers, remove_request_header, remove_request_trailer, reply, request_body,
    request_headers, request_trailers, set_request_header,
};
pub(crate) use response::{
    add_response_header, close_stream, remove_response_header, response_header, response_header_values,
};
pub(crate) use shared_cells::{HostClock, SharedCells};
pub(crate) use shared_data::{dequeue, enqueue, register_queue, replace_shared, set_shared, shared};
pub(crate) use task_calls::{TaskCalls, random};
