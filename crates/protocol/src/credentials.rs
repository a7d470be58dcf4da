//! Credentials that the gateway issues and parses: authorization codes and refresh tokens, with the
//! ids of sessions, clients, users and access tokens.

mod client_id;
mod code;
mod ids;
mod refresh_token;
mod text_form;

pub use client_id::{MAX_CLIENT_ID_BYTES, SealedClientId};
pub use code::AuthorizationCode;
pub use ids::{SessionId, TokenId, UserId};
pub use refresh_token::RefreshToken;
pub use text_form::CredentialError;

#[cfg(test)]
mod tests;
