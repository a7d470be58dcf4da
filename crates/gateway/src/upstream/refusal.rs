//! The meaning of a refusal of the provider's token endpoint (RFC 6749 §5.2): the user's grant,
//! which is over, or something that passes.
//!
//! The difference decides whether a user logs in again or waits. A refusal for good that is taken
//! for an outage answers 503 for the life of the session; an outage that is taken for good logs
//! all users out.
//!
//! | status | `error` | is | a refresh |
//! |---|---|---|---|
//! | 408, 425, 429, 5xx | any | an outage | is tried again |
//! | 4xx, or 200 with an `error` | `temporarily_unavailable`, `server_error`, `slow_down` | an outage | is tried again |
//! | | `invalid_client`, `unauthorized_client`, `incorrect_client_credentials` | our configuration | is tried again for an hour |
//! | 401 | none, or not known here | our configuration | is tried again for an hour |
//! | 4xx, or 200 with an `error` | `invalid_grant`, `access_denied`, `bad_refresh_token` | the end of the grant | ends the session |
//! | | `interaction_required`, `login_required`, `consent_required` and the like | the end of the grant, and what the user has to do | ends the session; the next login asks for it |
//! | | any other, or none | a refusal of the request | ends the session: it would be refused each time |
//! | any other | any | not an answer of a token endpoint | is tried again for an hour |

use crate::upstream::provider_error::{Outage, ProviderError};

/// The meaning of a token endpoint's answer that brings no token. `status` is its status, `code`
/// its `error`.
pub(super) fn refusal(status: u16, code: Option<&str>) -> ProviderError {
    match status {
        408 | 425 | 429 | 500.. => ProviderError::Unreachable(Outage::Status(status)),
        200 | 400..=499 => refusal_by_code(status, code.unwrap_or_default()),
        300..=399 => ProviderError::InvalidAnswer("the token endpoint's answer is a redirect, which is not followed"),
        _ => ProviderError::InvalidAnswer("the token endpoint answered with neither a token nor an error"),
    }
}

fn refusal_by_code(status: u16, code: &str) -> ProviderError {
    if OUTAGES.contains(&code) {
        return ProviderError::Unreachable(Outage::Busy);
    }
    if let Some((_, prompt)) = GRANT_ENDED.iter().find(|(ended, _)| *ended == code) {
        return ProviderError::GrantEnded { prompt: *prompt };
    }
    if OURS.contains(&code) || status == 401 {
        return ProviderError::ClientRefused;
    }
    ProviderError::Refused
}

/// Codes that say "later". The first two are of the authorization endpoint (RFC 6749 §4.1.2.1), and
/// are sent by token endpoints all the same; the last is RFC 8628 §3.5.
const OUTAGES: [&str; 3] = ["temporarily_unavailable", "server_error", "slow_down"];

/// Codes about the gateway as a client; the last is GitHub's.
const OURS: [&str; 3] = ["invalid_client", "unauthorized_client", "incorrect_client_credentials"];

/// Codes about the user's grant, each with the `prompt` (OIDC Core §3.1.2.1) that a new login needs
/// to get past it.
const GRANT_ENDED: [(&str, Option<&str>); 9] = [
    ("invalid_grant", None),
    ("access_denied", None),
    // GitHub's.
    ("bad_refresh_token", None),
    ("interaction_required", Some("login")),
    ("login_required", Some("login")),
    ("consent_required", Some("consent")),
    ("account_selection_required", Some("select_account")),
    // OpenID Connect Core Error Code unmet_authentication_requirements 1.0.
    ("unmet_authentication_requirements", Some("login")),
    // Auth0's.
    ("mfa_required", Some("login")),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A word for what a refusal is about.
    fn about(status: u16, code: Option<&str>) -> &'static str {
        match refusal(status, code) {
            ProviderError::Unreachable(_) => "outage",
            ProviderError::ClientRefused => "ours",
            ProviderError::InvalidAnswer(_) => "no answer",
            ProviderError::Refused => "refused",
            ProviderError::GrantEnded { prompt } => prompt.unwrap_or("ended"),
            ProviderError::NoCommonAuthentication
            | ProviderError::NoAssertion
            | ProviderError::EndpointWithoutCluster(_)
            | ProviderError::WrongIssuer(_)
            | ProviderError::NotJson(_)
            | ProviderError::InvalidDocuments(_)
            | ProviderError::OtherLogin
            | ProviderError::OtherTenant
            | ProviderError::InvalidIdToken(_)
            | ProviderError::InvalidUserInfo(_) => "no refusal",
        }
    }

    #[test]
    fn the_status_alone_tells_an_outage() {
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            for code in [None, Some("invalid_grant"), Some("login_required"), Some("invalid_client")] {
                assert_eq!(about(status, code), "outage", "{status} {code:?}");
            }
        }
    }

    #[test]
    fn the_code_tells_what_the_user_or_the_operator_has_to_do() {
        let table = [
            ("temporarily_unavailable", "outage"),
            ("server_error", "outage"),
            ("slow_down", "outage"),
            ("invalid_client", "ours"),
            ("unauthorized_client", "ours"),
            ("incorrect_client_credentials", "ours"),
            ("invalid_grant", "ended"),
            ("access_denied", "ended"),
            ("bad_refresh_token", "ended"),
            ("interaction_required", "login"),
            ("login_required", "login"),
            ("mfa_required", "login"),
            ("unmet_authentication_requirements", "login"),
            ("consent_required", "consent"),
            ("account_selection_required", "select_account"),
        ];
        for (code, expected) in table {
            for status in [200, 400, 401, 403] {
                assert_eq!(about(status, Some(code)), expected, "{status} {code}");
            }
        }
    }

    #[test]
    fn any_other_lasting_refusal_is_for_good_but_for_one_of_our_credentials() {
        for code in [None, Some(""), Some("invalid_request"), Some("invalid_scope"), Some("Invalid_Grant"), Some("new")]
        {
            for status in [200, 400, 402, 403, 404, 405, 410, 422, 451, 499] {
                assert_eq!(about(status, code), "refused", "{status} {code:?}");
            }
            assert_eq!(about(401, code), "ours", "{code:?}");
        }
    }

    #[test]
    fn what_is_no_answer_of_a_token_endpoint_says_nothing_about_the_grant() {
        for status in [0, 100, 201, 204, 301, 302, 304, 307, 399] {
            for code in [None, Some("invalid_grant")] {
                assert_eq!(about(status, code), "no answer", "{status} {code:?}");
            }
        }
    }
}
