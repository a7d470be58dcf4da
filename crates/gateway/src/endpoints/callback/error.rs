//! Why a callback brings no code to the client.

use portcullis_protocol::oauth::error::ErrorCode;
use portcullis_protocol::oauth::params::ParamsError;
use thiserror::Error;

use crate::audit::{Audit, Reason};
use crate::browser::pending_login::Authorization;
use crate::clients::resolve::ResolveError;
use crate::config::Config;
use crate::decision::Resolved;
use crate::endpoints::browser_error::{error_page, error_redirect, provider_failed, unavailable_page};
use crate::endpoints::client_refused;
use crate::endpoints::pages::ErrorPage;
use crate::error::DependencyError;
use crate::upstream::provider_error::ProviderError;

/// Why a callback does not end in a login.
#[derive(Debug, Error)]
pub(super) enum CallbackError {
    #[error("the query cannot be read")]
    Query(#[from] ParamsError),
    #[error("a parameter is repeated")]
    RepeatedParameter,
    #[error("there is no state")]
    NoState,
    /// The browser carries no such login.
    #[error("the login was not started in this browser")]
    UnknownLogin,
    /// The browser carries the login of a consent page that was not answered.
    #[error("the user has not consented to this login")]
    NoConsent,
    #[error("the login took too long")]
    Expired,
    #[error("too many logins")]
    TooMany {
        /// In how many seconds the limit allows another.
        retry_after: u32,
    },
    #[error("the login was used before")]
    Reused,
    /// It was deleted, or its URL is no longer accepted, since the login began.
    #[error(transparent)]
    Client(#[from] ResolveError),
    /// The login is this browser's, so the error goes to the client.
    #[error("{cause}")]
    Login { cause: LoginError, request: Box<Authorization> },
    #[error(transparent)]
    Dependency(#[from] DependencyError),
}

/// Why a login that was this browser's did not succeed.
#[derive(Debug, Error)]
pub(super) enum LoginError {
    /// The login has done legs, or is at one, that the configuration has not, or not in this order.
    #[error("the configured providers have changed during the login")]
    ProvidersChanged,
    /// The tokens of the first leg expired, or the login failed in another tab.
    #[error("the first leg's tokens are gone")]
    FirstLegGone,
    /// RFC 9207 §2.4: an answer that names another issuer is another provider's.
    #[error("the answer names another issuer")]
    OtherIssuer,
    /// The provider's `error`, which the browser brings: anyone could have written it.
    #[error("the provider answered an error")]
    Answered(AuthorizationAnswer),
    #[error("there is neither a code nor an error")]
    NoCode,
    #[error("the provider did not log the user in")]
    Provider(ProviderError),
}

/// An `error` of the provider's authorization endpoint (RFC 6749 §4.1.2.1, OIDC Core §3.1.2.6,
/// OpenID Connect Core Error Code unmet_authentication_requirements), by what it says to us. Its
/// own text is not passed on (RFC 6749 §10.14).
#[derive(Debug, Clone, Copy)]
pub(super) enum AuthorizationAnswer {
    Denied,
    Unavailable,
    ServerError,
    /// It refuses the gateway's request as such.
    RequestRefused,
    /// The user has something to do there, which it did not ask for.
    NeedsUser,
    Unknown,
}

impl AuthorizationAnswer {
    pub(super) fn of(error: &str) -> Self {
        match error {
            "access_denied" => Self::Denied,
            "temporarily_unavailable" => Self::Unavailable,
            "server_error" => Self::ServerError,
            "invalid_request" | "invalid_scope" | "unauthorized_client" | "unsupported_response_type" => {
                Self::RequestRefused
            }
            "interaction_required"
            | "login_required"
            | "account_selection_required"
            | "consent_required"
            | "unmet_authentication_requirements" => Self::NeedsUser,
            _ => Self::Unknown,
        }
    }
}

impl CallbackError {
    /// Returns the answer: a page, or a redirect to the client.
    pub(super) fn reply(&self, config: &Config) -> Resolved {
        let page = |message: &str, reason| error_page(config, 400, HEADING, message, HINT, reason);
        match self {
            Self::Query(_) => page(UNREADABLE, Reason::MalformedCallback),
            Self::RepeatedParameter => page(UNREADABLE, Reason::CallbackRepeatedParameter),
            Self::NoState => page(UNKNOWN, Reason::CallbackWithoutState),
            Self::UnknownLogin => page(UNKNOWN, Reason::CallbackUnknownLogin),
            Self::NoConsent => page(UNKNOWN, Reason::CallbackWithoutConsent),
            Self::Client(error) => client_refused::during_login(config, error),
            Self::Expired => page("This login took too long.", Reason::CallbackExpired),
            Self::Reused => page("This login was used already.", Reason::CallbackStateReused),
            Self::TooMany { retry_after } => too_many(config, *retry_after),
            Self::Login { cause, request } => cause.reply(config, request),
            Self::Dependency(error) => unavailable_page(config, *error),
        }
    }
}

impl LoginError {
    fn reply(&self, config: &Config, request: &Authorization) -> Resolved {
        let (code, description, reason) = match self {
            Self::ProvidersChanged => (ErrorCode::ServerError, CHANGED, Reason::CallbackProvidersChanged),
            Self::FirstLegGone => (ErrorCode::AccessDenied, INCOMPLETE, Reason::CallbackFirstLegGone),
            Self::OtherIssuer => (ErrorCode::ServerError, INCOMPLETE, Reason::CallbackOtherIssuer),
            Self::NoCode => (ErrorCode::ServerError, INCOMPLETE, Reason::CallbackWithoutCode),
            Self::Answered(answer) => {
                let (code, reason) = match answer {
                    AuthorizationAnswer::Denied => (ErrorCode::AccessDenied, Reason::ProviderDenied),
                    AuthorizationAnswer::Unavailable => {
                        (ErrorCode::TemporarilyUnavailable, Reason::ProviderUnavailable)
                    }
                    AuthorizationAnswer::ServerError => (ErrorCode::AccessDenied, Reason::ProviderFailure),
                    AuthorizationAnswer::RequestRefused => {
                        (ErrorCode::AccessDenied, Reason::ProviderRefusedAuthorization)
                    }
                    AuthorizationAnswer::NeedsUser => (ErrorCode::AccessDenied, Reason::ProviderNeedsUser),
                    AuthorizationAnswer::Unknown => (ErrorCode::AccessDenied, Reason::ProviderUnknownRefusal),
                };
                (code, "the identity provider did not log the user in", reason)
            }
            Self::Provider(error) => return provider_failed(config, request, error),
        };
        error_redirect(config, request.into(), code, description, request.audited().decided(reason))
    }
}

/// Nothing is used up yet: the same address of the callback works as soon as the limit allows.
fn too_many(config: &Config, retry_after: u32) -> Resolved {
    let page = ErrorPage {
        title: &config.consent.title,
        heading: "Too many logins at the moment",
        message: "More logins came from your network than are allowed at once.",
        hint: "Wait a moment, then reload this page.",
    };
    let response = page.response(429).header("retry-after", &retry_after.to_string());
    Resolved::Respond(response, Audit::new(Reason::LoginRate))
}

const HEADING: &str = "This login cannot be completed";
const HINT: &str = "Go back to the application and connect again.";
const UNREADABLE: &str = "The identity provider's answer cannot be read.";
const UNKNOWN: &str = "It is not known in this browser: it was started in another one, was used already or took too long, or \
                       cookies are turned off.";
const INCOMPLETE: &str = "the login did not complete";
const CHANGED: &str = "the identity providers were changed during the login; connect again";
