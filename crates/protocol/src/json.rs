//! JSON objects from outside, read strictly (RFC 8259; RFC 7515 §4 and RFC 7519 §4 for unique
//! member names).
//!
//! A document that two parsers may read differently is refused: the classic case is a repeated
//! member, of which one parser takes the first and the other the last.

mod members;
mod strict;

pub use members::{MemberValue, ObjectMembers};
pub use strict::{JsonError, Limits, parse_object};

#[cfg(test)]
mod tests;
