//! The supported signature algorithms (RFC 7518 §3.1, RFC 8037 §3.1).
//!
//! There is no `none` and no HMAC, so a token cannot select either: a public key can never be used
//! as a shared secret.

use std::fmt;

/// A signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alg {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// RSA PKCS#1 v1.5 with SHA-384; verified, never used to sign.
    Rs384,
    /// RSA PKCS#1 v1.5 with SHA-512; verified, never used to sign.
    Rs512,
    /// Ed25519.
    EdDsa,
}

impl Alg {
    /// Every algorithm.
    pub const ALL: [Self; 6] = [Self::Es256, Self::Es384, Self::Rs256, Self::Rs384, Self::Rs512, Self::EdDsa];

    /// Returns the algorithm of a JOSE name, which is case-sensitive (RFC 7515 §4.1.1); `None` for
    /// any other name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.name() == name)
    }

    /// As [`Alg::from_name`], and also by the name that a provider may use for the same: `Ed25519`
    /// (RFC 9864 §2.2).
    #[must_use]
    pub fn from_foreign_name(name: &str) -> Option<Self> {
        if name == "Ed25519" { Some(Self::EdDsa) } else { Self::from_name(name) }
    }

    /// Returns the JOSE name, the value of `alg` in a header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for Alg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Algorithms of other issuers that are sound and not verified: Envoy's `verify_signature` has no
/// RSASSA-PSS, and P-521 is not read.
pub const UNVERIFIED_ALGS: [&str; 4] = ["PS256", "PS384", "PS512", "ES512"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_found_by_its_own_name() {
        for alg in Alg::ALL {
            assert_eq!(Alg::from_name(alg.name()), Some(alg));
        }
    }

    #[test]
    fn a_provider_may_name_the_curve_of_eddsa() {
        assert_eq!(Alg::from_foreign_name("Ed25519"), Some(Alg::EdDsa));
        for alg in Alg::ALL {
            assert_eq!(Alg::from_foreign_name(alg.name()), Some(alg));
        }
        for name in ["none", "HS256", "PS256", "Ed448", "ed25519"] {
            assert_eq!(Alg::from_foreign_name(name), None, "{name}");
        }
    }

    #[test]
    fn names_of_unsafe_or_unknown_algorithms_are_not_found() {
        for name in [
            "none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "es256", "ES256 ", "ES256K", "ES512",
            "PS256", "Ed25519", "RS1",
        ] {
            assert_eq!(Alg::from_name(name), None, "{name}");
        }
    }
}
