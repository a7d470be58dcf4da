//! How long an upstream access token is used.

use crate::upstream::identity::ToldLife;

/// Returns when an access token that was obtained at `now` expires, in Unix seconds; `None` only
/// where the provider did not say, and gave nothing to renew it with.
///
/// `last` is the life of the access token that it replaces, in seconds. `default` is the life of a
/// token of which the provider says nothing.
///
/// | `expires_in` | with a refresh token | without |
/// |---|---|---|
/// | a number of at least 1 | that | that |
/// | 0 or less | due at once, and not again for 10 s | `default` |
/// | absent, or no number | `last`, or else `default` | no end |
#[must_use]
pub fn expires_at(told: ToldLife, has_refresh_token: bool, last: Option<u64>, default: u64, now: u64) -> Option<u64> {
    let life = match (told, has_refresh_token) {
        (ToldLife::Seconds(life), _) => life,
        (ToldLife::Over, true) => DUE_SECONDS,
        // A login at each call would be the other reading.
        (ToldLife::Over, false) => default,
        (ToldLife::Untold, true) => last.unwrap_or(default),
        (ToldLife::Untold, false) => return None,
    };
    Some(now.saturating_add(life))
}

/// For how long a token is used whose life is over, in seconds, so that it is not refreshed at each
/// call.
const DUE_SECONDS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_can_be_renewed_always_has_an_end() {
        for (told, last, with, without) in [
            (ToldLife::Seconds(60), Some(7), Some(160), Some(160)),
            (ToldLife::Seconds(1), None, Some(101), Some(101)),
            (ToldLife::Over, Some(7), Some(110), Some(3_700)),
            (ToldLife::Untold, Some(7), Some(107), None),
            (ToldLife::Untold, None, Some(3_700), None),
        ] {
            assert_eq!(expires_at(told, true, last, 3_600, 100), with, "{told:?}");
            assert_eq!(expires_at(told, false, last, 3_600, 100), without, "{told:?}");
        }
    }
}
