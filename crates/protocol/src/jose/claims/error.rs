//! Why a token is refused.

use crate::json::JsonError;

/// Why a signature proved nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureError {
    /// No key of the set is the one to check with; nothing was computed.
    UnknownKey,
    /// The signature is not the key's.
    BadSignature,
    /// The signature is good, and what it signs is not a strict JSON object.
    NotClaims(JsonError),
}

impl SignatureError {
    /// The cause in a few words that may be shown to the client.
    #[must_use]
    pub const fn public_reason(self) -> &'static str {
        match self {
            Self::UnknownKey => "the token was signed with an unknown key",
            Self::BadSignature => "the token signature is invalid",
            Self::NotClaims(_) => "the token claims are malformed",
        }
    }
}

/// Why signed claims are not acceptable here and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimError {
    /// `exp` has passed.
    Expired,
    /// `nbf` or `iat` lies in the future.
    NotYetValid,
    /// `iss` is another issuer.
    WrongIssuer,
    /// Our audience is not in `aud`.
    WrongAudience,
    /// `typ` is another kind of token.
    WrongType,
    /// `nonce` is not the one that was sent.
    WrongNonce,
    /// `azp` is another client.
    WrongAuthorizedParty,
    /// A required claim is absent.
    Missing(&'static str),
    /// A claim has the wrong JSON type, or a value out of its range.
    Malformed(&'static str),
}

impl ClaimError {
    /// The cause in a few words that may be shown to the client.
    #[must_use]
    pub const fn public_reason(self) -> &'static str {
        match self {
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::WrongIssuer => "the token issuer is not accepted",
            Self::WrongAudience => "the token is not for this resource",
            Self::WrongType => "the token is of another type",
            Self::WrongNonce => "the token nonce does not match",
            Self::WrongAuthorizedParty => "the token was issued to another client",
            Self::Missing(_) => "the token lacks a required claim",
            Self::Malformed(_) => "a token claim is malformed",
        }
    }
}
