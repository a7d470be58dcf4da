//! The bridge between Portcullis and Redis: a fixed set of verbs over a Unix socket or TLS, each one atomic step in Redis.
//!
//! The filter runs inside Envoy and cannot speak to Redis; this service does, and does nothing else. It holds no secret
//! of the gateway's: the values that pass through it are sealed.

mod activity;
mod callers;
mod cluster;
pub mod config;
mod fault;
mod link;
mod listen;
mod master;
mod masters;
mod metrics;
mod names;
mod routes;
mod script;
mod seek;
mod sentinel;
mod server;
mod store;

pub use server::{StartError, check, run};
