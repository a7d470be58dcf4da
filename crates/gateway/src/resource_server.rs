//! Calls to protected resources: from the bearer token to what the backend is given.
//!
//! The fast path and the slow path share one rule, `decide`, over the same facts; they differ in
//! where the facts come from. The client's token never reaches the backend, and a missing upstream
//! token is a refusal, never an empty header.

mod connection_required;
mod decide;
mod foreign;
mod refusal;
mod stored;
mod verify;

pub mod backend_refusal;
pub mod fast_path;
pub mod session_check;
pub mod slow_path;
