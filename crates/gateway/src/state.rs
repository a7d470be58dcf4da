//! What one VM remembers between requests.

pub mod client_documents;
pub mod documents;
pub mod gateway;
pub(crate) mod holds;
pub mod provider_state;
mod recently_ended;
pub mod secrets_poll;
pub mod token_cache;
