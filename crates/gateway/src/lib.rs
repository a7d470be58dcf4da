//! What Portcullis does with a request: linear async handlers over small ports, the same code
//! natively and in Envoy.
//!
//! Reading order: [`route`] (which handler answers what), then the handlers in the order of a login
//! ([`register`], [`authorize`], [`consent`], [`callback`], [`token`]), then [`protect`] (a call
//! with a token) and [`upstream`] (the provider's tokens behind it). [`ports`] is everything they
//! need from outside, [`records`] everything they store, [`secret_watch`] where their keys come
//! from while they serve.

pub mod admission;
pub mod audit;
pub mod authorize;
pub mod bridge_store;
pub mod cache;
pub mod callback;
pub mod client_address;
pub mod config;
pub mod consent;
pub mod cookies;
pub mod end_session;
pub mod gateway;
pub mod login;
pub mod memory_store;
pub mod metadata;
pub mod next_prompt;
pub mod pages;
pub mod pending_login;
pub mod ports;
pub mod protect;
pub mod provider;
pub mod records;
pub mod register;
pub mod replies;
pub mod route;
pub mod runtime;
pub mod secret_watch;
pub mod session;
pub mod token;
pub mod upstream;
pub mod verdict;

#[cfg(feature = "fakes")]
pub mod fakes;
#[cfg(feature = "fakes")]
pub mod store_suite;
