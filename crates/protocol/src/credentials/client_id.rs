//! The text form of a `client_id` that carries its own registration (RFC 7591 §3.2.1).
//!
//! It is `pcci.1.<sealed registration>`, the last part in base64url. Every character of it stands
//! for itself in a URL, in a form and in the `Basic` scheme, which some clients do not encode for.

use crate::base64url;

/// A sealed registration in the form of a `client_id`. Only the gateway's key opens it; until then
/// it proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedClientId(Vec<u8>);

impl SealedClientId {
    /// Makes the id of these sealed bytes; `None` if it would be longer than
    /// [`MAX_CLIENT_ID_BYTES`].
    #[must_use]
    pub fn new(sealed: Vec<u8>) -> Option<Self> {
        (sealed.len() <= MAX_SEALED_BYTES).then_some(Self(sealed))
    }

    /// Parses the text that [`SealedClientId::text`] returns; `None` for any other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_CLIENT_ID_BYTES {
            return None;
        }
        base64url::decode(text.strip_prefix(PREFIX)?).ok().map(Self)
    }

    /// Returns the `client_id`.
    #[must_use]
    pub fn text(&self) -> String {
        [PREFIX, &base64url::encode(&self.0)].concat()
    }

    /// Returns the sealed bytes.
    #[must_use]
    pub fn into_sealed(self) -> Vec<u8> {
        self.0
    }
}

/// The maximum length of a `client_id`, in bytes. It is a parameter of the authorization request,
/// next to a redirect URI that it contains, and programs that open a browser take URLs of some
/// 2,000 characters; it is also in each access token.
pub const MAX_CLIENT_ID_BYTES: usize = 1024;

const PREFIX: &str = "pcci.1.";
/// What base64url makes [`MAX_CLIENT_ID_BYTES`] of, with the prefix.
const MAX_SEALED_BYTES: usize = (MAX_CLIENT_ID_BYTES - PREFIX.len()) / 4 * 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_text() {
        let id = SealedClientId::new(vec![0xfe; 5]).unwrap();
        assert_eq!(id.text(), "pcci.1._v7-_v4");
        assert_eq!(SealedClientId::parse(&id.text()).unwrap().into_sealed(), [0xfe; 5]);
        for other in [
            "",
            "pcci",
            "pcci.1",
            "pcci.1._v7-_v5",
            "pcci.1._v7-_v4=",
            "pcci.1._v7-_v4 ",
            "pcci.2._v7-_v4",
            "PCCI.1._v7-_v4",
            "_v7-_v4",
            "pcac.1._v7-_v4",
            "pcci.1._v7-_v4.x",
        ] {
            assert_eq!(SealedClientId::parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_longest_id_that_is_made_is_read_and_a_longer_one_is_not() {
        let longest = SealedClientId::new(vec![7; MAX_SEALED_BYTES]).unwrap();
        assert!((MAX_CLIENT_ID_BYTES - 4..=MAX_CLIENT_ID_BYTES).contains(&longest.text().len()));
        assert_eq!(SealedClientId::parse(&longest.text()), Some(longest));
        assert_eq!(SealedClientId::new(vec![7; MAX_SEALED_BYTES + 1]), None);
        let longer = format!("{PREFIX}{}", "A".repeat(MAX_CLIENT_ID_BYTES));
        assert_eq!(SealedClientId::parse(&longer), None);
    }
}
