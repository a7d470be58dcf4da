//! Client ids that are URLs (draft-ietf-oauth-client-id-metadata-document §3): which may be.

use std::fmt;

use crate::url::web_url::{WebUrl, WebUrlError};

/// A `client_id` that is the URL of the client's metadata document.
///
/// It has one spelling: lower-case scheme and host, no default port, no dot segments, nothing that
/// browsers or servers read in another way. So it is compared as text (RFC 3986 §6.2.1), and the
/// host that was checked is the host that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdUrl {
    text: String,
    url: WebUrl,
}

/// Why a URL is no client id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientIdUrlError {
    /// Longer than 1024 bytes: the id is part of every token.
    TooLong,
    /// The scheme is not `https`, or is not written so.
    NotHttps,
    /// User information or a fragment, even an empty one.
    UserOrFragment,
    /// Another spelling of a URL, a malformed one, or one with dot segments.
    NotPlain,
    /// No path but `/`.
    NoPath,
    /// An IP address as host, which nothing but the address vouches for.
    IpAddress,
}

impl ClientIdUrl {
    /// Returns `true` if a client id is meant as a URL. No id that a registration gives is.
    #[must_use]
    pub fn is_meant(client_id: &str) -> bool {
        client_id.contains("://")
    }

    /// Parses a client id.
    ///
    /// # Errors
    /// Returns a [`ClientIdUrlError`] for a URL that may not be one.
    pub fn parse(client_id: &str) -> Result<Self, ClientIdUrlError> {
        if client_id.len() > MAX_BYTES {
            return Err(ClientIdUrlError::TooLong);
        }
        if !client_id.starts_with("https://") {
            return Err(ClientIdUrlError::NotHttps);
        }
        let url = WebUrl::parse(client_id).map_err(|error| match error {
            WebUrlError::UserOrFragment => ClientIdUrlError::UserOrFragment,
            WebUrlError::NotAbsolute => ClientIdUrlError::NotPlain,
        })?;
        if url.has_ip_address() {
            return Err(ClientIdUrlError::IpAddress);
        }
        if url.path() == "/" {
            return Err(ClientIdUrlError::NoPath);
        }
        if url.to_string() != client_id {
            return Err(ClientIdUrlError::NotPlain);
        }
        Ok(Self { text: client_id.to_owned(), url })
    }

    /// Returns the URL, byte for byte as received.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the host, in its ASCII form.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host()
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port()
    }

    /// Returns host and port, for the `host` of a request.
    #[must_use]
    pub fn authority(&self) -> String {
        self.url.authority()
    }

    /// Returns path and query, for the target of a request.
    #[must_use]
    pub fn request_target(&self) -> String {
        self.url.request_target()
    }
}

impl fmt::Display for ClientIdUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "a client id that is a URL must not be longer than 1024 characters",
            Self::NotHttps => "a client id that is a URL must begin with https://",
            Self::UserOrFragment => "a client id that is a URL must have no user name and no fragment",
            Self::NotPlain => {
                "a client id that is a URL must be in plain form: lower-case host, no default port, no dot segments"
            }
            Self::NoPath => "a client id that is a URL must have a path",
            Self::IpAddress => "a client id that is a URL must have a name as its host, not an IP address",
        })
    }
}

impl std::error::Error for ClientIdUrlError {}

