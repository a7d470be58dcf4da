//! What one configured worker has in service, and the requests that it holds.

pub(crate) mod active_config;
pub(crate) mod fetch_secrets;
pub(crate) mod open_streams;
pub(crate) mod paused_streams;
pub(crate) mod pending_streams;
pub(crate) mod ports;
pub(crate) mod store;
pub(crate) mod worker;
