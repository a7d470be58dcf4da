//! The bridge between Portcullis and Redis: a fixed set of verbs over a Unix socket or TLS, each
//! one atomic step in Redis.
//!
//! The filter runs inside Envoy and cannot speak to Redis; this service does. The values that pass
//! through it are sealed. Where the operator has it so, it also serves the filter secrets from
//! files, and fetches documents for it from addresses that strangers name.
//!
//! The operator's program, `portcullis`, uses this crate as a library: its configuration, the names
//! of records and the connection to the master.

mod activity;
mod callers;
mod cluster;
pub mod config;
mod connection;
mod descriptors;
mod fault;
mod fetch;
mod followers;
mod link;
mod listen;
mod master;
mod masters;
mod metrics;
mod names;
mod pool;
mod questions;
mod routes;
mod script;
mod secrets;
mod seek;
mod sentinel;
mod server;
mod store;
mod trial;

pub use fault::Fault;
pub use names::{Names, Stored};
pub use seek::connect_to_master;
pub use server::{StartError, check, run};
