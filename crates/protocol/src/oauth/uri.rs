//! URIs of redirects and resources, taken apart strictly (RFC 3986 §3).
//!
//! A URI is accepted only when this reading and the WHATWG reading of browsers (the `url` crate) agree on the host, so
//! there is no spelling that we check as one host and a browser visits as another.

use crate::path::{PathError, check_decoded, percent_decode};
use url::Url;

/// The parts of a hierarchical URI; scheme and host in lower case, the rest as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UriParts {
    pub(super) scheme: String,
    /// What follows `//`, without the port for `http` and `https`; `None` when there is no `//`.
    pub(super) host: Option<String>,
    /// The port as written, 1 to 65535; only read for `http` and `https`.
    pub(super) port: Option<u16>,
    pub(super) path: String,
    /// The raw query; `Some("")` for a bare `?`.
    pub(super) query: Option<String>,
}

/// Why text is not such a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UriError {
    TooLong,
    BadCharacter,
    Fragment,
    NotAbsolute,
    UserInfo,
    BadHost,
    BadPort,
    BadPath,
}

impl UriParts {
    pub(super) fn parse(text: &str) -> Result<Self, UriError> {
        if text.len() > MAX_BYTES {
            return Err(UriError::TooLong);
        }
        if text.contains('#') {
            return Err(UriError::Fragment);
        }
        if !text.bytes().all(is_uri_byte) {
            return Err(UriError::BadCharacter);
        }
        let (scheme, rest) = text.split_once(':').ok_or(UriError::NotAbsolute)?;
        if !is_scheme(scheme) {
            return Err(UriError::NotAbsolute);
        }
        let scheme = scheme.to_ascii_lowercase();
        let (hierarchy, query) = match rest.split_once('?') {
            Some((hierarchy, query)) => (hierarchy, Some(query.to_owned())),
            None => (rest, None),
        };
        if percent_decode(query.as_deref().unwrap_or_default().as_bytes()).is_none() {
            return Err(UriError::BadCharacter);
        }
        let (authority, path) = match hierarchy.strip_prefix("//") {
            Some(after) => match after.split_once('/') {
                Some((authority, path)) => (Some(authority), format!("/{path}")),
                None => (Some(after), String::new()),
            },
            None => (None, hierarchy.to_owned()),
        };
        check_path(&path)?;
        let is_web = matches!(scheme.as_str(), "http" | "https");
        let (host, port) = match authority {
            Some(authority) if authority.contains('@') => return Err(UriError::UserInfo),
            Some(authority) if is_web => split_port(authority)?,
            Some(authority) => (Some(authority.to_ascii_lowercase()), None),
            None if is_web => return Err(UriError::BadHost),
            None => (None, None),
        };
        if host.as_deref().is_some_and(|host| host.contains(['*', '%'])) {
            return Err(UriError::BadHost);
        }
        let parsed = Url::parse(text).map_err(|_| UriError::BadHost)?;
        if is_web && parsed.host_str() != host.as_deref() {
            return Err(UriError::BadHost);
        }
        Ok(Self { scheme, host, port, path, query })
    }

    /// Whether the host is one of the three that RFC 8252 §7.3 and §8.3 lead to, by its exact text.
    pub(super) fn is_loopback(&self) -> bool {
        matches!(self.host.as_deref(), Some("localhost" | "127.0.0.1" | "[::1]"))
    }

    /// Host and port as they follow `//`.
    pub(super) fn authority(&self) -> String {
        let host = self.host.as_deref().unwrap_or_default();
        self.port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

fn check_path(path: &str) -> Result<(), UriError> {
    let decoded = percent_decode(path.as_bytes()).ok_or(UriError::BadPath)?;
    let single_meaning = |decoded: &[u8]| check_decoded(decoded).map_err(|_: PathError| UriError::BadPath);
    single_meaning(&decoded)?;
    match percent_decode(&decoded) {
        Some(twice) => single_meaning(&twice),
        None => Ok(()),
    }
}

fn split_port(authority: &str) -> Result<(Option<String>, Option<u16>), UriError> {
    let (host, port) = match authority.rsplit_once(':') {
        // A colon inside the brackets of an IPv6 address.
        Some((_, after)) if after.ends_with(']') => (authority, None),
        Some((host, port)) => (host, Some(parse_port(port)?)),
        None => (authority, None),
    };
    // A trailing dot names the same host in another spelling.
    if host.is_empty() || host.ends_with('.') {
        return Err(UriError::BadHost);
    }
    Ok((Some(host.to_ascii_lowercase()), port))
}

fn parse_port(digits: &str) -> Result<u16, UriError> {
    if digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UriError::BadPort);
    }
    digits.parse().map_err(|_| UriError::BadPort)
}

/// RFC 3986 §3.1, at least two letters: one letter is a drive of Windows.
fn is_scheme(scheme: &str) -> bool {
    scheme.len() >= 2
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// The characters of RFC 3986 §2, except `#`. Leaves out quotes, brackets of markup, backslash, spaces and controls.
fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte)
}

const MAX_BYTES: usize = 2048;
