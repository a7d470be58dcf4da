//! Requests and responses as plain values: what the filter reads from Envoy, and what a handler
//! returns.

use std::borrow::Cow;

/// A request without its body, which a handler reads through a port if it needs it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The request method.
    pub method: Method,
    /// The request target, `path?query`, as Envoy routes it.
    pub target: Vec<u8>,
    /// The `:authority` (or `Host`) of the request.
    pub authority: Vec<u8>,
    /// The header fields that handlers read.
    pub headers: Headers,
    /// The address of the direct peer, `ip:port`; empty if no handler needs it.
    pub peer: String,
}

/// The methods that endpoints distinguish (RFC 9110 §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// OPTIONS.
    Options,
    /// Any other method.
    Other,
}

impl Method {
    /// Parses a method. Methods are case-sensitive (RFC 9110 §9.1).
    #[must_use]
    pub fn from_bytes(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }
}

/// The header fields that handlers read. A [`Request`] keeps only these, because a paused request
/// stays in memory for as long as its client likes. A handler that needs another field adds it here
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldName {
    /// `access-control-request-headers`
    AccessControlRequestHeaders,
    /// `access-control-request-method`
    AccessControlRequestMethod,
    /// `authorization`
    Authorization,
    /// `content-type`
    ContentType,
    /// `cookie`
    Cookie,
    /// `mcp-protocol-version`
    McpProtocolVersion,
    /// `origin`
    Origin,
    /// `sec-fetch-mode`
    SecFetchMode,
    /// `sec-fetch-site`
    SecFetchSite,
    /// `x-forwarded-for`
    XForwardedFor,
}

impl FieldName {
    /// Every field.
    pub const ALL: [Self; 10] = [
        Self::AccessControlRequestHeaders,
        Self::AccessControlRequestMethod,
        Self::Authorization,
        Self::ContentType,
        Self::Cookie,
        Self::McpProtocolVersion,
        Self::Origin,
        Self::SecFetchMode,
        Self::SecFetchSite,
        Self::XForwardedFor,
    ];

    /// Returns the name in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessControlRequestHeaders => "access-control-request-headers",
            Self::AccessControlRequestMethod => "access-control-request-method",
            Self::Authorization => "authorization",
            Self::ContentType => "content-type",
            Self::Cookie => "cookie",
            Self::McpProtocolVersion => "mcp-protocol-version",
            Self::Origin => "origin",
            Self::SecFetchMode => "sec-fetch-mode",
            Self::SecFetchSite => "sec-fetch-site",
            Self::XForwardedFor => "x-forwarded-for",
        }
    }

    /// Returns the field of this name, compared without case (RFC 9110 §5.1); `None` for a field
    /// that no handler reads.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|field| name.eq_ignore_ascii_case(field.as_str().as_bytes()))
    }
}

/// The header fields of a request that handlers read. A value may be any octets, so nothing here
/// assumes UTF-8.
///
/// Collected from names and values in the order received; fields without a [`FieldName`] are left
/// out.
#[derive(Debug, Clone, Default)]
pub struct Headers(Vec<(FieldName, Vec<u8>)>);

impl Headers {
    /// Returns all values of a field, in the order received.
    pub fn all(&self, name: FieldName) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |(held, _)| *held == name).map(|(_, value)| value.as_slice())
    }

    /// Returns the value of a field that appears once; `None` if it is absent or repeated.
    #[must_use]
    pub fn one(&self, name: FieldName) -> Option<&[u8]> {
        let mut values = self.all(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    /// Returns `true` if the field is present.
    #[must_use]
    pub fn has(&self, name: FieldName) -> bool {
        self.all(name).next().is_some()
    }
}

impl<'a> Extend<(&'a [u8], &'a [u8])> for Headers {
    fn extend<I: IntoIterator<Item = (&'a [u8], &'a [u8])>>(&mut self, fields: I) {
        let read = |(name, value): (&[u8], &'a [u8])| Some((FieldName::parse(name)?, value.to_vec()));
        self.0.extend(fields.into_iter().filter_map(read));
    }
}

impl<'a> FromIterator<(&'a [u8], &'a [u8])> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'a [u8], &'a [u8])>>(fields: I) -> Self {
        let mut headers = Self::default();
        headers.extend(fields);
        headers
    }
}

/// A local response of the gateway.
///
/// Header values are made from checked parts; [`Response::header`] drops control characters all the
/// same, so that no value can end a header line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Cow<'static, [u8]>,
}

impl Response {
    /// Makes a response without a body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Cow::Borrowed(&[]) }
    }

    /// Makes a response with a JSON body.
    #[must_use]
    pub fn json(status: u16, body: Vec<u8>) -> Self {
        Self::new(status).header("content-type", "application/json").body(body)
    }

    /// Makes a `303 See Other`, after which a browser does not repeat the form of its request (RFC
    /// 9700 §4.12).
    #[must_use]
    pub fn see_other(location: &str) -> Self {
        Self::new(303).header("location", location)
    }

    /// Adds a header field; a field may be added more than once (`set-cookie`).
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let value = if printable { value.to_owned() } else { value.chars().filter(|c| !c.is_control()).collect() };
        self.headers.push((name, value));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Cow<'static, [u8]>>) -> Self {
        self.body = body.into();
        self
    }

    /// Returns the status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the header fields in the order added.
    #[must_use]
    pub fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    /// Returns the first value of a field, whose name is compared without case.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns the body.
    #[must_use]
    pub fn body_bytes(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_repeated_has_no_single_value() {
        let headers = headers(&[("Origin", "a"), ("cookie", "1"), ("COOKIE", "2")]);
        assert_eq!(headers.one(FieldName::Origin), Some(b"a".as_slice()));
        assert_eq!(headers.one(FieldName::Cookie), None);
        assert!(headers.has(FieldName::Cookie) && !headers.has(FieldName::Authorization));
        assert_eq!(headers.all(FieldName::Cookie).collect::<Vec<_>>(), [b"1", b"2"]);
    }

    #[test]
    fn every_field_that_handlers_read_is_kept_and_no_other() {
        for name in FieldName::ALL {
            assert_eq!(FieldName::parse(name.as_str().to_uppercase().as_bytes()), Some(name));
            assert!(headers(&[(name.as_str(), "")]).has(name), "{name:?}");
        }
        for name in ["", "x", "host", ":path", "accept", "user-agent", "cookies", "x-authorization", "authorizatio"] {
            assert!(headers(&[(name, &"x".repeat(4096))]).0.is_empty(), "{name}");
        }
    }

    fn headers(fields: &[(&str, &str)]) -> Headers {
        fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
    }

    #[test]
    fn no_header_value_ends_its_line() {
        let response = Response::new(200).header("location", "/a\r\nset-cookie: b\0");
        assert_eq!(response.header_value("Location"), Some("/aset-cookie: b"));
    }

    #[test]
    fn methods_are_case_sensitive() {
        for (name, method) in [
            ("GET", Method::Get),
            ("HEAD", Method::Head),
            ("POST", Method::Post),
            ("OPTIONS", Method::Options),
            ("post", Method::Other),
            ("PUT", Method::Other),
            ("", Method::Other),
        ] {
            assert_eq!(Method::from_bytes(name.as_bytes()), method, "{name}");
        }
    }
}
