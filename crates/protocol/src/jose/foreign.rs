//! Signed tokens of other issuers, read as the RFCs read them (RFC 7515 §4 and §5.2, RFC 7519 §4):
//! what is not needed is ignored, and what would be unsafe to ignore is refused, each cause with an
//! error of its own.
//!
//! A key that the token brings or points to (`jwk`, `jku`, `x5c`, `x5u`) is ignored and never used:
//! the key comes from the issuer's key set. Only `crit` forbids to ignore anything.

mod access_token;
pub(super) mod claims;
mod error;
pub(super) mod jws;

pub use access_token::{
    ClaimedToken, ExpectedForeignToken, ForeignAccessToken, MAX_TOKEN_BYTES, SignedForeignToken, VerifiedForeignToken,
};
pub use error::ForeignTokenError;
