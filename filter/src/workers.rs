//! The workers of one Envoy, and the messages between them.

pub(crate) mod message;
pub(crate) mod queue;
pub(crate) mod registry;
