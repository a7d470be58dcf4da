//! Signature keys: our own from PEM, public ones from JWK (RFC 7517, RFC 7518 §6, RFC 8037 §2).

mod public;
mod set;
mod signing;

pub use public::{Family, JwkError, PublicKey};
pub use set::{JwkSet, JwkSetError};
pub use signing::{KeyError, SigningKey};

#[cfg(test)]
mod tests;
