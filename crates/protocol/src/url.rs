//! URIs as OAuth compares them, and the URLs that the gateway itself calls.

pub mod uri;
pub mod web_url;
