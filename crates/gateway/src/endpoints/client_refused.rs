//! The page for a person whose application is not known here.

use std::borrow::Cow;

use crate::audit::{Audit, Reason};
use crate::clients::document_fetch::FetchError;
use crate::clients::metadata_document::DocumentClientError;
use crate::clients::resolve::ResolveError;
use crate::config::Config;
use crate::decision::Resolved;
use crate::endpoints::browser_error::{Failure, error_page};
use crate::endpoints::pages::ErrorPage;

/// Returns the page: without a client there is no redirect URI that could be trusted with an error
/// (RFC 6749 §4.1.2.1).
#[must_use]
pub(super) fn failure(config: &Config, error: ResolveError) -> Failure {
    let (message, reason): (Cow<'_, str>, _) = match error {
        ResolveError::Dependency(error) => return error.into(),
        ResolveError::Unknown => {
            ("The application is not known here. Its registration may have expired.".into(), Reason::UnknownClient)
        }
        ResolveError::Document(error) => match error {
            DocumentClientError::TooMany { retry_after } => return too_many(config, retry_after),
            DocumentClientError::TurnedOff => (
                "The application names itself by a URL, and such applications are not accepted here.".into(),
                Reason::ClientDocumentsOff,
            ),
            DocumentClientError::Url(error) => (
                format!("The application names itself by a URL that it cannot have: {error}.").into(),
                Reason::ClientIdUrl,
            ),
            DocumentClientError::NotAllowed => {
                ("Applications of this host are not accepted here.".into(), Reason::ClientDocumentNotAllowed)
            }
            DocumentClientError::NotAsked => (
                "The application's request is not complete, or asks for something that there is not.".into(),
                Reason::ClientDocumentNotAsked,
            ),
            DocumentClientError::Fetch(error) => {
                let reason = match error {
                    FetchError::NotConfigured => Reason::ClientDocumentsNotFetched,
                    FetchError::Address => Reason::ClientDocumentAddress,
                    FetchError::Unavailable => Reason::ClientDocumentUnavailable,
                    FetchError::Answer => Reason::ClientDocumentAnswer,
                };
                (NOT_FETCHED.into(), reason)
            }
            DocumentClientError::Document(error) => (
                format!("The description at the application's URL cannot be used: {error}.").into(),
                Reason::InvalidClientDocument,
            ),
            DocumentClientError::Dependency(error) => return error.into(),
        },
    };
    Failure::refused(error_page(config, 400, HEADING, &message, HINT, reason))
}

fn too_many(config: &Config, retry_after: u32) -> Failure {
    let page = ErrorPage {
        title: &config.consent.title,
        heading: HEADING,
        message: "Too many applications were looked up at the moment.",
        hint: "Wait a moment, then reload this page.",
    };
    let response = page.response(429).header("retry-after", &retry_after.to_string());
    Failure::refused(Resolved::Respond(response, Audit::new(Reason::ClientDocumentRate)))
}

const HEADING: &str = "This login cannot be started";
const HINT: &str = "Go back to the application and connect again. If that does not help, remove the connection there and \
                    add it again.";
/// One text, whatever the cause: a page that told a refused connection from a private address would
/// map the network behind the gateway for a stranger. The audit trail has the cause.
const NOT_FETCHED: &str = "The description at the application's URL could not be fetched.";
