//! The configuration as a tree of YAML, and its deserialization without repeating the input.
//!
//! A problem of a configuration may be a secret: a password in place of a reference, or a secret
//! with a colon. So [`deserialize::FieldError`] has a path and the expected form, and no value. All
//! messages about the file come from here or from a check that names a path.

mod deserialize;
mod node;
mod repair;
mod yaml;

pub(super) use node::Node;
