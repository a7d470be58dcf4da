//! Client authentication at a token endpoint (RFC 6749 §2.3.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::params;
use crate::crypto::secret::Secret;

/// Returns the `Authorization` value of a client with a password. Both parts are form-urlencoded
/// before they are joined, so that a colon or a character outside ASCII survives.
#[must_use]
pub fn basic(client_id: &str, client_secret: &Secret<String>) -> Secret<String> {
    let (id, secret) = (params::escape(client_id), Zeroizing::new(params::escape(client_secret.expose())));
    let pair = Zeroizing::new([&id, ":", secret.as_str()].concat());
    Secret::new(["Basic ", STANDARD.encode(pair.as_str()).as_str()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

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