const MAX_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::ClientIdUrlError::{IpAddress, NoPath, NotHttps, NotPlain, TooLong, UserOrFragment};
    use super::*;

    #[test]
    fn a_url_of_a_document_is_kept_as_it_is_and_split() {
        for text in [
            "https://client.example/client.json",
            "https://client.example/oauth/client/",
            "https://client.example/a.json?v=1",
            "https://client.example:8443/a",
            "https://xn--bcher-kva.example/a",
            "https://client.example/.well-known/client",
            "https://client.example/%7Euser/client.json",
        ] {
            assert_eq!(ClientIdUrl::parse(text).unwrap().as_str(), text);
        }
        let url = ClientIdUrl::parse("https://client.example:8443/a/b?c").unwrap();
        assert_eq!((url.host(), url.port(), url.authority().as_str()), ("client.example", 8443, "client.example:8443"));
        assert_eq!(url.request_target(), "/a/b?c");
        assert_eq!(ClientIdUrl::parse("https://client.example/a").unwrap().port(), 443);
    }

    #[test]
    fn what_looks_like_a_url_is_meant_as_one() {
        for text in ["https://a.example/a", "http://a.example/a", "HTTPS://a", "ftp://a", "://", "x://y"] {
            assert!(ClientIdUrl::is_meant(text), "{text}");
        }
        for text in ["", "a", "AAECAwQFBgcICQoLDA0ODw", "ci", "a:b", "https:a", "//a.example/a"] {
            assert!(!ClientIdUrl::is_meant(text), "{text}");
        }
    }

    #[test]
    fn every_other_url_is_refused_by_cause() {
        for (text, error) in [
            ("http://client.example/a", NotHttps),
            ("HTTPS://client.example/a", NotHttps),
            ("Https://client.example/a", NotHttps),
            (" https://client.example/a", NotHttps),
            ("https:client.example/a", NotHttps),
            ("https:/client.example/a", NotHttps),
            ("https:\\\\client.example/a", NotHttps),
            ("//client.example/a", NotHttps),
            ("file:///etc/passwd", NotHttps),
            ("gopher://client.example/a", NotHttps),
            ("data:application/json,{}", NotHttps),
            ("urn:a:b", NotHttps),
            ("https://client.example", NoPath),
            ("https://client.example/", NoPath),
            ("https://client.example?a", NoPath),
            ("https://client.example/?a=/b", NoPath),
            ("https://user@client.example/a", UserOrFragment),
            ("https://user:password@client.example/a", UserOrFragment),
            ("https://@client.example/a", UserOrFragment),
            ("https://trusted.example@evil.example/a", UserOrFragment),
            ("https://trusted.example:443@evil.example/a", UserOrFragment),
            ("https://client.example/a#", UserOrFragment),
            ("https://client.example/a#b", UserOrFragment),
            ("https://trusted.example#@evil.example/a", UserOrFragment),
            ("https://trusted.example\\@evil.example/a", NotPlain),
            ("https://client.example\\a", NotPlain),
            ("https://Client.example/a", NotPlain),
            ("https://client.example:443/a", NotPlain),
            ("https://client.example:/a", NotPlain),
            ("https://client.example:0443/a", NotPlain),
            ("https://client.example:0/a", NotPlain),
            ("https://client.example:65536/a", NotPlain),
            ("https://client.example./a", NotPlain),
            ("https://localhost./a", NotPlain),
            ("https://.client.example/a", NotPlain),
            ("https://client..example/a", NotPlain),
            ("https:///a", NotPlain),
            ("https://client.example/a/../b", NotPlain),
            ("https://client.example/./a", NotPlain),
            ("https://client.example/a/..", NotPlain),
            ("https://client.example/%2e%2e/a", NotPlain),
            ("https://client.example/%252e%252e/a", NotPlain),
            ("https://client.example/..%2fa", NotPlain),
            ("https://client.example/a\\b", NotPlain),
            ("https://client.example/a b", NotPlain),
            ("https://client.example/a\r\nhost: b", NotPlain),
            ("https://client.example/a\0", NotPlain),
            ("https://client.exa\tmple/a", NotPlain),
            ("https://cl\u{ef}ent.example/a", NotPlain),
            ("https://client\u{3002}example/a", NotPlain),
            ("https://client%2eexample/a", NotPlain),
            ("https://client.example/\u{e4}", NotPlain),
            ("https://client.example/%zz", NotPlain),
            ("https://*.example/a", NotPlain),
            ("https://127.1/a", NotPlain),
            ("https://127.0.1/a", NotPlain),
            ("https://2130706433/a", NotPlain),
            ("https://0x7f000001/a", NotPlain),
            ("https://0x7f.0x0.0x0.0x1/a", NotPlain),
            ("https://017700000001/a", NotPlain),
            ("https://0177.0.0.1/a", NotPlain),
            ("https://0/a", NotPlain),
            ("https://1.2.3.4.5/a", NotPlain),
            ("https://169.254.169.254./a", NotPlain),
            ("https://\u{2460}\u{2461}\u{2466}.0.0.1/a", NotPlain),
            ("https://[::ffff:127.0.0.1]/a", NotPlain),
            ("https://[::ffff:7f00:1]/a", NotPlain),
            ("https://[0:0:0:0:0:0:0:1]/a", NotPlain),
            ("https://[fe80::1%25eth0]/a", NotPlain),
            ("https://[::1/a", NotPlain),
            ("https://127.0.0.1/a", IpAddress),
            ("https://127.0.0.1:8443/a", IpAddress),
            ("https://0.0.0.0/a", IpAddress),
            ("https://10.0.0.1/a", IpAddress),
            ("https://100.64.0.1/a", IpAddress),
            ("https://169.254.169.254/latest/meta-data/", IpAddress),
            ("https://172.16.0.1/a", IpAddress),
            ("https://192.168.0.1/a", IpAddress),
            ("https://224.0.0.1/a", IpAddress),
            ("https://255.255.255.255/a", IpAddress),
            ("https://8.8.8.8/a", IpAddress),
            ("https://[::1]/a", IpAddress),
            ("https://[::]/a", IpAddress),
            ("https://[fd00:ec2::254]/a", IpAddress),
            ("https://[fe80::1]/a", IpAddress),
            ("https://[ff02::1]/a", IpAddress),
            ("https://[64:ff9b::7f00:1]/a", IpAddress),
            ("https://[2002:7f00:1::1]/a", IpAddress),
            ("https://[2606:4700::6810:1]/a", IpAddress),
        ] {
            assert_eq!(ClientIdUrl::parse(text), Err(error), "{text:?}");
        }
        let longest = format!("https://client.example/{}", "a".repeat(1024 - 23));
        assert!(ClientIdUrl::parse(&longest).is_ok());
        assert_eq!(ClientIdUrl::parse(&format!("{longest}a")), Err(TooLong));
    }
}
