//! SHA-256 digests, the only form in which a token may name a record or appear in a log.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The SHA-256 digest of a token or of a list of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Returns the digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha256(bytes))
    }

    /// Returns the digest as 64 lowercase hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.to_string()
    }

    /// Returns the digest as bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Returns the SHA-256 digest (FIPS 180-4) of these bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Returns the digest of a list of parts.
///
/// Each part is preceded by its length (eight bytes, big-endian), so different lists never have the
/// same input: `["ab", "c"]`, `["a", "bc"]` and `["abc"]` differ.
#[must_use]
pub fn digest_parts(parts: &[&[u8]]) -> TokenDigest {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(length_prefix(part));
        hash.update(part);
    }
    TokenDigest(hash.finalize().into())
}

/// Returns the length of a part as it is hashed before the part.
const fn length_prefix(part: &[u8]) -> [u8; 8] {
    // `usize` has at most 64 bits on every target, so the widening loses nothing.
    (part.len() as u64).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha_256_in_lowercase_hex() {
        let digest = TokenDigest::of(b"abc");
        assert_eq!(digest.to_hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.to_hex(), digest.to_string());
    }

    #[test]
    fn moving_a_boundary_changes_the_digest_of_parts() {
        let splits: [&[&[u8]]; 6] =
            [&[b"ab", b"c"], &[b"a", b"bc"], &[b"abc"], &[b"abc", b""], &[b"", b"abc"], &[b"c", b"ab"]];
        for (i, one) in splits.iter().enumerate() {
            for other in &splits[i + 1..] {
                assert_ne!(digest_parts(one), digest_parts(other), "{one:?} and {other:?}");
            }
        }
        assert_eq!(digest_parts(&[b"ab", b"c"]), digest_parts(&[b"ab", b"c"]));
    }

    #[test]
    fn no_parts_and_one_empty_part_differ() {
        assert_ne!(digest_parts(&[]), digest_parts(&[b""]));
    }
}
