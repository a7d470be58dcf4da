//! Answers that more than one endpoint gives, and the headers they share.

use portcullis_protocol::http::message::{FieldName, Request, Response};
use portcullis_protocol::oauth::error::{ErrorCode, OAuthError};

use crate::audit::{Audit, AuditFields, AuditOutcome, Reason};
use crate::decision::{AddedHeaders, Resolved};
use crate::routing::endpoint_table::{Entry, Reader};

/// How long a client should wait before it tries again when a dependency is unavailable, in
/// seconds.
pub(crate) const RETRY_AFTER: &str = "2";

/// Which script access an answer allows. Tokens travel in headers that a page must set itself,
/// never in cookies, so any origin may read (no `Access-Control-Allow-Credentials` anywhere).
pub enum Cors {
    /// The body and the usual headers.
    Read,
    /// Also the headers that an MCP client needs.
    ReadMcp,
}

/// Adds the headers that let a browser's script read an answer.
#[must_use]
pub fn cors(response: Response, access: Cors) -> Response {
    let response = response.header(ALLOW_ORIGIN, "*");
    match access {
        Cors::Read => response,
        Cors::ReadMcp => response.header("access-control-expose-headers", EXPOSED_HEADERS),
    }
}

/// The headers that let a browser's script read the answer of a protected resource that has no CORS
/// headers of its own. A page needs a token to get an answer, and cookies do not count (the Fetch
/// standard's credentials mode stays closed).
pub(crate) static CORS_OF_RESOURCE: AddedHeaders = AddedHeaders {
    unless: ALLOW_ORIGIN,
    fields: &[(ALLOW_ORIGIN, "*"), ("access-control-expose-headers", EXPOSED_HEADERS)],
};

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
/// The answer headers that an MCP client in a browser reads.
const EXPOSED_HEADERS: &str = "WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version";

/// Whether a request is a browser's question before the real one (Fetch standard, CORS-preflight).
#[must_use]
pub fn is_preflight(request: &Request) -> bool {
    request.headers.has(FieldName::Origin) && request.headers.has(FieldName::AccessControlRequestMethod)
}

/// The answer to a preflight: any header that it names may be sent, because none of them is a
/// cookie.
#[must_use]
pub fn preflight(request: &Request, methods: &'static str) -> Response {
    let wanted = request.headers.one(FieldName::AccessControlRequestHeaders).unwrap_or_default();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_, ".contains(byte);
    let headers = match std::str::from_utf8(wanted) {
        Ok(text) if text.len() <= 1024 && text.as_bytes().iter().all(plain) => text,
        _ => "authorization, content-type, mcp-protocol-version",
    };
    Response::new(204)
        .header(ALLOW_ORIGIN, "*")
        .header("access-control-allow-methods", methods)
        .header("access-control-allow-headers", headers)
        .header("access-control-max-age", "86400")
        .header("vary", "Origin, Access-Control-Request-Headers")
}

/// A 405 that names what is allowed (RFC 9110 §15.5.6). A script of another origin has no business
/// where a person is shown pages.
#[must_use]
pub(crate) fn method_not_allowed(entry: &Entry) -> Resolved {
    let error = OAuthError::new(ErrorCode::InvalidRequest, "this method is not allowed here").with_status(405);
    let response = match entry.reader {
        Reader::Program => oauth_error(&error),
        Reader::Person => uncached(Response::json(error.status(), error.to_json())),
    };
    Resolved::Respond(response.header("allow", entry.allow()), Audit::new(Reason::MethodNotAllowed))
}

/// Returns a 404 of the gateway itself.
#[must_use]
pub fn not_found(description: &'static str, reason: Reason) -> Resolved {
    let error = OAuthError::new(ErrorCode::InvalidRequest, description).with_status(404);
    Resolved::Respond(oauth_error(&error), Audit::new(reason))
}

/// Returns a 400 of the gateway itself.
#[must_use]
pub fn bad_request(description: &'static str, reason: Reason) -> Resolved {
    let error = OAuthError::new(ErrorCode::InvalidRequest, description).with_status(400);
    Resolved::Respond(oauth_error(&error), Audit::new(reason))
}

/// An OAuth error as an endpoint's JSON answer (RFC 6749 §5.2).
#[must_use]
pub fn oauth_error(error: &OAuthError) -> Response {
    cors(uncached(Response::json(error.status(), error.to_json())), Cors::Read)
}

/// Returns the answer of a JSON endpoint that refuses a request, or cannot decide it. `known` is
/// what is known about who asked.
#[must_use]
pub fn refusal((error, reason): (OAuthError, Reason), known: AuditFields) -> Resolved {
    let response = if reason.outcome() == AuditOutcome::Fail { temporary(&error) } else { oauth_error(&error) };
    Resolved::Respond(response, known.decided(reason))
}

/// As [`refusal`], with the challenge that a client gets which tried to authenticate in a header
/// (RFC 6749 §5.2).
#[must_use]
pub fn client_refusal(request: &Request, (error, reason): (OAuthError, Reason), known: AuditFields) -> Resolved {
    let is_challenged = error.status() == 401 && request.headers.has(FieldName::Authorization);
    match refusal((error, reason), known) {
        Resolved::Respond(response, audit) if is_challenged => {
            Resolved::Respond(response.header("www-authenticate", BASIC_CHALLENGE), audit)
        }
        resolved @ (Resolved::Respond(..) | Resolved::Continue(_)) => resolved,
    }
}

/// The scheme in which a client may name itself (RFC 7617 §2).
const BASIC_CHALLENGE: &str = r#"Basic realm="portcullis", charset="UTF-8""#;

/// Returns a 503 with `Retry-After`.
#[must_use]
pub fn try_later(description: &'static str) -> Response {
    temporary(&OAuthError::new(ErrorCode::TemporarilyUnavailable, description))
}

/// Returns an error that is over by itself as a 503 with `Retry-After`.
#[must_use]
pub fn temporary(error: &OAuthError) -> Response {
    cors(uncached(Response::json(503, error.to_json()).header("retry-after", RETRY_AFTER)), Cors::ReadMcp)
}

/// Marks an answer as one that no cache may keep (RFC 6749 §5.1).
#[must_use]
pub fn uncached(response: Response) -> Response {
    response.header("cache-control", "no-store").header("x-content-type-options", "nosniff")
}
