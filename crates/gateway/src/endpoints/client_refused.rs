//! The page for a person whose application is not known here.

use crate::audit::{Audit, Reason};
use crate::clients::document_fetch::FetchError;
use crate::clients::metadata_document::DocumentClientError;
use crate::clients::resolve::ResolveError;
use crate::config::Config;
use crate::decision::Resolved;
use crate::endpoints::browser_error::{error_page, unavailable_page};
use crate::endpoints::pages::ErrorPage;

/// Returns the page: without a client there is no redirect URI that could be trusted with an error
/// (RFC 6749 §4.1.2.1).
#[must_use]
pub(super) fn page(config: &Config, error: &ResolveError) -> Resolved {
    let page = |message: &str, reason| error_page(config, 400, HEADING, message, HINT, reason);
    match error {
        ResolveError::Unknown => {
            page("The application is not known here, or was removed by an operator.", Reason::UnknownClient)
        }
        ResolveError::Dependency(error) => unavailable_page(config, *error),
        ResolveError::Document(error) => match error {
            DocumentClientError::Dependency(error) => unavailable_page(config, *error),
            DocumentClientError::TooMany { retry_after } => too_many(config, *retry_after),
            DocumentClientError::TurnedOff => page(
                "The application names itself by a URL, and such applications are not accepted here.",
                Reason::ClientDocumentsOff,
            ),
            DocumentClientError::Url(error) => {
                let message = format!("The application names itself by a URL that it cannot have: {error}.");
                page(&message, Reason::ClientIdUrl)
            }
            DocumentClientError::NotAllowed => {
                page("Applications of this host are not accepted here.", Reason::ClientDocumentNotAllowed)
            }
            DocumentClientError::NotAsked => page(
                "The application's request is not complete, or asks for something that there is not.",
                Reason::ClientDocumentNotAsked,
            ),
            DocumentClientError::Fetch(error) => page(NOT_FETCHED, reason_of_fetch(*error)),
            DocumentClientError::Document(error) => {
                let message = format!("The description at the application's URL cannot be used: {error}.");
                page(&message, Reason::InvalidClientDocument)
            }
        },
    }
}

/// Returns the page where the client was known when the login began, and is not any more.
#[must_use]
pub(super) fn during_login(config: &Config, error: &ResolveError) -> Resolved {
    match error {
        ResolveError::Unknown => {
            let message = "The application is not known here any more: it was removed while you logged in.";
            error_page(config, 400, "This login cannot be completed", message, HINT, Reason::ClientGone)
        }
        error @ (ResolveError::Document(_) | ResolveError::Dependency(_)) => page(config, error),
    }
}

fn reason_of_fetch(error: FetchError) -> Reason {
    match error {
        FetchError::NotConfigured => Reason::ClientDocumentsNotFetched,
        FetchError::Address => Reason::ClientDocumentAddress,
        FetchError::Unavailable => Reason::ClientDocumentUnavailable,
        FetchError::Answer => Reason::ClientDocumentAnswer,
    }
}

fn too_many(config: &Config, retry_after: u32) -> Resolved {
    let page = ErrorPage {
        title: &config.consent.title,
        heading: HEADING,
        message: "Too many applications were looked up at the moment.",
        hint: "Wait a moment, then reload this page.",
    };
    let response = page.response(429).header("retry-after", &retry_after.to_string());
    Resolved::Respond(response, Audit::new(Reason::ClientDocumentRate))
}

pub(super) const HEADING: &str = "This login cannot be started";
pub(super) const HINT: &str = "Go back to the application and connect again. If that does not help, remove the connection there and \
                    add it again.";
/// One text, whatever the cause: a page that told a refused connection from a private address would
/// map the network behind the gateway for a stranger. The audit trail has the cause.
const NOT_FETCHED: &str = "The description at the application's URL could not be fetched.";
