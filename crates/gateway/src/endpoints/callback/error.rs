//! Why a callback brings no code to the client.

use portcullis_protocol::oauth::error::ErrorCode;
use portcullis_protocol::oauth::params::ParamsError;
use thiserror::Error;

use crate::audit::{AuditField, Reason};
use crate::browser::pending_login::Authorization;
use crate::clients::resolve::ResolveError;
use crate::config::Config;
use crate::decision::Resolved;
use crate::endpoints::browser_error::{error_page, error_redirect, provider_failed, unavailable_page};
use crate::endpoints::client_refused;
use crate::endpoints::provider_return::{AnswerError, AuthorizationAnswer, ReturnError, too_many};
use crate::error::DependencyError;

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
    #[error(transparent)]
    Return(#[from] ReturnError),
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
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The provider's names for the user are for the audit trail.
    #[error("the user is none of those who may log in")]
    UserNotAllowed { subject: String, email: Option<String> },
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
            Self::Return(ReturnError::Expired) => page("This login took too long.", Reason::CallbackExpired),
            Self::Return(ReturnError::Reused) => page("This login was used already.", Reason::CallbackStateReused),
            Self::Return(ReturnError::TooMany { retry_after }) => too_many(config, *retry_after),
            Self::Return(ReturnError::Dependency(error)) => unavailable_page(config, *error),
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
            Self::Answer(AnswerError::OtherIssuer) => (ErrorCode::ServerError, INCOMPLETE, Reason::CallbackOtherIssuer),
            Self::Answer(AnswerError::NoCode) => (ErrorCode::ServerError, INCOMPLETE, Reason::CallbackWithoutCode),
            Self::Answer(AnswerError::Answered(answer)) => {
                let code = match answer {
                    AuthorizationAnswer::Unavailable => ErrorCode::TemporarilyUnavailable,
                    AuthorizationAnswer::Denied
                    | AuthorizationAnswer::ServerError
                    | AuthorizationAnswer::RequestRefused
                    | AuthorizationAnswer::NeedsUser
                    | AuthorizationAnswer::Unknown => ErrorCode::AccessDenied,
                };
                (code, "the identity provider did not log the user in", answer.reason())
            }
            Self::Answer(AnswerError::Provider(error)) => return provider_failed(config, request, error),
            Self::UserNotAllowed { subject, email } => {
                let mut known = request.audited().with(AuditField::Subject, subject);
                known.add_known(AuditField::Email, email.as_deref().filter(|_| config.audits_email));
                let audit = known.decided(Reason::LoginUserNotAllowed);
                return error_redirect(config, request.into(), ErrorCode::AccessDenied, NOT_ALLOWED, audit);
            }
        };
        error_redirect(config, request.into(), code, description, request.audited().decided(reason))
    }
}

const HEADING: &str = "This login cannot be completed";
const HINT: &str = "Go back to the application and connect again.";
const UNREADABLE: &str = "The identity provider's answer cannot be read.";
const UNKNOWN: &str = "It is not known in this browser: it was started in another one, was used already or took too long, or \
                       cookies are turned off.";
const INCOMPLETE: &str = "the login did not complete";
const NOT_ALLOWED: &str =
    "this account may not log in here: log in with another one, or ask the operator of this service to admit it";
const CHANGED: &str = "the identity providers were changed during the login; connect again";
