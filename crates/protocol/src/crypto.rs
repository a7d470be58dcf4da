//! The gateway's own symmetric keys and the values that they protect.

mod derive;
mod envelope;

pub mod digest;
pub mod key_ring;
pub mod secret;
