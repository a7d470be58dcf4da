//! JSON Object Signing: algorithms, keys, compact signatures and the claims rules (RFC 7515, 7517,
//! 7518, 7519, 8037), in two profiles: the gateway's own access tokens ([`jws`], [`claims`]), which
//! have one spelling, and the tokens of other issuers ([`foreign`], [`id_token`]) with their key
//! sets ([`keys`]), which are read as the RFCs read them.

pub mod alg;
pub mod claims;
mod der;
pub mod ecdsa_der;
pub mod foreign;
pub mod id_token;
pub mod jws;
pub mod keys;
