//! Client authentication at a token endpoint (RFC 6749 §2.3.1, RFC 7521 §4.2, RFC 7617).
//!
//! An empty parameter is absent (RFC 6749 §3.2), and so is an empty password: a public client that
//! writes either names itself and does not authenticate.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use zeroize::Zeroizing;

use super::params::{self, Params, Repeated};
use crate::crypto::secret::Secret;
use crate::url::percent_encoding;

/// The parameters of a body that name or authenticate its client. Nothing of them is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyCredentials {
    /// The `client_id` as sent.
    pub client_id: Option<String>,
    /// `true` if a `client_secret` or a `client_assertion` was sent, which no public client has.
    pub authenticates: bool,
}

impl BodyCredentials {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Returns [`Repeated`] if one of them is repeated.
    pub fn read(params: &Params) -> Result<Self, Repeated> {
        let mut authenticates = false;
        for name in ["client_secret", "client_assertion", "client_assertion_type"] {
            authenticates |= params.one(name)?.is_some();
        }
        Ok(Self { client_id: params.one("client_id")?.map(str::to_owned), authenticates })
    }
}

/// The credentials of an `Authorization` field of the scheme `Basic`. Nothing of them is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicCredentials {
    /// The client id, decoded.
    pub client_id: String,
    /// `true` if there is a password, which no public client has.
    pub has_password: bool,
}

impl BasicCredentials {
    /// Reads the value of the field; `None` for another scheme, and for one that cannot be read.
    ///
    /// The id is form-urlencoded (RFC 6749 §2.3.1). One that is written as it is, as many clients
    /// do, is read all the same, even with a colon in it where no password follows.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        let value = std::str::from_utf8(value).ok()?;
        let (scheme, encoded) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("Basic") || encoded.len() > MAX_BASIC_BYTES {
            return None;
        }
        let bytes = STANDARD_NO_PAD.decode(encoded.trim().trim_end_matches('=')).ok()?;
        let pair = Zeroizing::new(String::from_utf8(bytes).ok()?);
        let (id, password) = match pair.strip_suffix(':') {
            Some(id) => (id, ""),
            None => pair.split_once(':')?,
        };
        let plain = || id.to_owned();
        let id = percent_encoding::decode(id.replace('+', " ").as_bytes());
        let client_id = id.and_then(|id| String::from_utf8(id).ok()).unwrap_or_else(plain);
        Some(Self { client_id, has_password: !password.is_empty() })
    }
}

/// Returns the `Authorization` value of a client with a password. Both parts are form-urlencoded
/// before they are joined, so that a colon or a character outside ASCII survives.
#[must_use]
pub fn basic(client_id: &str, client_secret: &Secret<String>) -> Secret<String> {
    let (id, secret) = (params::escape(client_id), Zeroizing::new(params::escape(client_secret.expose())));
    let pair = Zeroizing::new([&id, ":", secret.as_str()].concat());
    Secret::new(["Basic ", STANDARD.encode(pair.as_str()).as_str()].concat())
}

/// The most bytes of encoded credentials that are read.
const MAX_BASIC_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::super::params::Limits;
    use super::*;

    #[test]
    fn an_empty_parameter_authenticates_nothing() {
        for (body, authenticates) in [
            ("client_id=i", false),
            ("client_id=i&client_secret=", false),
            ("client_id=i&client_secret", false),
            ("client_id=i&client_assertion=&client_assertion_type=", false),
            ("client_id=i&client_secret=s", true),
            ("client_id=i&client_assertion=a", true),
            ("client_id=i&client_assertion_type=urn:x", true),
        ] {
            let read = BodyCredentials::read(&Params::parse(body.as_bytes(), Limits::OAUTH).unwrap());
            assert_eq!(read, Ok(BodyCredentials { client_id: Some("i".to_owned()), authenticates }), "{body}");
        }
        let none = BodyCredentials::read(&Params::parse(b"client_id=&a=b", Limits::OAUTH).unwrap());
        assert_eq!(none, Ok(BodyCredentials { client_id: None, authenticates: false }));
        for name in ["client_id", "client_secret", "client_assertion", "client_assertion_type"] {
            let body = format!("{name}=&{name}=");
            let read = BodyCredentials::read(&Params::parse(body.as_bytes(), Limits::OAUTH).unwrap());
            assert_eq!(read, Err(Repeated(name.to_owned())));
        }
    }

    #[test]
    fn the_id_of_basic_credentials_is_read_in_every_spelling() {
        let read = |pair: &str| BasicCredentials::read(format!("Basic {}", STANDARD.encode(pair)).as_bytes());
        for (pair, client_id, has_password) in [
            ("i:", "i", false),
            ("i:s", "i", true),
            ("i::", "i:", false),
            ("a%3Ab%20c+d:", "a:b c d", false),
            ("https://client.example/doc:", "https://client.example/doc", false),
            ("100%:", "100%", false),
            (":", "", false),
        ] {
            assert_eq!(read(pair), Some(BasicCredentials { client_id: client_id.to_owned(), has_password }), "{pair}");
        }
        let own = basic("https://gw.example/:a", &Secret::new(String::new()));
        assert_eq!(BasicCredentials::read(own.expose().as_bytes()).unwrap().client_id, "https://gw.example/:a");
        for value in ["bAsIc aTo", "Basic aTo=", "Basic  aTo= "] {
            assert_eq!(BasicCredentials::read(value.as_bytes()).unwrap().client_id, "i", "{value}");
        }
        for value in ["", "Basic", "Basic ", "Basic aQ==", "Basic !", "Basic _w==", "Bearer aTo=", "Basic \u{e9}"] {
            assert_eq!(BasicCredentials::read(value.as_bytes()), None, "{value}");
        }
        // Six KiB are eight, encoded.
        assert!(read(&format!("i:{}", "s".repeat(6 * 1024 - 2))).is_some());
        assert_eq!(read(&format!("i:{}", "s".repeat(6 * 1024 - 1))), None);
    }

    fn decoded(client_id: &str, client_secret: &str) -> String {
        let value = basic(client_id, &Secret::new(client_secret.to_owned()));
        let encoded = value.expose().strip_prefix("Basic ").unwrap();
        String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
    }

    #[test]
    fn a_plain_id_and_secret_stand_as_they_are() {
        let value = basic("s6BhdRkqt3", &Secret::new("7Fjfp0ZBr1KtDRbnfVdmIw".to_owned()));
        assert_eq!(value.expose(), "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3");
    }

    #[test]
    fn each_part_is_form_urlencoded_first() {
        assert_eq!(decoded("a:b", "c:d%e+f g"), "a%3Ab:c%3Ad%25e%2Bf%20g");
        assert_eq!(decoded("käse", "π~-._"), "k%C3%A4se:%CF%80~-._");
        assert_eq!(decoded("https://gw.example/", ""), "https%3A%2F%2Fgw.example%2F:");
    }

    #[test]
    fn the_value_is_not_printed() {
        let value = basic("id", &Secret::new("hunter2".to_owned()));
        assert_eq!(format!("{value:?}"), "Secret(..)");
    }
}
