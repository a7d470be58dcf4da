//! The requirements for a token.

/// The requirements for a token, which the claims must meet.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The issuer, compared byte by byte (RFC 7519 §4.1.1).
    pub issuer: &'a str,
    /// The required audience: our resource, or for an ID token our client id. The token may have
    /// others.
    pub audience: &'a str,
    /// The type of token.
    pub typ: Typ,
    /// How far `iat` and `nbf` may lie in the future, in seconds: the clock of the issuer may be
    /// ahead.
    pub start_leeway: u64,
    /// How long after `exp` the token is still accepted, in seconds.
    pub expiry_leeway: u64,
}

/// Types of token, distinguished by `typ` in the header so that none passes for another (RFC 8725
/// §3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typ {
    /// `at+jwt` or `application/at+jwt`, compared without case (RFC 9068 §4).
    AccessToken,
    /// `JWT`, or absent.
    IdToken,
}
