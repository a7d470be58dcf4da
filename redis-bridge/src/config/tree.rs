//! The configuration as a tree of YAML, and its way into types without a word of what was written.
//!
//! A password where a reference belongs, a key where a file is named, a secret with a colon too
//! many: the fault of a configuration may be the secret itself. So [`place::Wrong`] holds a place
//! and what was expected there, and no value. All messages about the file come from here or from a
//! check that names a path, and none of them has anything to repeat.

mod node;
mod place;
mod repair;
mod yaml;

pub(super) use node::Node;
