//! The identity providers, and their tokens behind a session.

mod client_authentication;
mod endpoint;
mod oidc;
mod outage;
mod refusal;
mod token_reply;

pub mod discovery;
pub mod identity;
pub mod issuer_keys;
pub mod life;
pub mod provider_error;
pub mod providers;
pub mod refresh;
pub mod tokens;
