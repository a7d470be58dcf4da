//! The Redis side: discovery of the masters, connections, and commands.

pub(crate) mod cluster;
pub(crate) mod connection;
pub(crate) mod dialer;
pub(crate) mod discovery;
pub(crate) mod master;
pub(crate) mod master_state;
pub(crate) mod node;
pub(crate) mod pool;
pub(crate) mod probe;
pub(crate) mod redis_error;
pub(crate) mod replication;
pub(crate) mod script;
pub(crate) mod sentinel;
pub(crate) mod sentinel_group;
pub(crate) mod slot;
pub(crate) mod topology;
