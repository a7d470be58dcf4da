//! Redirect URIs: which may be registered and which match (OAuth 2.1 §2.3, RFC 8252 §7 and §8, RFC
//! 9700 §4.1.3).

use crate::url::uri::{UriError, UriParts};
use std::fmt;

/// A redirect URI that may be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUri {
    text: String,
    parts: UriParts,
}

/// The redirect URI of a request that matches a registered one. INVARIANT: only
/// [`match_registered`] makes one, so a value proves that a browser may be sent there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedRedirectUri(RedirectUri);

/// Why a redirect URI may not be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectError {
    /// Longer than 2048 bytes.
    TooLong,
    /// A character outside RFC 3986 (such as a backslash, a space, a control or non-ASCII
    /// character), or a malformed percent escape.
    BadCharacter,
    /// A fragment, even an empty one (RFC 6749 §3.1.2).
    Fragment,
    /// No scheme, or nothing hierarchical after it.
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
    /// A scheme that a browser or system acts on itself, such as `javascript` or `ms-msdt`.
    ForbiddenScheme,
}

impl RedirectUri {
    /// Parses a URI for registration: `https` to any host, `http` to `localhost`, `127.0.0.1` or
    /// `[::1]` only, and private-use schemes of native apps (RFC 8252 §7.1).
    ///
    /// # Errors
    /// Returns a [`RedirectError`] for a URI that may not be registered.
    pub fn register(text: &str) -> Result<Self, RedirectError> {
        let parts = UriParts::parse(text)?;
        match parts.scheme.as_str() {
            "https" => {}
            "http" if parts.is_loopback() => {}
            "http" => return Err(RedirectError::PlainHttp),
            scheme if is_taken(scheme) => return Err(RedirectError::ForbiddenScheme),
            // `scheme:text` without a slash is data for the handler of the scheme, not a location
            // (`urn:…:oob` is one).
            _ if parts.host.is_none() && !parts.path.starts_with('/') => return Err(RedirectError::NotAbsolute),
            _ => {}
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Returns the URI as registered.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns `true` if both URIs are `http` to the same loopback host and differ at most in the
    /// port. No system can promise a native app a port in advance; all else is compared as written,
    /// also the case of scheme and host (RFC 8252 §7.3, RFC 9700 §2.1).
    fn is_loopback_of(&self, other: &Self) -> bool {
        let (one, two) = (&self.parts, &other.parts);
        one.scheme == "http"
            && one.is_loopback()
            && self.written_host() == other.written_host()
            && one.path == two.path
            && one.query == two.query
    }

    /// Returns scheme and host as written; `parts` has them in lower case.
    fn written_host(&self) -> Option<&str> {
        let parts = [&self.parts.scheme, "://", self.parts.host.as_deref()?];
        self.text.get(..parts.concat().len())
    }
}

/// Matches the URI of a request with the registered ones: the same text, or for loopback the same
/// except for the port. The result is the URI of the request.
#[must_use]
pub fn match_registered(registered: &[RedirectUri], requested: &str) -> Option<CheckedRedirectUri> {
    if let Some(same) = registered.iter().find(|uri| uri.text == requested) {
        return Some(CheckedRedirectUri(same.clone()));
    }
    let requested = RedirectUri::register(requested).ok()?;
    registered.iter().any(|uri| uri.is_loopback_of(&requested)).then_some(CheckedRedirectUri(requested))
}

impl CheckedRedirectUri {
    /// Returns the URI as requested.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Returns what to show a user: the host in its ASCII form, or the scheme of a native app.
    #[must_use]
    pub fn host_for_display(&self) -> &str {
        let parts = &self.0.parts;
        match &parts.host {
            Some(host) if self.is_web() => host,
            Some(_) | None => &parts.scheme,
        }
    }

    /// Returns scheme, host and port of a web URI, or `scheme:` for a native app.
    #[must_use]
    pub fn origin(&self) -> String {
        let parts = &self.0.parts;
        if self.is_web() { format!("{}://{}", parts.scheme, parts.authority()) } else { format!("{}:", parts.scheme) }
    }

    /// Returns `true` if it leads to the machine of the user, where any program may be listening.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.is_web() && self.0.parts.is_loopback()
    }

    /// Returns `true` if it leads to a web site, whose owner alone gets what is sent there. Any
    /// program can listen on loopback or take a private-use scheme, so such a URI says nothing
    /// about the app (RFC 8252 §8.6).
    #[must_use]
    pub fn is_web_site(&self) -> bool {
        self.is_web() && !self.0.parts.is_loopback()
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
            Self::TooLong => "a redirect URI has at most 2048 characters",
            Self::BadCharacter => "it has a character that a URI cannot have; percent-encode it",
            Self::Fragment => "a redirect URI has no fragment; leave out `#` and what follows",
            Self::NotAbsolute => "a redirect URI is absolute; begin it with a scheme and `//` or `/`",
            Self::UserInfo => "a redirect URI has no user information; leave out what precedes `@`",
            Self::BadHost => "its host is not valid; write it as browsers do, without wildcards",
            Self::BadPort => "its port is not a number from 1 to 65535",
            Self::BadPath => "its path has dot segments or escapes that servers read differently; write it plainly",
            Self::PlainHttp => "http is for localhost, 127.0.0.1 and [::1] only; use https",
            Self::ForbiddenScheme => {
                "browsers and systems act on this scheme themselves; use https, or a scheme of the app's own"
            }
        })
    }
}

