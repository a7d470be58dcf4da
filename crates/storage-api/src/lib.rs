//! The types that the gateway and its stores share: kinds, keys, versions and lifetimes of records,
//! the answers of a store, and the [`wire`] to the bridge.

mod bounds;
mod bucket;
mod key;
mod lock;
mod record;
mod store;
mod text;
pub mod wire;

pub use bucket::{Bucket, Taken};
pub use key::{Key, Kind};
pub use lock::Owner;
pub use record::{Ttl, Version, Versioned};
pub use store::{StoreError, Swap};
