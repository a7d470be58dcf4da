//! What is read of a request's headers: first what decides whether it can be answered at once, then
//! the whole request.

use std::borrow::Cow;

use portcullis_gateway::browser::cookies;
use portcullis_gateway::routing::routes;
use portcullis_protocol::http::message::{Headers, Method, Request};

use crate::host::{self, HeaderMap};
use crate::stream_outcome::AppliedTo;

/// The headers that decide whether a request can take the fast path.
#[derive(Default)]
pub(super) struct RequestHead<'a> {
    pub(super) target: &'a [u8],
    /// The only `Authorization`; `None` if there are several, since a backend could read any of
    /// them.
    pub(super) authorization: Option<&'a [u8]>,
    /// The cookies of all `Cookie` fields.
    pub(super) cookie: Option<Cow<'a, [u8]>>,
    /// Whether a browser sent it on behalf of a page.
    pub(super) has_origin: bool,
    pub(super) has_proxy_authorization: bool,
    headers: Option<&'a HeaderMap>,
    id: &'a [u8],
    /// Empty if there are several.
    mcp_method: &'a [u8],
}

impl<'a> RequestHead<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let mut head = Self { headers: Some(headers), ..Self::default() };
        let (mut is_ambiguous, mut methods) = (false, None);
        for (name, value) in headers.iter() {
            match name {
                b":path" => head.target = value,
                b"authorization" => is_ambiguous |= head.authorization.replace(value).is_some(),
                b"cookie" => head.cookie = Some(cookies::joined(head.cookie, value)),
                b"origin" => head.has_origin = true,
                b"proxy-authorization" | b"proxy_authorization" => head.has_proxy_authorization = true,
                b"x-request-id" => head.id = value,
                b"mcp-method" => head.mcp_method = if methods.replace(value).is_some() { &[] } else { value },
                _ => {}
            }
        }
        if is_ambiguous {
            head.authorization = None;
        }
        head
    }

    /// What is read of it when a decision is applied.
    pub(super) fn applied_to(&self) -> AppliedTo<'a> {
        AppliedTo {
            has_proxy_authorization: self.has_proxy_authorization,
            headers: self.headers,
            id: self.id,
            mcp_method: self.mcp_method,
        }
    }
}

/// Reads the whole request.
pub(super) fn read_request(headers: &HeaderMap) -> Request {
    let mut request = Request {
        method: Method::Other,
        target: Vec::new(),
        authority: Vec::new(),
        headers: Headers::default(),
        peer: String::new(),
    };
    for (name, value) in headers.iter() {
        match name {
            b":method" => request.method = Method::from_bytes(value),
            b":path" => request.target = value.to_vec(),
            b":authority" => request.authority = value.to_vec(),
            _ => request.headers.extend([(name, value)]),
        }
    }
    if routes::asks_for_peer(&request.target) {
        request.peer = host::peer().unwrap_or_default();
    }
    request
}
