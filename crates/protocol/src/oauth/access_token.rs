//! Access tokens as JWTs (RFC 9068).

use crate::jose::jws::Header;
use crate::jose::keys::SigningKey;

/// Returns the header of every access token that a key signs (RFC 9068 §2.1).
#[must_use]
pub fn header(key: &SigningKey) -> Header<'_> {
    Header { alg: key.alg(), kid: key.kid(), typ: "at+jwt" }
}
