//! The bridge between Portcullis and Redis: a fixed set of verbs over a Unix socket or TLS, each
//! one atomic step in Redis.
//!
//! The filter runs inside Envoy and cannot speak to Redis; this service does. The values that pass
//! through it are sealed. Where the operator has it so, it also serves the filter secrets from
//! files, and fetches documents for it from addresses that strangers name.
//!
//! Only [`admin`], the operator's commands in the same binary, knows what is in a record.

pub mod admin;
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

pub use service::{check, run};
pub use start_error::StartError;
