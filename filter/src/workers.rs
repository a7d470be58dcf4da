//! The workers of one Envoy, and how they reach each other.

pub(crate) mod queue;
