//! The bridge between Portcullis and Redis: a fixed set of verbs over a Unix socket or TLS, each
//! one atomic step in Redis.
//!
//! The filter runs inside Envoy and cannot speak to Redis; this service does. The values that pass
//! through it are sealed. If configured, it also serves the filter secrets from files, and fetches
//! documents for it from addresses that strangers name.
//!
//! The operator's program, `portcullis`, uses this crate as a library: its configuration, the names
//! of records and the connection to the master.

pub mod config;
mod documents;
mod http;
mod metrics;
mod operations;
mod redis;
mod rlimit;
mod secrets;
mod self_test;
mod service;
mod start_error;
pub mod version;

pub use operations::names::{Names, Stored};
pub use redis::discovery::connect_to_master;
pub use redis::redis_error::RedisError;
pub use service::{check, run};
pub use start_error::StartError;
