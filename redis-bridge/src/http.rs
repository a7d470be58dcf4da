//! The callers' side: listeners, who may call, and the routing of requests to verbs.

mod activity;
mod authorization;
mod body;
pub(crate) mod listen;
pub(crate) mod observer;
pub(crate) mod routes;
pub(crate) mod server;
pub(crate) mod verbs;
