//! Statements about a caller that a gateway signs for the backends behind it, as JWTs.

use crate::jose::jws::Header;
use crate::jose::keys::SigningKey;

/// Returns the header of every such statement that a key signs.
///
/// Its type is of no other kind of token (RFC 8725 §3.11): neither this gateway nor another that
/// trusts it takes one for an access token, and a backend that checks the type takes no access
/// token for one.
#[must_use]
pub fn header(key: &SigningKey) -> Header<'_> {
    Header { alg: key.alg(), kid: key.kid(), typ: "portcullis-identity+jwt" }
}
