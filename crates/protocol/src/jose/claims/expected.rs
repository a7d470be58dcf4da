//! The requirements for a token.

/// The requirements for a token, which the claims must meet.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The issuer, compared byte by byte (RFC 7519 §4.1.1).
    pub issuer: &'a str,
    /// The required audience: our resource. The token may have others.
    pub audience: &'a str,
    /// How far `iat` and `nbf` may lie in the future, in seconds: the clock of the issuer may be
    /// ahead.
    pub start_leeway: u64,
    /// How long after `exp` the token is still accepted, in seconds.
    pub expiry_leeway: u64,
}
