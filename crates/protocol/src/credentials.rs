//! What the gateway hands out and reads back: authorization codes, refresh tokens, and the ids that
//! name sessions, clients, users and tokens.

mod code;
mod ids;
mod refresh_token;
mod text_form;

pub use code::AuthorizationCode;
pub use ids::{ClientId, SessionId, TokenId, UserId};
pub use refresh_token::RefreshToken;
pub use text_form::CredentialError;

#[cfg(test)]
mod tests;
