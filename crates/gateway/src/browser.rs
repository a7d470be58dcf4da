//! The state that a browser carries for the gateway: its cookies, and in them the logins under way.

pub mod cookies;
pub mod pending_login;
pub mod pending_visit;
