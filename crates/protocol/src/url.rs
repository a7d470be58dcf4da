//! URIs as OAuth compares them, and the URLs that the gateway calls.

pub mod domain_pattern;
pub(crate) mod percent_encoding;
pub mod uri;
pub mod web_url;
