//! Strict parsers for JSON objects of clients and providers (RFC 8259; RFC 7515 §4 and RFC 7519 §4
//! for unique member names).
//!
//! A document that two parsers may read differently is refused. The classic case is a repeated
//! member, of which one parser takes the first and another the last.

mod members;
mod strict;

pub use members::{MemberValue, ObjectMembers};
pub use strict::{JsonError, Limits, parse_object};

#[cfg(test)]
mod tests;
