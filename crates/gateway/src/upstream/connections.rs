//! Connections: the tokens of a provider that a user has connected once, for all of the user's
//! sessions.
//!
//! A provider whose `login` is `onDemand` is no part of a login. Its tokens belong to the user, are
//! stored under the user and the provider, and end by themselves when they are not used for long
//! enough, when the user disconnects, or when the provider ends the grant. No session ends with
//! them.

pub mod offer;
pub mod stored;
