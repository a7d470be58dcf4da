//! The configuration, checked as a whole: every problem is named.

pub mod admin;
mod check;
mod duration;
mod environment;
mod fetch;
mod listen;
mod problem;
mod raw;
mod reader;
mod redis;
mod secrets;
mod service;
mod tree;

pub use check::check;
pub use fetch::{Domains, Fetch, Network};
pub(crate) use listen::is_uri;
pub use listen::{Caller, Listen, Right, Spaces, TcpListen, UnixListen};
pub use problem::Problem;
pub use redis::{DurabilityMode, Endpoint, Place, Redis, Tls, User};
pub use service::{Config, Limits};

#[cfg(test)]
#[path = "config/config_tests.rs"]
mod tests;
