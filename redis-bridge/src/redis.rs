//! The Redis side: finding the masters, connecting to them, and running commands on them.

pub(crate) mod cluster;
pub(crate) mod connection;
pub(crate) mod dialer;
pub(crate) mod discovery;
pub(crate) mod master;
pub(crate) mod node;
pub(crate) mod pool;
pub(crate) mod probe;
pub(crate) mod redis_error;
pub(crate) mod replication;
pub(crate) mod sentinel;
pub(crate) mod slot;
pub(crate) mod topology;
