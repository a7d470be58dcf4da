//! Redirect URIs: what may be registered and what matches (OAuth 2.1 §2.3, RFC 8252 §7 and §8, RFC
//! 9700 §4.1.3).

use crate::url::uri::{UriError, UriParts};
use std::fmt;

/// A redirect URI that may be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUri {
    text: String,
    parts: UriParts,
}

/// The redirect URI of a request, matched with a registered one. Only [`match_registered`] makes
/// one, so holding it proves that a browser may be sent there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedRedirectUri(RedirectUri);

/// Why a redirect URI may not be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectError {
    /// Longer than 2048 bytes.
    TooLong,
    /// A character that RFC 3986 does not know (also a backslash, a space, a control or non-ASCII
    /// character), or a malformed percent escape.
    BadCharacter,
    /// A fragment, even an empty one (RFC 6749 §3.1.2).
    Fragment,
    /// No scheme, or nothing hierarchical behind it.
    NotAbsolute,
    /// A user name or password before the host.
    UserInfo,
    /// An empty host, a wildcard, a trailing dot, or a spelling that browsers read as another host.
    BadHost,
    /// A port that is empty, 0 or over 65535.
    BadPort,
    /// A dot segment, backslash or control byte in the path, in any spelling.
    BadPath,
    /// Plain `http` to a host that is not loopback (RFC 8252 §8.3).
    PlainHttp,
    /// A scheme that a browser or system handles itself, such as `javascript`.
    ForbiddenScheme,
}

impl RedirectUri {
    /// Takes a URI for registration: `https` to any host, `http` to `localhost`, `127.0.0.1` or
    /// `[::1]` only, and private-use schemes of native apps (RFC 8252 §7.1).
    ///
    /// # Errors
    /// A [`RedirectError`].
    pub fn register(text: &str) -> Result<Self, RedirectError> {
        let parts = UriParts::parse(text)?;
        match parts.scheme.as_str() {
            "https" => {}
            "http" if parts.is_loopback() => {}
            "http" => return Err(RedirectError::PlainHttp),
            // Whatever begins with `http` or `ws` reads as the real thing to a user or a prefix
            // check.
            scheme if scheme.starts_with("http") || FORBIDDEN_SCHEMES.contains(&scheme) => {
                return Err(RedirectError::ForbiddenScheme);
            }
            // `scheme:text` without a slash is data to whoever handles it, not a place (`urn:…:oob`
            // is one).
            _ if parts.host.is_none() && !parts.path.starts_with('/') => return Err(RedirectError::NotAbsolute),
            _ => {}
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The URI as registered.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether another URI differs at most in the port, and both lead to one loopback host over
    /// `http`. No system can promise a native app a port in advance; all else is compared as
    /// written, also the case of scheme and host (RFC 8252 §7.3, RFC 9700 §2.1).
    fn is_loopback_of(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.parts, &other.parts);
        ours.scheme == "http"
            && ours.is_loopback()
            && self.written_host() == other.written_host()
            && ours.path == theirs.path
            && ours.query == theirs.query
    }

    /// Scheme and host as written; the parts have them in lower case.
    fn written_host(&self) -> Option<&str> {
        let parts = [&self.parts.scheme, "://", self.parts.host.as_deref()?];
        self.text.get(..parts.concat().len())
    }
}

/// Finds the registered URI that a request names: the very same text, or for loopback the same but
/// for the port. The value of the request is what is kept.
#[must_use]
pub fn match_registered(registered: &[RedirectUri], requested: &str) -> Option<CheckedRedirectUri> {
    if let Some(same) = registered.iter().find(|uri| uri.text == requested) {
        return Some(CheckedRedirectUri(same.clone()));
    }
    let requested = RedirectUri::register(requested).ok()?;
    registered.iter().any(|uri| uri.is_loopback_of(&requested)).then_some(CheckedRedirectUri(requested))
}

impl CheckedRedirectUri {
    /// The URI as requested.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// What a user is told: the host in its ASCII form, or the scheme of a native app's own URI.
    #[must_use]
    pub fn host_for_display(&self) -> &str {
        let parts = &self.0.parts;
        match &parts.host {
            Some(host) if self.is_web() => host,
            Some(_) | None => &parts.scheme,
        }
    }

    /// Scheme, host and port of a web URI; `scheme:` for a native app's own URI.
    #[must_use]
    pub fn origin(&self) -> String {
        let parts = &self.0.parts;
        if self.is_web() { format!("{}://{}", parts.scheme, parts.authority()) } else { format!("{}:", parts.scheme) }
    }

    /// Whether it leads to the user's own machine, where any program may be listening.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.is_web() && self.0.parts.is_loopback()
    }

    fn is_web(&self) -> bool {
        matches!(self.0.parts.scheme.as_str(), "http" | "https")
    }
}

impl From<UriError> for RedirectError {
    fn from(error: UriError) -> Self {
        match error {
            UriError::TooLong => Self::TooLong,
            UriError::BadCharacter => Self::BadCharacter,
            UriError::Fragment => Self::Fragment,
            UriError::NotAbsolute => Self::NotAbsolute,
            UriError::UserInfo => Self::UserInfo,
            UriError::BadHost => Self::BadHost,
            UriError::BadPort => Self::BadPort,
            UriError::BadPath => Self::BadPath,
        }
    }
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "a redirect URI is longer than 2048 characters",
            Self::BadCharacter => "a redirect URI has a character that a URI cannot have",
            Self::Fragment => "a redirect URI has a fragment",
            Self::NotAbsolute => "a redirect URI is not absolute",
            Self::UserInfo => "a redirect URI has user information",
            Self::BadHost => "a redirect URI has an invalid host",
            Self::BadPort => "a redirect URI has an invalid port",
            Self::BadPath => "a redirect URI has a path with more than one reading",
            Self::PlainHttp => "a redirect URI uses http for a host that is not loopback",
            Self::ForbiddenScheme => "a redirect URI has a forbidden scheme",
        })
    }
}

impl std::error::Error for RedirectError {}

/// Schemes that run code, show given content, open files, start other programs, or are no place to
/// come back to.
const FORBIDDEN_SCHEMES: [&str; 24] = [
    "about",
    "blob",
    "chrome",
    "chrome-extension",
    "content",
    "data",
    "file",
    "filesystem",
    "ftp",
    "ftps",
    "intent",
    "jar",
    "javascript",
    "livescript",
    "mailto",
    "moz-extension",
    "res",
    "sms",
    "tel",
    "urn",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

#[cfg(test)]
#[path = "redirect_tests.rs"]
mod tests;
