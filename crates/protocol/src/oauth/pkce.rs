//! Proof key for code exchange, S256 only (RFC 7636, OAuth 2.1 §4.1.1).

use crate::base64url;
use crate::crypto::digest;
use crate::crypto::secret::Secret;
use crate::url::percent_encoding::is_unreserved;
use std::fmt;
use subtle::ConstantTimeEq;

/// The S256 challenge of a verifier. Not a secret. `Display` writes the 43 characters that
/// [`CodeChallenge::parse`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeChallenge([u8; 32]);

/// A code verifier: 43 to 128 unreserved characters (RFC 7636 §4.1). Wiped on drop.
#[derive(Debug, Clone)]
pub struct CodeVerifier(Secret<String>);

/// Why PKCE parameters are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PkceError {
    /// `code_challenge` is absent: every client must send one (OAuth 2.1 §4.1.1).
    MissingChallenge,
    /// Not 43 characters of canonical base64url.
    MalformedChallenge,
    /// `code_challenge_method` is absent, which means `plain`, or not `S256`.
    MethodNotS256,
    /// Not 43 to 128 unreserved characters.
    MalformedVerifier,
}

/// The supported challenge methods, as published in the metadata.
pub const METHODS: [&str; 1] = ["S256"];

impl CodeChallenge {
    /// Parses `code_challenge` and `code_challenge_method` of an authorization request.
    ///
    /// # Errors
    /// Returns a [`PkceError`] that says which of the two is wrong. An absent method is an error,
    /// since it means `plain` (RFC 7636 §4.3).
    pub fn from_parameters(challenge: Option<&str>, method: Option<&str>) -> Result<Self, PkceError> {
        let challenge = challenge.ok_or(PkceError::MissingChallenge)?;
        match method {
            Some(method) if METHODS.contains(&method) => Self::parse(challenge),
            Some(_) | None => Err(PkceError::MethodNotS256),
        }
    }

    /// Parses the 43 characters of an S256 challenge.
    ///
    /// # Errors
    /// Returns [`PkceError::MalformedChallenge`] for any other text.
    pub fn parse(challenge: &str) -> Result<Self, PkceError> {
        // The length is checked first so that no long input is decoded.
        if challenge.len() != CHALLENGE_CHARACTERS {
            return Err(PkceError::MalformedChallenge);
        }
        base64url::decode_exactly(challenge).map(Self).map_err(|_| PkceError::MalformedChallenge)
    }

    /// Returns `true` if the challenge was made from this verifier (RFC 7636 §4.6), in constant
    /// time.
    #[must_use]
    pub fn matches(&self, verifier: &CodeVerifier) -> bool {
        self.0.ct_eq(&verifier.challenge().0).into()
    }
}

impl fmt::Display for CodeChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url::encode(&self.0))
    }
}

impl CodeVerifier {
    /// Parses the `code_verifier` of a token request.
    ///
    /// # Errors
    /// Returns [`PkceError::MalformedVerifier`] for any other text.
    pub fn parse(verifier: &str) -> Result<Self, PkceError> {
        if !VERIFIER_CHARACTERS.contains(&verifier.len()) || !verifier.bytes().all(is_unreserved) {
            return Err(PkceError::MalformedVerifier);
        }
        Ok(Self(Secret::new(verifier.to_owned())))
    }

    /// Makes a verifier for a login at a provider from 32 random bytes (RFC 7636 §4.1).
    #[must_use]
    pub fn from_random(random: [u8; 32]) -> Self {
        Self(Secret::new(base64url::encode(&random)))
    }

    /// Returns the S256 challenge of this verifier.
    #[must_use]
    pub fn challenge(&self) -> CodeChallenge {
        CodeChallenge(digest::sha256(self.expose().as_bytes()))
    }

    /// Returns the verifier, for the token request to a provider or a sealed record.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Display for PkceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingChallenge => "code_challenge is required",
            Self::MalformedChallenge => "code_challenge must be 43 base64url characters",
            Self::MethodNotS256 => "code_challenge_method must be S256",
            Self::MalformedVerifier => "code_verifier is malformed",
        })
    }
}

impl std::error::Error for PkceError {}

const CHALLENGE_CHARACTERS: usize = 43;
const VERIFIER_CHARACTERS: std::ops::RangeInclusive<usize> = 43..=128;

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_vector_of_rfc_7636_matches() {
        let verifier = CodeVerifier::parse(VERIFIER).unwrap();
        let challenge = CodeChallenge::from_parameters(Some(CHALLENGE), Some("S256")).unwrap();
        assert_eq!(verifier.challenge().to_string(), CHALLENGE);
        assert!(challenge.matches(&verifier));
    }

    #[test]
    fn another_verifier_or_the_challenge_itself_does_not_match() {
        let challenge = CodeChallenge::parse(CHALLENGE).unwrap();
        let other = VERIFIER.replace('d', "e");
        for verifier in [other.as_str(), CHALLENGE, &format!("{VERIFIER}A")] {
            assert!(!challenge.matches(&CodeVerifier::parse(verifier).unwrap()), "{verifier}");
        }
    }

    #[test]
    fn anything_but_s256_is_refused() {
        for method in [None, Some("plain"), Some("s256"), Some("S512"), Some(""), Some("S256 ")] {
            assert_eq!(CodeChallenge::from_parameters(Some(CHALLENGE), method), Err(PkceError::MethodNotS256));
        }
        assert_eq!(CodeChallenge::from_parameters(None, Some("S256")), Err(PkceError::MissingChallenge));
    }

    #[test]
    fn a_challenge_is_43_canonical_characters() {
        let long = format!("{CHALLENGE}A");
        let padded = format!("{CHALLENGE}=");
        // `N` ends in bits that 32 bytes do not have.
        let trailing = CHALLENGE.replace("-cM", "-cN");
        let standard = CHALLENGE.replace('-', "+");
        for text in ["", "E9Melhoa", &long, &padded, &trailing, &standard] {
            assert_eq!(CodeChallenge::parse(text), Err(PkceError::MalformedChallenge), "{text}");
        }
    }

    #[test]
    fn a_verifier_is_43_to_128_unreserved_characters() {
        for text in ["a".repeat(43), "~".repeat(128), "-._~".repeat(11)] {
            assert!(CodeVerifier::parse(&text).is_ok(), "{text}");
        }
        for text in ["a".repeat(42), "a".repeat(129), String::new(), "é".repeat(30), format!("{} ", "a".repeat(43))] {
            assert_eq!(CodeVerifier::parse(&text).unwrap_err(), PkceError::MalformedVerifier, "{text}");
        }
        assert!(CodeVerifier::parse(&format!("{}+/=", "a".repeat(43))).is_err());
    }

    #[test]
    fn a_made_verifier_is_one_that_the_rules_accept_and_hides_in_debug() {
        let verifier = CodeVerifier::from_random([7; 32]);
        assert_eq!(verifier.expose().len(), 43);
        assert!(verifier.challenge().matches(&CodeVerifier::parse(verifier.expose()).unwrap()));
        assert!(!format!("{verifier:?}").contains(verifier.expose()));
    }
}
