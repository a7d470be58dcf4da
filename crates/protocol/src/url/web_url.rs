//! Absolute URLs of issuers, endpoints and resources.

use std::fmt;
use std::net::Ipv4Addr;

use crate::url::uri::{UriError, UriParts};

/// An absolute `http` or `https` URL (RFC 9110 §4.2) without user information and fragment.
///
/// Scheme and host are in lower case and a default port is left out; path and query are as written.
/// The path is unambiguous: no dot segments, backslashes or control bytes, in any spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebUrl {
    parts: UriParts,
}

/// Why a text is not such a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebUrlError {
    /// It is not an absolute `http` or `https` URL, is longer than 2048 bytes, or has an ambiguous
    /// host, port or path.
    NotAbsolute,
    /// It has user information or a fragment, even an empty one.
    UserOrFragment,
}

impl WebUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// Returns a [`WebUrlError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, WebUrlError> {
        let mut parts = UriParts::parse(text).map_err(|error| match error {
            UriError::Fragment | UriError::UserInfo => WebUrlError::UserOrFragment,
            UriError::TooLong
            | UriError::BadCharacter
            | UriError::NotAbsolute
            | UriError::BadHost
            | UriError::BadPort
            | UriError::BadPath => WebUrlError::NotAbsolute,
        })?;
        let default_port = match parts.scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return Err(WebUrlError::NotAbsolute),
        };
        parts.port = parts.port.filter(|port| *port != default_port);
        if parts.path.is_empty() {
            parts.path.push('/');
        }
        Ok(Self { parts })
    }

    /// Returns `true` if the scheme is `https`, `false` if it is `http`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.parts.scheme == "https"
    }

    /// Returns `true` if the host is `localhost`, `127.0.0.1` or `[::1]`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.parts.is_loopback()
    }

    /// Returns the host; an IPv6 address is in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.parts.host.as_deref().unwrap_or_default()
    }

    /// Returns `true` if the host is an IP address.
    #[must_use]
    pub fn has_ip_address(&self) -> bool {
        self.host().starts_with('[') || self.host().parse::<Ipv4Addr>().is_ok()
    }

    /// Returns the port, also where it is the default of the scheme.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.parts.port.unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// Returns `host`, or `host:port` if the port is not the default of the scheme.
    #[must_use]
    pub fn authority(&self) -> String {
        self.parts.authority()
    }

    /// Returns scheme and authority (RFC 6454 §6.2).
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}://{}", self.parts.scheme, self.parts.authority())
    }

    /// Returns the path, at least `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.parts.path
    }

    /// Returns the query, without its `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.parts.query.as_deref()
    }

    /// Returns path and query, as the target of a request (RFC 9112 §3.2.1).
    #[must_use]
    pub fn request_target(&self) -> String {
        match self.query() {
            Some(query) => format!("{}?{query}", self.path()),
            None => self.path().to_owned(),
        }
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.request_target())
    }
}

#[cfg(test)]
#[path = "web_url_tests.rs"]
mod tests;
