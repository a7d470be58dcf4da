//! How long the parts of a session are kept, and a user's connections.

use crate::config::Config;
use crate::ports::TokenOwner;

/// A session lives as long as its last refresh token or access token, whichever is longer.
pub(crate) fn session_life(config: &Config) -> u64 {
    let lifespans = config.lifespans;
    lifespans.refresh_token.max(lifespans.access_token)
}

/// How long a session's upstream tokens are kept, in seconds: as long as the session can still be
/// refreshed, and the access tokens it issued still live.
#[must_use]
pub fn upstream_life(config: &Config) -> u64 {
    let lifespans = config.lifespans;
    lifespans.refresh_token.saturating_add(lifespans.access_token)
}

/// How long upstream tokens are kept from their last use or renewal, in seconds.
pub(crate) fn tokens_life(config: &Config, owner: TokenOwner) -> u64 {
    match owner {
        TokenOwner::Session(_) => upstream_life(config),
        TokenOwner::User(_) => config.lifespans.connection,
    }
}
