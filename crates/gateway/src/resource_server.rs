//! Calls to protected resources.

pub mod slow_path;
