//! Where records are kept: sealed access to them, and the two stores behind it.

pub mod bridge;
pub mod encoding;
pub mod memory;
pub mod records;
