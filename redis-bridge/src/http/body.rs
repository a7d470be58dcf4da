//! The bodies of requests and responses.

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use portcullis_storage_api::wire::{MARKER_HEADER, MARKER_VALUE, MAX_REQUEST_BYTES, Refusal, RefusalCause};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads a request's body.
///
/// # Errors
/// [`RefusalCause::TooLarge`] above [`MAX_REQUEST_BYTES`], [`RefusalCause::BadRequest`] if it ends
/// early.
pub(crate) async fn read(request: Request<Incoming>) -> Result<Bytes, RefusalCause> {
    match Limited::new(request.into_body(), MAX_REQUEST_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(RefusalCause::TooLarge),
        Err(_) => Err(RefusalCause::BadRequest),
    }
}

/// Parses a request.
pub(crate) fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, RefusalCause> {
    serde_json::from_slice(body).map_err(|error| {
        // The error names fields and formats, and never repeats the input.
        tracing::debug!(%error, "malformed request");
        RefusalCause::BadRequest
    })
}

/// Serializes an answer.
pub(crate) fn to_json<T: Serialize>(answer: &T) -> Result<Vec<u8>, RefusalCause> {
    serde_json::to_vec(answer).map_err(|_| RefusalCause::Unavailable)
}

/// Returns the response to a refused request.
pub(crate) fn refusal(refusal: impl Into<Refusal>) -> Response<Full<Bytes>> {
    let refusal = refusal.into();
    let status = StatusCode::from_u16(refusal.error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = response(status, "application/json", to_json(&refusal).unwrap_or_default());
    if refusal.error.is_passing() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Returns a response with the marker.
pub(crate) fn response(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(MARKER_HEADER, HeaderValue::from_static(MARKER_VALUE));
    response
}
