//! The meaning of upstream tokens that are not there: what the user has to do.

use crate::config::{Config, ProviderId};
use crate::sessions::state::Session;

/// What the user of a session has to do, whose resource injects tokens that the session has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingUpstream {
    /// Log in again: each login brings them, or this one did, and they are gone. The session ends.
    LogIn,
    /// Log in at this provider too: a login need not bring them, and this one did not. The session
    /// goes on.
    Connect,
}

impl MissingUpstream {
    /// Returns what the user has to do where a session has no tokens of this provider.
    pub(crate) fn of(config: &Config, session: &Session, provider: ProviderId) -> Self {
        if session.providers.contains(&provider) || config.providers.is_required(provider) {
            Self::LogIn
        } else {
            Self::Connect
        }
    }
}
