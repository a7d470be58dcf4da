//! Resource indicators (RFC 8707 §2), in one canonical form.

use crate::url::uri::{UriError, UriParts};
use std::fmt;

/// An absolute `http` or `https` URI that names a protected resource.
///
/// Canonical form: scheme and host in lower case, no default port, no trailing slash. MCP asks
/// servers to accept upper case in scheme and host, and clients differ in the slash; everything
/// else is compared as written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceUri(String);

/// Why text is not a resource indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceError {
    /// Longer than 2048 bytes.
    TooLong,
    /// Not an absolute `http` or `https` URI.
    NotAbsolute,
    /// A fragment, even an empty one (RFC 8707 §2).
    Fragment,
    /// A user name or password before the host.
    UserInfo,
    /// An invalid host or port.
    BadHost,
    /// A character outside RFC 3986, or a path with an empty segment, a dot segment or a backslash.
    BadPath,
}

impl ResourceUri {
    /// Parses a resource indicator and brings it into canonical form.
    ///
    /// # Errors
    /// Returns a [`ResourceError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        let parts = UriParts::parse(text)?;
        let default_port = match parts.scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return Err(ResourceError::NotAbsolute),
        };
        if parts.path.contains("//") {
            return Err(ResourceError::BadPath);
        }
        let port = parts.port.filter(|port| *port != default_port);
        let parts = UriParts { port, ..parts };
        let path = parts.path.strip_suffix('/').unwrap_or(&parts.path);
        let mut canonical = format!("{}://{}{path}", parts.scheme, parts.authority());
        if let Some(query) = &parts.query {
            canonical.push('?');
            canonical.push_str(query);
        }
        Ok(Self(canonical))
    }

    /// Returns the canonical form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<UriError> for ResourceError {
    fn from(error: UriError) -> Self {
        match error {
            UriError::TooLong => Self::TooLong,
            UriError::NotAbsolute => Self::NotAbsolute,
            UriError::Fragment => Self::Fragment,
            UriError::UserInfo => Self::UserInfo,
            UriError::BadHost | UriError::BadPort => Self::BadHost,
            UriError::BadCharacter | UriError::BadPath => Self::BadPath,
        }
    }
}

impl fmt::Display for ResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the resource is longer than 2048 characters",
            Self::NotAbsolute => "the resource is not an absolute http or https URI",
            Self::Fragment => "the resource has a fragment",
            Self::UserInfo => "the resource has user information",
            Self::BadHost => "the resource has an invalid host or port",
            Self::BadPath => "the resource is not a well-formed URI",
        })
    }
}

impl std::error::Error for ResourceError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_resource_are_equal() {
        let canonical = ResourceUri::parse("https://mcp.example.com/mcp").unwrap();
        for text in ["HTTPS://MCP.Example.COM/mcp", "https://mcp.example.com:443/mcp", "https://mcp.example.com/mcp/"] {
            assert_eq!(ResourceUri::parse(text).unwrap(), canonical, "{text}");
        }
        assert_eq!(canonical.as_str(), "https://mcp.example.com/mcp");
        assert_eq!(ResourceUri::parse("http://[::1]:80/").unwrap().as_str(), "http://[::1]");
        assert_eq!(ResourceUri::parse("https://h:8443/?a=B").unwrap().as_str(), "https://h:8443?a=B");
    }

    #[test]
    fn other_resources_are_not_equal() {
        let canonical = ResourceUri::parse("https://h/mcp").unwrap();
        for text in [
            "https://h/MCP",
            "http://h/mcp",
            "https://h:444/mcp",
            "https://h/mcp?",
            "https://h/mcp/x",
            "https://h/%6dcp",
        ] {
            assert_ne!(ResourceUri::parse(text).unwrap(), canonical, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_resource_indicator_is_refused_by_cause() {
        for (text, cause) in [
            ("", ResourceError::NotAbsolute),
            ("/mcp", ResourceError::NotAbsolute),
            ("h/mcp", ResourceError::NotAbsolute),
            ("urn:example:mcp", ResourceError::NotAbsolute),
            ("ftp://h/mcp", ResourceError::NotAbsolute),
            ("https://h/mcp#", ResourceError::Fragment),
            ("https://h/mcp#x", ResourceError::Fragment),
            ("https://u@h/mcp", ResourceError::UserInfo),
            ("https:///mcp", ResourceError::BadHost),
            ("https:h", ResourceError::BadHost),
            ("https://h:0/mcp", ResourceError::BadHost),
            ("https://*.h/mcp", ResourceError::BadHost),
            ("https://0x7f.1/mcp", ResourceError::BadHost),
            ("https://h/a/../mcp", ResourceError::BadPath),
            ("https://h/a//mcp", ResourceError::BadPath),
            ("https://h/mcp//", ResourceError::BadPath),
            ("https://h/a b", ResourceError::BadPath),
            ("https://h/é", ResourceError::BadPath),
        ] {
            assert_eq!(ResourceUri::parse(text), Err(cause), "{text}");
        }
        assert_eq!(ResourceUri::parse(&format!("https://h/{}", "a".repeat(2048))), Err(ResourceError::TooLong));
    }
}
