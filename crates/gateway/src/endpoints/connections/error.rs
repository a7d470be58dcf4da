//! Why the page of connections does not do what was asked.

use portcullis_protocol::oauth::params::ParamsError;
use thiserror::Error;

use crate::audit::Reason;
use crate::config::Config;
use crate::decision::Resolved;
use crate::endpoints::browser_error::{error_page, unavailable_page};
use crate::endpoints::provider_return::{AnswerError, AuthorizationAnswer, ReturnError, too_many};
use crate::error::DependencyError;
use crate::upstream::provider_error::ProviderError;

/// Why the page is not shown, or nothing is connected or disconnected.
#[derive(Debug, Error)]
pub(in crate::endpoints) enum ConnectionsError {
    #[error("the form or the query cannot be read")]
    Malformed(#[from] ParamsError),
    #[error("a parameter is repeated")]
    RepeatedParameter,
    #[error("no provider can be connected")]
    NoProviders,
    #[error("no such provider can be connected")]
    UnknownProvider,
    #[error("the form was sent from another site")]
    CrossSite,
    #[error("the form is too large")]
    TooLarge,
    #[error("the answer was not sent as a form")]
    ContentType,
    #[error("the form lacks a field, or has it twice")]
    Incomplete,
    #[error("the form's action is neither connect nor disconnect")]
    UnknownAction,
    #[error("no user has signed in to this browser")]
    SignedOut,
    /// It was shown to another user, or is not one of this gateway.
    #[error("the CSRF token is not the form's")]
    Csrf,
    #[error("the form was open for too long")]
    Expired,
    #[error("another user has signed in to this browser")]
    OtherUser,
    #[error("the user is none of those who may log in")]
    UserNotAllowed,
    #[error(transparent)]
    Return(#[from] ReturnError),
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error("{0}")]
    Provider(ProviderError),
    #[error(transparent)]
    Dependency(#[from] DependencyError),
}

impl ConnectionsError {
    /// Returns the answer, a page.
    pub(in crate::endpoints) fn reply(&self, config: &Config) -> Resolved {
        let page = |status, message: &str, reason| error_page(config, status, HEADING, message, HINT, reason);
        match self {
            Self::Malformed(_) => page(400, UNREADABLE, Reason::ConnectionsMalformed),
            Self::RepeatedParameter => page(400, UNREADABLE, Reason::ConnectionsRepeatedParameter),
            Self::NoProviders => page(404, "There is nothing to connect here.", Reason::ConnectionsNone),
            Self::UnknownProvider => {
                page(404, "This account cannot be connected here.", Reason::ConnectionsUnknownProvider)
            }
            Self::CrossSite => page(403, "It was sent from another site.", Reason::ConnectionsCrossSite),
            Self::TooLarge => page(413, CHANGED, Reason::ConnectionsTooLarge),
            Self::ContentType => page(403, "It was not sent as a form.", Reason::ConnectionsContentType),
            Self::Incomplete => page(403, CHANGED, Reason::ConnectionsIncomplete),
            Self::UnknownAction => page(403, CHANGED, Reason::ConnectionsUnknownAction),
            Self::SignedOut => page(403, OTHER_BROWSER, Reason::ConnectionsSignedOut),
            Self::Csrf => page(403, OTHER_BROWSER, Reason::ConnectionsCsrf),
            Self::Expired => page(403, "The page was open for too long.", Reason::ConnectionsExpired),
            Self::OtherUser => {
                page(403, "Another user has signed in to this browser meanwhile.", Reason::ConnectionOtherUser)
            }
            Self::UserNotAllowed => page(403, "Your account may not be used here.", Reason::LoginUserNotAllowed),
            Self::Return(ReturnError::Expired) => page(400, "It took too long.", Reason::CallbackExpired),
            Self::Return(ReturnError::Reused) => page(400, "It was used already.", Reason::CallbackStateReused),
            Self::Return(ReturnError::TooMany { retry_after }) => too_many(config, *retry_after),
            Self::Return(ReturnError::Dependency(error)) | Self::Dependency(error) => unavailable_page(config, *error),
            Self::Answer(AnswerError::OtherIssuer) => page(400, INCOMPLETE, Reason::CallbackOtherIssuer),
            Self::Answer(AnswerError::NoCode) => page(400, INCOMPLETE, Reason::CallbackWithoutCode),
            Self::Answer(AnswerError::Answered(answer)) => {
                let message = match answer {
                    AuthorizationAnswer::Denied => "You have not allowed it there.",
                    AuthorizationAnswer::Unavailable
                    | AuthorizationAnswer::ServerError
                    | AuthorizationAnswer::RequestRefused
                    | AuthorizationAnswer::NeedsUser
                    | AuthorizationAnswer::Unknown => INCOMPLETE,
                };
                page(400, message, answer.reason())
            }
            Self::Answer(AnswerError::Provider(error)) | Self::Provider(error) => page(502, INCOMPLETE, error.reason()),
        }
    }
}

const HEADING: &str = "This is not possible";
const HINT: &str = "Open the address of the page again, as your application shows it.";
const UNREADABLE: &str = "What was sent cannot be read.";
const CHANGED: &str = "The form was changed.";
const OTHER_BROWSER: &str = "The form was shown to another user, or your cookies were cleared.";
const INCOMPLETE: &str = "The provider did not complete it.";
