//! The verbs on records, each one command or one script in Redis, and the names of what is stored.

pub(crate) mod names;
pub(crate) mod scripts;
pub(crate) mod verbs;
