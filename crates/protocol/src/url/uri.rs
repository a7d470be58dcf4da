//! A strict parser for the URIs of redirects and resources (RFC 3986 §3).
//!
//! A host is accepted only in the one spelling that browsers do not change (WHATWG URL §3.5), so
//! that the host that is checked is the host that a browser visits. An international name must be
//! in its ASCII form. The text after `xn--` is not decoded: a browser that finds it invalid visits
//! nothing.

use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::url::percent_encoding;

/// The parts of a hierarchical URI. Scheme and host are in lower case, the rest is as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UriParts {
    pub(crate) scheme: String,
    /// The text after `//`, without the port for `http` and `https`; `None` without `//`.
    pub(crate) host: Option<String>,
    /// The port, 1 to 65535; only parsed for `http` and `https`.
    pub(crate) port: Option<u16>,
    pub(crate) path: String,
    /// The raw query; `Some("")` for a bare `?`.
    pub(crate) query: Option<String>,
}

/// Why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UriError {
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
    pub(crate) fn parse(text: &str) -> Result<Self, UriError> {
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
        if percent_encoding::decode(query.as_deref().unwrap_or_default().as_bytes()).is_none() {
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
            Some(authority) if is_private_authority(authority) => (Some(authority.to_ascii_lowercase()), None),
            Some(_) => return Err(UriError::BadHost),
            None if is_web => return Err(UriError::BadHost),
            None => (None, None),
        };
        Ok(Self { scheme, host, port, path, query })
    }

    /// Returns `true` if the host is exactly `localhost`, `127.0.0.1` or `[::1]` (RFC 8252 §7.3 and
    /// §8.3).
    pub(crate) fn is_loopback(&self) -> bool {
        matches!(self.host.as_deref(), Some("localhost" | "127.0.0.1" | "[::1]"))
    }

    /// Returns host and port as they follow `//`.
    pub(crate) fn authority(&self) -> String {
        let host = self.host.as_deref().unwrap_or_default();
        self.port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

fn check_path(path: &str) -> Result<(), UriError> {
    let decoded = percent_encoding::decode(path.as_bytes()).ok_or(UriError::BadPath)?;
    let is_clear = has_one_reading(&decoded)
        && match percent_encoding::decode(&decoded) {
            Some(twice) => has_one_reading(&twice),
            // Some decoders leave a malformed escape and go on with the rest.
            None => !percent_encoding::has_escape(&decoded),
        };
    if is_clear { Ok(()) } else { Err(UriError::BadPath) }
}

/// Returns `false` for a decoded path with a backslash, a control byte or a dot segment, also one
/// that an encoded slash ends.
fn has_one_reading(path: &[u8]) -> bool {
    // Servlet containers drop `;…` before they resolve dot segments.
    let is_dot = |segment: &[u8]| matches!(segment.split(|byte| *byte == b';').next(), Some(b"." | b".."));
    !path.iter().any(|byte| matches!(byte, b'\\' | 0..=0x1f | 0x7f)) && !path.split(|byte| *byte == b'/').any(is_dot)
}

fn split_port(authority: &str) -> Result<(Option<String>, Option<u16>), UriError> {
    let (host, port) = match authority.rsplit_once(':') {
        // A colon inside the brackets of an IPv6 address.
        Some((_, after)) if after.ends_with(']') => (authority, None),
        Some((host, port)) => (host, Some(parse_port(port)?)),
        None => (authority, None),
    };
    let host = host.to_ascii_lowercase();
    if is_host(&host) { Ok((Some(host), port)) } else { Err(UriError::BadHost) }
}

/// Returns `true` if browsers do not change this host, which is in lower case.
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        // Browsers write an IPv4 address within an IPv6 one in hexadecimal, Rust with dots: both
        // spellings are refused.
        return !address.contains('.') && is_canonical::<Ipv6Addr>(address);
    }
    // A name that ends in a number is parsed as an IPv4 address, in many spellings.
    let last = host.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return is_canonical::<Ipv4Addr>(host);
    }
    // A trailing dot (an empty last label) is another spelling of the same host.
    host.split('.').all(|label| !label.is_empty() && label != "xn--" && label.bytes().all(is_label_byte))
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn is_canonical<A: FromStr + Display>(address: &str) -> bool {
    address.parse::<A>().is_ok_and(|parsed| parsed.to_string() == address)
}

