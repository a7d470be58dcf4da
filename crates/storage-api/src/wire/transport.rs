//! What every request and reply has besides its JSON.

/// The header that every answer of the bridge carries, with [`MARKER_VALUE`]. A refused connection
/// reaches the filter as an ordinary 503, so an answer without the marker says nothing about a
/// record.
pub const MARKER_HEADER: &str = "x-portcullis-bridge";

/// The marker's value: the version of the wire.
pub const MARKER_VALUE: &str = "1";

/// The most bytes a request may have: the largest value in base64, and room for the names around
/// it.
pub const REQUEST_BYTES: usize = 96 * 1024;
