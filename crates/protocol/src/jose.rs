//! JSON Object Signing: algorithms, keys, compact signatures and the claims rules (RFC 7515, 7517,
//! 7518, 7519, 8037).

pub mod alg;
pub mod claims;
mod der;
pub mod ecdsa_der;
pub mod jws;
pub mod keys;
