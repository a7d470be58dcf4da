//! The callers' side: listeners, who may call, and the routing of requests to verbs.

mod activity;
mod authorization;
mod listen;
mod routes;
pub(crate) mod server;
