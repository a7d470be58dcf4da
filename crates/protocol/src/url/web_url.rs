//! Addresses of the web: what an issuer, an endpoint and a resource are reached at.

use std::fmt;

use crate::url::uri::{UriError, UriParts};

/// An absolute `http` or `https` URL (RFC 9110 §4.2) without user information and fragment.
///
/// Scheme and host are in lower case and a default port is left out; path and query are as written.
/// A path has one reading only: no dot segments, backslashes or control bytes, in any spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebUrl {
    parts: UriParts,
}

/// Why text is no such URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebUrlError {
    /// It is no absolute URL of the web, is longer than 2048 bytes, or has a host, port or path
    /// with more than one reading.
    NotAbsolute,
    /// It has user information or a fragment, be it an empty one.
    UserOrFragment,
}

impl WebUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// A [`WebUrlError`].
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

    /// Whether the scheme is `https`; it is `http` if not.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.parts.scheme == "https"
    }

    /// Whether it leads to this very machine: `localhost`, `127.0.0.1` or `[::1]`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.parts.is_loopback()
    }

    /// The host, and the port when it is not the scheme's default: `host` or `host:port`.
    #[must_use]
    pub fn authority(&self) -> String {
        self.parts.authority()
    }

    /// Scheme and authority (RFC 6454 §6.2).
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}://{}", self.parts.scheme, self.parts.authority())
    }

    /// The path, at least `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.parts.path
    }

    /// What follows the first `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.parts.query.as_deref()
    }

    /// Path and query, as a request names them (RFC 9110 §7.1).
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
