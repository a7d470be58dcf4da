//! Why a token of another issuer is refused: an ID token, or an access token.

use std::fmt;

use crate::json::JsonError;

/// Why a token of another issuer is refused, one variant a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignTokenError {
    /// It is longer than tokens of its kind may be.
    TooLong,
    /// It does not have the three parts of a compact JWS.
    NotCompact,
    /// It has the five parts of an encrypted token (RFC 7516).
    Encrypted,
    /// A part is not canonical base64url.
    NotBase64url,
    /// The header is not a JSON object, or repeats a member that is needed.
    Header(JsonError),
    /// The header has `crit`: an extension that must not be ignored (RFC 7515 §4.1.11).
    Critical,
    /// `typ` is another type of token (RFC 8725 §3.11).
    WrongType,
    /// `alg` is `none`.
    Unsigned,
    /// `alg` is an HMAC, whose key would be a shared secret.
    SharedSecret,
    /// `alg` is another one that is not verified here.
    UnsupportedAlg,
    /// `alg` is a sound one of this name that the host does not verify (RFC 7518 §3.1).
    UnverifiedAlg(&'static str),
    /// `alg` is not one that the issuer is trusted to use.
    AlgNotAllowed,
    /// No key of the issuer's key set may verify it.
    UnknownKey,
    /// The signature is invalid.
    BadSignature,
    /// The claims are not a JSON object, or repeat one that is needed.
    Claims(JsonError),
    /// `iss` is another issuer.
    WrongIssuer,
    /// None of the expected audiences is in `aud`.
    WrongAudience,
    /// `azp` is another client.
    WrongParty,
    /// `exp` has passed.
    Expired,
    /// `iat` lies in the future.
    IssuedLater,
    /// `nbf` lies in the future.
    NotYetValid,
    /// `nonce` is not that of the request.
    WrongNonce,
    /// The user is another one than at the login.
    WrongSubject,
    /// The required member of this name is absent.
    Missing(&'static str),
    /// The member of this name has the wrong type, or a value out of range.
    Malformed(&'static str),
}

impl ForeignTokenError {
    /// Returns the cause as a client may be told it that sent an access token.
    #[must_use]
    pub const fn public_reason(self) -> &'static str {
        match self {
            Self::TooLong => "the token is too long",
            Self::NotCompact | Self::NotBase64url => "the token is not a compact JWS",
            Self::Encrypted => "the token is encrypted",
            Self::Header(_) => "the token header is malformed",
            Self::Critical => "the token header has a member that is not allowed",
            Self::WrongType => "the token is of another type",
            Self::Unsigned
            | Self::SharedSecret
            | Self::UnsupportedAlg
            | Self::UnverifiedAlg(_)
            | Self::AlgNotAllowed => "the token algorithm is not supported",
            Self::UnknownKey => "the token was signed with an unknown key",
            Self::BadSignature => "the token signature is invalid",
            Self::Claims(_) => "the token claims are malformed",
            Self::WrongIssuer => "the token issuer is not accepted",
            Self::WrongAudience => "the token is not for this resource",
            Self::WrongParty => "the token is for another client",
            Self::Expired => "the token has expired",
            Self::IssuedLater | Self::NotYetValid => "the token is not valid yet",
            Self::WrongSubject => "the token is about another user",
            Self::WrongNonce => "the token is of another login",
            Self::Missing(_) => "the token lacks a required claim",
            Self::Malformed(_) => "a token claim is malformed",
        }
    }

    /// Returns the cause of a refused ID token as an operator reads it, with what to do where that
    /// is known.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "the ID token is longer than 256 KiB",
            Self::NotCompact => "the ID token is not a compact JWS",
            Self::Encrypted => "the ID token is encrypted; turn encryption off for this client at the provider",
            Self::NotBase64url => "a part of the ID token is not base64url",
            Self::Header(JsonError::DuplicateMember) => "the ID token's header repeats a member that is needed",
            Self::Header(_) => "the ID token's header is not a JSON object",
            Self::Critical => "the ID token's header has a `crit` extension, which must not be ignored",
            Self::WrongType => "the ID token's `typ` is that of another kind of token",
            Self::Unsigned => "the ID token is not signed: its `alg` is `none`",
            Self::SharedSecret => {
                "the ID token is signed with the client secret (HS256 or the like); choose RS256 or ES256 for this client \
                 at the provider"
            }
            Self::UnsupportedAlg => {
                "the ID token's `alg` is none of RS256, RS384, RS512, ES256, ES384 and EdDSA; choose one of them for this \
                 client at the provider"
            }
            Self::UnverifiedAlg(name) => unverified(name),
            Self::AlgNotAllowed => "the ID token's `alg` is not one that the provider is trusted to use",
            Self::UnknownKey => "the ID token was signed with a key that is not in the provider's key set",
            Self::BadSignature => "the ID token's signature does not verify",
            Self::Claims(JsonError::DuplicateMember) => "the ID token repeats a claim that is needed",
            Self::Claims(_) => "the ID token's claims are not a JSON object",
            Self::WrongIssuer => "the ID token's `iss` is another issuer than `issuerUrl`",
            Self::WrongAudience => "the ID token's `aud` does not have the client id",
            Self::WrongParty => "the ID token's `azp` is another client",
            Self::Expired => "the ID token has expired; compare the clocks",
            Self::IssuedLater => "the ID token's `iat` lies in the future; compare the clocks",
            Self::NotYetValid => "the ID token's `nbf` lies in the future; compare the clocks",
            Self::WrongNonce => "the ID token's `nonce` is not that of the login",
            Self::WrongSubject => "the ID token of a refresh names another user than that of the login, or none",
            Self::Missing(name) => missing(name),
            Self::Malformed(name) => malformed(name),
        }
    }
}

/// The words for an algorithm that the host does not verify.
fn unverified(name: &str) -> &'static str {
    macro_rules! words {
        ($($name:literal)*) => {
            match name {
                $($name => concat!(
                    "the ID token's `alg` is ", $name, ", which Envoy does not verify; choose RS256 or ES256 for this \
                     client at the provider"
                ),)*
                _ => "the ID token's `alg` is one that Envoy does not verify",
            }
        };
    }
    words!("PS256" "PS384" "PS512" "ES512")
}

fn missing(name: &str) -> &'static str {
    match name {
        "alg" => "the ID token's header has no `alg`",
        "iss" => "the ID token has no `iss`",
        "aud" => "the ID token has no `aud`",
        "exp" => "the ID token has no `exp`",
        "iat" => "the ID token has no `iat`",
        "nonce" => "the ID token has no `nonce`",
        "sub" => "the ID token has no `sub`",
        "azp" => "the ID token has several audiences and no `azp`",
        _ => "the ID token lacks a claim that is needed",
    }
}

fn malformed(name: &str) -> &'static str {
    match name {
        "alg" => "the ID token's `alg` is not a string",
        "kid" => "the ID token's `kid` is not a string of at most 256 bytes",
        "iss" => "the ID token's `iss` is not a string",
        "sub" => "the ID token's `sub` is not a string of 1 to 255 bytes",
        "aud" => "the ID token's `aud` is neither a string nor an array of strings",
        "exp" => "the ID token's `exp` is not a time in seconds",
        "iat" => "the ID token's `iat` is not a time in seconds",
        "nbf" => "the ID token's `nbf` is not a time in seconds",
        "nonce" => "the ID token's `nonce` is not a string",
        "azp" => "the ID token's `azp` is not a string",
        _ => "a claim of the ID token has the wrong type",
    }
}

impl fmt::Display for ForeignTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for ForeignTokenError {}
