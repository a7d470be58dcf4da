//! What one VM remembers between requests.

pub mod client_documents;
pub mod document_state;
pub mod documents;
pub mod gateway;
pub(crate) mod holds;
pub(crate) mod issuer_keys;
mod recently_ended;
pub mod secrets_poll;
pub mod token_cache;
