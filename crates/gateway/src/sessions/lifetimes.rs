//! How long the parts of a session are kept.

use crate::config::Config;

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
