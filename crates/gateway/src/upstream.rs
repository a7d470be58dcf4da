//! The identity providers, and their tokens behind a session.

mod authorization_request;
mod client_assertion;
mod client_authentication;
mod endpoint;
mod exchange;
mod oauth2;
mod oidc;
mod outage;
mod profile;
mod refusal;
mod token_endpoint;
mod token_reply;
mod user_info;

pub mod connections;
pub mod discovery;
pub mod identity;
pub mod issuer_keys;
pub mod life;
pub mod provider_error;
pub mod providers;
pub mod refresh;
pub mod renew;
pub mod tokens;
