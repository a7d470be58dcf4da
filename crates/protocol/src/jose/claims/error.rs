//! Why a token is refused.

use std::fmt;

use crate::json::JsonError;

/// Why a signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureError {
    /// No key of the set may verify the token; nothing was computed.
    UnknownKey,
    /// The signature is invalid.
    BadSignature,
    /// The signature is valid, but the payload is not a strict JSON object.
    NotClaims(JsonError),
}

impl SignatureError {
    /// Returns a short reason that may be shown to the client.
    #[must_use]
    pub const fn public_reason(self) -> &'static str {
        match self {
            Self::UnknownKey => "the token was signed with an unknown key",
            Self::BadSignature => "the token signature is invalid",
            Self::NotClaims(_) => "the token claims are malformed",
        }
    }
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.public_reason())
    }
}

impl std::error::Error for SignatureError {}

/// Why signed claims are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimError {
    /// `exp` has passed.
    Expired,
    /// `nbf` or `iat` lies in the future.
    NotYetValid,
    /// `iss` is not the expected issuer.
    WrongIssuer,
    /// The expected audience is not in `aud`.
    WrongAudience,
    /// `typ` is another type of token.
    WrongType,
    /// The required claim of this name is absent.
    Missing(&'static str),
    /// The claim of this name has the wrong JSON type, or a value out of range.
    Malformed(&'static str),
}

impl ClaimError {
    /// Returns a short reason that may be shown to the client.
    #[must_use]
    pub const fn public_reason(self) -> &'static str {
        match self {
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::WrongIssuer => "the token issuer is not accepted",
            Self::WrongAudience => "the token is not for this resource",
            Self::WrongType => "the token is of another type",
            Self::Missing(_) => "the token lacks a required claim",
            Self::Malformed(_) => "a token claim is malformed",
        }
    }
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.public_reason())
    }
}

impl std::error::Error for ClaimError {}
