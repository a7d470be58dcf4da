//! What a token must be to be accepted.

/// What a token must say to be accepted here.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The issuer, compared byte by byte (RFC 7519 §4.1.1).
    pub issuer: &'a str,
    /// The audience that must be among the token's: our resource, or for an ID token our client id.
    pub audience: &'a str,
    /// The kind of token.
    pub typ: Typ,
    /// How far `iat` and `nbf` may lie in the future, in seconds: the issuer's clock may be ahead
    /// of ours.
    pub start_leeway: u64,
    /// How long after `exp` the token is still accepted, in seconds.
    pub expiry_leeway: u64,
}

/// Kinds of token, told apart by the header's `typ` so that none passes for another (RFC 8725
/// §3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typ {
    /// `at+jwt` or `application/at+jwt`, without regard to case (RFC 9068 §4).
    AccessToken,
    /// `JWT`, or absent.
    IdToken,
}
