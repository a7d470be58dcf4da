//! The words that the gateway and its stores share: what kinds of records there are, how a record
//! is named, versioned and aged, and what a store may answer.

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
