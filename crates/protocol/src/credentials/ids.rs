//! Ids of 128 bits, one type for each thing that is named.
//!
//! Every id has one accepted text: 22 characters of base64url.

use std::fmt;

use crate::base64url;
use crate::crypto::digest::digest_parts;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; ID_BYTES]);

        impl $name {
            /// Parses the 22 characters that `Display` writes. Returns `None` for any other text.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                base64url::decode_exactly(text).ok().map(Self)
            }

            /// Returns the id's bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; ID_BYTES] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&base64url::encode(&self.0))
            }
        }
    };
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        id!($(#[$doc])* $name);

        impl $name {
            /// Makes an id of 16 fresh random bytes, or of the bytes of an id that was stored.
            #[must_use]
            pub const fn new(random: [u8; ID_BYTES]) -> Self {
                Self(random)
            }
        }
    };
}

random_id! {
    /// A session: one login of one user at one client, with every token issued from it (`sid`).
    SessionId
}

random_id! {
    /// One access token (`jti`, RFC 9068 §2.2).
    TokenId
}

id! {
    /// A user (`sub`), derived from what the provider calls the account, so that it is the same
    /// after every login, whatever was stored or lost in between.
    UserId
}

impl UserId {
    /// Derives the id of the account that `issuer` calls `subject`.
    ///
    /// The id is the first half of a SHA-256 digest. It depends on no key of the gateway, so
    /// replacing a secret renames no user; anyone who knows issuer and subject can compute it.
    #[must_use]
    pub fn derive(issuer: &str, subject: &str) -> Self {
        let digest = digest_parts(&[USER_ID_LABEL, issuer.as_bytes(), subject.as_bytes()]);
        let mut id = [0; ID_BYTES];
        id.iter_mut().zip(digest.as_bytes()).for_each(|(byte, derived)| *byte = *derived);
        Self(id)
    }

    /// Returns the id with these bytes, which a sealed record holds. Bytes from anywhere else name
    /// no user.
    #[must_use]
    pub const fn restore(bytes: [u8; ID_BYTES]) -> Self {
        Self(bytes)
    }
}

const ID_BYTES: usize = 16;
/// INVARIANT: never changed, or every user becomes another one at every backend.
const USER_ID_LABEL: &[u8] = b"portcullis user id 1";

#[cfg(test)]
#[expect(clippy::string_slice, reason = "the texts are ASCII")]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_text() {
        let id = SessionId::new([0xfe; 16]);
        assert_eq!(SessionId::parse(&id.to_string()), Some(id));
        let text = id.to_string();
        for wrong in [&text[..21], &format!("{text}A"), &format!("{}h", &text[..21]), "", "=====================g"] {
            assert_eq!(SessionId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_user_id_is_the_same_for_the_same_account_in_every_release() {
        let id = UserId::derive("https://idp.example", "1234567890");
        assert_eq!(id.to_string(), "yKpu8dZ6anXgDxWZ0kkRaA");
        assert_eq!(UserId::parse(&id.to_string()), Some(id));
    }

    #[test]
    fn accounts_that_differ_in_issuer_subject_or_the_boundary_between_them_have_different_ids() {
        let ids = [("https://a", "bc"), ("https://ab", "c"), ("https://a", "bd"), ("https://b", "bc"), ("", "")]
            .map(|(issuer, subject)| UserId::derive(issuer, subject));
        for (place, id) in ids.iter().enumerate() {
            assert!(!ids[place + 1..].contains(id), "{place}");
        }
    }
}