/// Returns `true` for an authority that browsers do not change after a scheme of an app: an empty
/// one, or a name with at most a port.
fn is_private_authority(authority: &str) -> bool {
    let (name, port) = authority.split_once(':').map_or((authority, None), |(name, port)| (name, Some(port)));
    let port_is_good = port.is_none_or(|port| !name.is_empty() && parse_port(port).is_ok());
    port_is_good && name.bytes().all(|byte| is_label_byte(byte) || b".~!$&'()+,;=".contains(&byte))
}

fn parse_port(digits: &str) -> Result<u16, UriError> {
    if digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UriError::BadPort);
    }
    digits.parse().map_err(|_| UriError::BadPort)
}

/// A scheme (RFC 3986 §3.1) of at least two letters: one letter is a drive of Windows.
fn is_scheme(scheme: &str) -> bool {
    scheme.len() >= 2
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// A character of RFC 3986 §2, except `#`. Excludes quotes, angle brackets, backslash, spaces and
/// controls.
fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte)
}

const MAX_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    fn host(text: &str) -> Option<String> {
        UriParts::parse(text).ok().and_then(|parts| parts.host)
    }

    #[test]
    fn hosts_that_browsers_do_not_change_are_accepted() {
        for name in [
            "a.example",
            "a-b.c_d.example",
            "xn--bcher-kva.example",
            "127.0.0.1",
            "[::1]",
            "[2001:db8::1:0:0:1]",
            "1.a",
        ] {
            assert_eq!(host(&format!("https://{name}/")).as_deref(), Some(name));
            assert_eq!(Url::parse(&format!("https://{name}/")).unwrap().host_str(), Some(name));
        }
        assert_eq!(host("HTTPS://A.Example:8443").as_deref(), Some("a.example"));
    }

    #[test]
    fn hosts_that_browsers_read_as_another_or_not_at_all_are_refused() {
        for name in [
            "",
            ".",
            "a.example.",
            "a..example",
            ".example",
            "*.example",
            "a%2eexample",
            "127.1",
            "2130706433",
            "0x7f.1",
            "127.0.0.01",
            "0177.0.0.1",
            "1.2.3.4.5",
            "a.0x",
            "a.1",
            "256.0.0.1",
            "[::01]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[fe80::1%25eth0]",
            "[::1",
            "::1",
            "[]",
            "a!b",
            "a;b",
        ] {
            assert_eq!(host(&format!("https://{name}/")), None, "{name}");
        }
    }

    #[test]
    fn the_authority_of_a_private_scheme_is_a_name_and_at_most_a_port() {
        for authority in ["", "localhost", "vendor.plugin", "auth:8080"] {
            assert!(UriParts::parse(&format!("app://{authority}/cb")).is_ok(), "{authority}");
            assert!(Url::parse(&format!("app://{authority}/cb")).is_ok(), "{authority}");
        }
        for authority in [":80", "a:", "a:0", "a:99999", "a:b", "a:1:2", "[::1", "a[b", "a%zz", "a*", "a%2fb"] {
            assert!(UriParts::parse(&format!("app://{authority}/cb")).is_err(), "{authority}");
        }
    }

    proptest! {
        #[test]
        fn a_browser_visits_the_parsed_host_or_nothing(
            name in "([a-zA-Z0-9.:x_!*\\[\\]-]{1,16}|[0-9a-fx.]{1,12}|\\[[0-9a-f:.]{2,16}\\]|(xn--)?[a-z0-9-]{1,8}(\\.[a-z0-9]{1,4}){0,3})",
            port in "(:[0-9]{1,6})?",
        ) {
            let text = format!("https://{name}{port}/cb");
            if let Ok(parts) = UriParts::parse(&text) {
                match Url::parse(&text) {
                    Ok(visited) => prop_assert_eq!(visited.host_str(), parts.host.as_deref()),
                    Err(_) => prop_assert!(name.to_ascii_lowercase().contains("xn--"), "{}", text),
                }
            }
        }
    }
}
