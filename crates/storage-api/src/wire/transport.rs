//! The headers and sizes of requests and responses.

/// The header of every response of the bridge, with [`MARKER_VALUE`]. A refused connection reaches
/// the filter as an ordinary 503, so a response without the marker says nothing about a record.
pub const MARKER_HEADER: &str = "x-portcullis-bridge";

/// The value of [`MARKER_HEADER`]: the version of the wire.
pub const MARKER_VALUE: &str = "1";

/// The maximum of bytes in a request: the largest value in base64, and room for the other fields.
pub const MAX_REQUEST_BYTES: usize = 96 * 1024;
