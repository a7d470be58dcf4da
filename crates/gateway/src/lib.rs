//! What Portcullis does with a request: linear async handlers over small ports, the same code
//! natively and in Envoy.
//!
//! Reading order: [`dispatch`] (which handler answers what), then the handlers of a login in
//! [`endpoints`], then [`resource_server`] (a call with a token) and [`upstream`] (the provider's
//! tokens behind it). [`ports`] is everything they need from outside, [`store`] where their records
//! are, [`state`] what a VM remembers between requests.

pub mod audit;
pub mod browser;
pub mod clients;
pub mod config;
pub mod context;
pub mod decision;
pub mod dispatch;
pub mod endpoints;
pub mod error;
pub mod ports;
pub mod resource_server;
pub mod responses;
pub mod routing;
pub mod runtime;
pub mod sessions;
pub mod state;
pub mod store;
pub mod upstream;

#[cfg(test)]
mod golden_records_tests;
