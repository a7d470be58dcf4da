//! HTTP messages: their fields, their target, their credentials.

pub mod bearer;
pub mod freshness;
pub mod media_type;
pub mod message;
pub mod path;
