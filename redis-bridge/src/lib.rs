//! The bridge between Portcullis and Redis: a fixed set of verbs over a Unix socket or TLS, each
//! one atomic step in Redis.
//!
//! The filter runs inside Envoy and cannot speak to Redis; this service does. The values that pass
//! through it are sealed. Where the operator has it so, it also serves the filter secrets from
//! files, and fetches documents for it from addresses that strangers name.
//!
//! Only [`admin`], the operator's commands in the same binary, knows what is in a record.

pub mod admin;
mod cluster;
pub mod config;
mod connection;
mod descriptors;
mod fault;
mod fetch;
mod followers;
mod http;
mod link;
mod master;
mod masters;
mod metrics;
mod names;
mod pool;
mod questions;
mod script;
mod secrets;
mod seek;
mod sentinel;
mod store;
mod trial;

pub use http::server::{StartError, check, run};
