//! The identity provider, and its tokens behind a session.

mod client_authentication;
mod endpoint;
mod refusal;

pub mod discovery;
pub mod oidc;
pub mod provider_error;
pub mod refresh;
pub mod tokens;
