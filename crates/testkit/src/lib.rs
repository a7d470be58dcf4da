//! What tests and measurements share, and no product crate contains: scripted ports, the contract
//! of a store, a provider that bends its answers, and signatures without Envoy.
//!
//! Nothing here does I/O, so all of it also runs as wasm. A crate's unit tests cannot use it, since
//! they are compiled as another copy of their crate; its integration tests can.

pub mod bending_provider;
#[cfg(feature = "gateway")]
pub mod fakes;
pub mod signatures;
#[cfg(feature = "gateway")]
pub mod store_contract;
