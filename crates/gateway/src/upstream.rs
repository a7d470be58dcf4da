//! The identity provider, and its tokens behind a session.

pub mod oidc;
pub mod refresh;
