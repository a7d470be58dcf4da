//! Clients: who they are, and how they prove it.
//!
//! A kind of client is a variant of [`resolve::ResolvedClient`], and of the proof that
//! [`authenticate::AuthenticatedClient`] is; the endpoints know neither.

pub mod authenticate;
pub mod registered;
pub mod resolve;
pub mod sealed_id;
