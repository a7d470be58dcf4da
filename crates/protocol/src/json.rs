//! Parsers for JSON objects (RFC 8259; RFC 7515 §4 and RFC 7519 §4 for unique member names), in two
//! profiles.
//!
//! What clients send, and what the gateway writes itself, is read strictly: a document that two
//! parsers may read differently is refused. The classic case is a repeated member, of which one
//! parser takes the first and another the last.
//!
//! The documents of an identity provider are read as the RFCs read them ([`foreign`]): only the
//! members that are needed are looked at, and of those none may be ambiguous.

pub mod foreign;
mod members;
mod strict;

pub use members::{MemberValue, ObjectMembers};
pub use strict::{JsonError, Limits, parse_object};

#[cfg(test)]
mod tests;
