//! OAuth 2.1 and the specifications around it, one file a rule.

pub mod access_token;
pub mod authorize;
pub mod challenge;
pub mod client_authentication;
pub mod client_document;
pub mod client_id_url;
mod client_name;
pub mod error;
pub mod form;
pub mod identity_token;
pub mod metadata;
pub mod params;
pub mod pkce;
pub mod redirect;
pub mod register;
pub mod resource;
pub mod revoke;
pub mod scope;
pub mod token;
