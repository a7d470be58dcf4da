//! Why the user's answer does not count, or is a refusal.

use portcullis_protocol::oauth::error::ErrorCode;
use portcullis_protocol::oauth::params::ParamsError;
use thiserror::Error;

use crate::audit::Reason;
use crate::browser::pending_login::Authorization;
use crate::clients::resolve::ResolveError;
use crate::config::Config;
use crate::decision::Resolved;
use crate::endpoints::browser_error::{error_page, error_redirect, unavailable_page};
use crate::endpoints::client_refused;
use crate::error::DependencyError;

/// Why an answered consent form starts no login.
#[derive(Debug, Error)]
pub(super) enum ConsentError {
    #[error("the form was sent from another site")]
    CrossSite,
    #[error("the form is too large")]
    TooLarge,
    #[error("the answer was not sent as a form")]
    ContentType,
    #[error("the form cannot be read")]
    Malformed(#[from] ParamsError),
    #[error("the form lacks a field, or has it twice")]
    Incomplete,
    #[error("the form's decision is neither approve nor deny")]
    UnknownDecision,
    /// It was never offered, or the configuration has changed since.
    #[error("the form's provider is not one to choose")]
    UnknownProvider,
    #[error("the form was approved without a provider, and there is a choice")]
    NoProvider,
    /// Its transaction is not sealed by this gateway.
    #[error("the form is not one of this gateway")]
    Forged,
    /// The browser carries no login of this form.
    #[error("the form was shown in another browser")]
    OtherBrowser,
    #[error("the CSRF token is not the form's")]
    Csrf,
    #[error("the form was open for too long")]
    Expired,
    /// It was deleted, or its URL is no longer accepted, since the page was shown.
    #[error(transparent)]
    Client(#[from] ResolveError),
    /// The form is genuine, so the error goes to the client.
    #[error("the user did not consent")]
    Denied(Box<Authorization>),
    #[error(transparent)]
    Dependency(#[from] DependencyError),
}

impl ConsentError {
    /// Returns the answer: a page, or a redirect to the client.
    pub(super) fn reply(&self, config: &Config) -> Resolved {
        let page = |message: &str, reason| error_page(config, 403, HEADING, message, HINT, reason);
        match self {
            Self::CrossSite => page("It was sent from another site.", Reason::ConsentCrossSite),
            Self::TooLarge => {
                error_page(config, 413, "This answer is too large", CHANGED, HINT, Reason::ConsentTooLarge)
            }
            Self::ContentType => page("It was not sent as a form.", Reason::ConsentContentType),
            Self::Malformed(_) => page(CHANGED, Reason::ConsentMalformed),
            Self::Incomplete => page(CHANGED, Reason::ConsentIncomplete),
            Self::UnknownDecision => page(CHANGED, Reason::ConsentUnknownDecision),
            Self::UnknownProvider => {
                page("You cannot sign in with this provider here, or not any more.", Reason::ConsentUnknownProvider)
            }
            Self::NoProvider => page("It does not say where you sign in.", Reason::ConsentWithoutProvider),
            Self::Forged => page(OTHER_BROWSER, Reason::ConsentForged),
            Self::OtherBrowser => page(OTHER_BROWSER, Reason::ConsentOtherBrowser),
            Self::Csrf => page(OTHER_BROWSER, Reason::ConsentCsrf),
            Self::Expired => page("The page was open for too long.", Reason::ConsentExpired),
            Self::Client(error) => client_refused::during_login(config, error),
            Self::Denied(request) => {
                let description = "the user did not consent";
                let to = request.as_ref().into();
                let audit = request.audited().decided(Reason::ConsentDenied);
                error_redirect(config, to, ErrorCode::AccessDenied, description, audit)
            }
            Self::Dependency(error) => unavailable_page(config, *error),
        }
    }
}

const HEADING: &str = "This answer cannot be accepted";
const HINT: &str = "Go back to the application and connect again.";
const CHANGED: &str = "The form was changed.";
const OTHER_BROWSER: &str = "This form was opened in another browser, or your cookies were cleared.";
