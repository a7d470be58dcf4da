//! URIs as OAuth compares them, and the URLs that the gateway itself calls.

pub(crate) mod percent_encoding;
pub mod uri;
pub mod web_url;
