//! The HTTP endpoints of the authorization server, one file each, and what their answers share.

pub mod authorize;
pub mod browser_error;
pub mod callback;
pub mod client_address;
mod client_refused;
pub mod connections;
pub mod consent;
mod form;
pub mod metadata;
pub mod pages;
mod provider_return;
pub mod register;
pub mod revoke;
pub mod start_login;
pub mod token;
