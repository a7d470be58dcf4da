//! One request and its response on an open connection.

use std::time::SystemTime;

use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AGE, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, DATE, EXPIRES, HOST,
    HeaderName, USER_AGENT,
};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use portcullis_storage_api::wire::{Document, DocumentBody, FetchFailure, MAX_CONTENT_TYPE_BYTES, MAX_DOCUMENT_BYTES};
use tokio::io::{AsyncRead, AsyncWrite};

use super::target::Target;

/// Requests a document without credentials, and reads at most [`MAX_DOCUMENT_BYTES`] of the
/// response.
pub(super) async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    target: &Target,
) -> Result<Document, FetchFailure> {
    let request = Request::get(target.path())
        .header(HOST, target.authority())
        .header(ACCEPT, "application/json")
        // Compression could expand a small body beyond the limit.
        .header(ACCEPT_ENCODING, "identity")
        .header(USER_AGENT, "portcullis")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchFailure::BadUrl)?;
    let connected =
        http1::Builder::new().max_buf_size(MAX_HEADER_BYTES).max_headers(MAX_HEADERS).handshake(TokioIo::new(stream));
    let (mut sender, connection) = connected.await.map_err(|_| FetchFailure::Connect)?;
    // The connection is dropped with the exchange; no task continues in the background.
    let reading = async {
        let answer = sender.send_request(request).await.map_err(|_| FetchFailure::Connect)?;
        read(answer).await
    };
    let (mut reading, mut connection) = (std::pin::pin!(reading), std::pin::pin!(connection));
    tokio::select! {
        read = &mut reading => read,
        // What was received before the end is still to be read.
        _ = &mut connection => reading.await,
    }
}

async fn read(answer: Response<Incoming>) -> Result<Document, FetchFailure> {
    match answer.status().as_u16() {
        200 => {}
        300..=399 => return Err(FetchFailure::Redirect),
        _ => return Err(FetchFailure::Status),
    }
    let content_type = content_type(answer.headers()).ok_or(FetchFailure::ContentType)?;
    let max_age_seconds = max_age(answer.headers());
    let limit = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX);
    if answer.body().size_hint().lower() > limit {
        return Err(FetchFailure::TooLarge);
    }
    let body = match Limited::new(answer.into_body(), MAX_DOCUMENT_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(FetchFailure::TooLarge),
        Err(_) => return Err(FetchFailure::Connect),
    };
    let body = DocumentBody::new(body.to_vec()).map_err(|_| FetchFailure::TooLarge)?;
    Ok(Document { content_type, body, max_age_seconds })
}

/// Returns the media type of an uncompressed JSON response: `application/json` (RFC 8259) or a type
/// with the suffix `+json` (RFC 6839 §3.1).
fn content_type(headers: &HeaderMap) -> Option<String> {
    let encoded = headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding.as_bytes() != b"identity");
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(only), None, false) = (types.next(), types.next(), encoded) else { return None };
    let essence = only.to_str().ok()?.split(';').next()?.trim().to_ascii_lowercase();
    let subtype = essence.strip_prefix("application/")?;
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    let is_json = subtype == "json" || subtype.strip_suffix("+json").is_some_and(|name| !name.is_empty());
    (is_json && subtype.bytes().all(letters) && essence.len() <= MAX_CONTENT_TYPE_BYTES).then_some(essence)
}

/// Returns how long the response may be cached from now, in seconds: by `cache-control`, or else by
/// `expires` (RFC 9111 §4.2). A contradictory or malformed header means 0.
fn max_age(headers: &HeaderMap) -> Option<u64> {
    let mut least = None;
    for line in headers.get_all(CACHE_CONTROL) {
        for directive in line.to_str().unwrap_or("no-store").split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let seconds = match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" | "private" => 0,
                "max-age" | "s-maxage" => value.trim().trim_matches('"').parse().unwrap_or(0),
                _ => continue,
            };
            least = Some(least.map_or(seconds, |known: u64| known.min(seconds)));
        }
    }
    let age =
        headers.get(AGE).map_or(0, |age| age.to_str().ok().and_then(|age| age.trim().parse().ok()).unwrap_or(u64::MAX));
    least.or_else(|| until_expiry(headers)).map(|seconds| seconds.saturating_sub(age))
}

/// Returns how long it is from the date of the response to its expiry. A value that is no date,
/// such as `0`, is in the past (RFC 9111 §5.3).
fn until_expiry(headers: &HeaderMap) -> Option<u64> {
    let date = |name: HeaderName| httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok();
    headers.get(EXPIRES)?;
    let life =
        date(EXPIRES).and_then(|expires| expires.duration_since(date(DATE).unwrap_or_else(SystemTime::now)).ok());
    Some(life.map_or(0, |life| life.as_secs()))
}

/// hyper requires at least 8 KiB.
const MAX_HEADER_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
