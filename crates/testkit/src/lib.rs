//! What tests and measurements share, and no product crate contains: one OAuth client and its
//! user's browser, scripted ports, the contract of a store, a provider that bends its answers,
//! keys, and signatures without Envoy.
//!
//! Nothing here does I/O, so all of it also runs as wasm. A crate's unit tests can use
//! [`example_keys`] alone, since they are compiled as another copy of their crate; its integration
//! tests can use all.

pub mod bending_provider;
pub mod browser;
pub mod example_keys;
pub mod fakes;
pub mod http;
pub mod oauth_client;
pub mod signatures;
pub mod store_contract;
