//! The symmetric keys of the gateway and the values that they protect.

mod derive;
mod envelope;

pub mod digest;
pub mod key_ring;
pub mod secret;