impl std::error::Error for RedirectError {}

/// Returns `true` for a scheme that no app can call its own, because something else acts on it: a
/// redirect there would run, open or fetch what the client wrote.
fn is_taken(scheme: &str) -> bool {
    TAKEN_BEGINNINGS.iter().any(|beginning| scheme.starts_with(beginning))
        || TAKEN_SCHEMES.iter().any(|taken| taken.contains(&scheme))
}

/// What schemes begin with that belong to one owner, or that look like the real one to a user or a
/// prefix check.
const TAKEN_BEGINNINGS: [&str; 11] = [
    "http",
    // Parts of Windows, several of which ran commands that a link gave them (`ms-msdt`,
    // `ms-officecmd`, `ms-word`, `ms-appinstaller`).
    "ms-",
    "microsoft-",
    "windows",
    // Parts of macOS and iOS: settings, manuals, scripts.
    "x-apple",
    "com.apple.",
    // Parts of browsers, and what they make of other URLs.
    "chrome",
    "moz-",
    "view-",
    // Android starts whatever app and component the URL names.
    "intent",
    "android-",
];

const TAKEN_SCHEMES: [&[&str]; 7] = [
    // Run code or show what is in the URL, inside the browser.
    &["javascript", "vbscript", "livescript", "mocha", "data", "about", "blob", "filesystem", "mhtml", "wyciwyg"],
    // Open files, archives and resources of the machine.
    &["file", "content", "jar", "zip", "res", "resource", "cid", "mid", "its", "mk", "shell", "vnd.ms.radio"],
    // Start programs of the system with what is in the URL.
    &[
        "search",
        "search-ms",
        "hcp",
        "help",
        "x-man-page",
        "x-help-action",
        "applescript",
        "prefs",
        "app-prefs",
        "jnlp",
        "jnlps",
        "msteams-installer",
        "onenote-cmd",
        "calculator",
        "read",
        "callto",
        "tel",
        "sms",
        "smsto",
        "mms",
        "mmsto",
        "sip",
        "sips",
        "facetime",
        "facetime-audio",
        "mailto",
        "webcal",
        "webcals",
        "market",
        "itms",
        "itms-apps",
        "itms-services",
        "macappstore",
        "macappstores",
        "apt",
        "snap",
        "steam",
        "magnet",
    ],
    // Open a session on another machine.
    &[
        "telnet", "tn3270", "rlogin", "ssh", "vnc", "rdp", "ica", "smb", "cifs", "nfs", "afp", "dav", "davs", "ldap",
        "ldaps",
    ],
    // Fetch from any host, as http does, but without its rules.
    &[
        "ftp", "ftps", "sftp", "tftp", "gopher", "gophers", "finger", "dict", "news", "nntp", "snews", "wais", "rtsp",
        "rtmp", "mmsh", "feed", "feeds", "itpc", "pcast", "podcast", "git", "svn", "rsync", "ipfs", "ipns", "ws",
        "wss",
    ],
    // Open any URL in a browser: an open redirect by another name.
    &[
        "googlechrome",
        "googlechromes",
        "firefox",
        "firefox-focus",
        "firefox-private",
        "opera",
        "opera-http",
        "opera-https",
        "brave",
        "safari",
        "safari-http",
        "safari-https",
        "x-safari-http",
        "x-safari-https",
        "touch-http",
        "touch-https",
        "ddgquicklink",
        "x-web-search",
    ],
    // Lead nowhere.
    &["urn", "tag", "uuid", "oid", "doi", "info", "null"],
];

#[cfg(test)]
#[path = "redirect_tests.rs"]
mod tests;
