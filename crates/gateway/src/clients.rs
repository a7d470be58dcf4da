//! Clients: who they are, and how they prove it.
//!
//! A kind of client is a variant of [`resolve::ResolvedClient`]; the endpoints do not know it.

pub mod registered;
pub mod resolve;
