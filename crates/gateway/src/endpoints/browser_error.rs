//! The way from a checked and consented authorization request to the identity provider, and the
//! errors that go back to the client by redirect.

use portcullis_protocol::http::message::Response;
use portcullis_protocol::oauth::error::ErrorCode;
use portcullis_protocol::oauth::params;

use crate::audit::{Audit, Reason};
use crate::browser::pending_login::Authorization;
use crate::config::Config;
use crate::decision::Resolved;
use crate::endpoints::pages::ErrorPage;
use crate::error::DependencyError;
use crate::responses::uncached;
use crate::upstream::provider_error::ProviderError;

/// Why an endpoint that a browser visits stops half way.
pub enum Failure {
    /// The request is refused, with this answer.
    Refused(Box<Resolved>),
    /// Something that it needs failed.
    Dependency(DependencyError),
}

impl Failure {
    /// A refusal with its answer.
    #[must_use]
    pub fn refused(answer: Resolved) -> Self {
        Self::Refused(Box::new(answer))
    }

    /// The answer.
    #[must_use]
    pub fn settle(self, config: &Config) -> Resolved {
        match self {
            Self::Refused(answer) => *answer,
            Self::Dependency(error) => unavailable_page(config, error),
        }
    }
}

impl From<DependencyError> for Failure {
    fn from(error: DependencyError) -> Self {
        Self::Dependency(error)
    }
}

/// Redirects an error to the client, whose redirect URI has been proven (RFC 6749 §4.1.2.1, RFC
/// 9207 §2).
#[must_use]
pub fn refuse(
    config: &Config,
    request: &Authorization,
    code: ErrorCode,
    description: &str,
    reason: Reason,
) -> Resolved {
    let parameters = [("error", code.as_str()), ("error_description", description)];
    let response = redirect(config, &request.redirect_uri, request.state.as_deref(), &parameters);
    Resolved::Respond(response, Audit::new(reason))
}

/// Redirects to the client what kept the provider from logging the user in.
#[must_use]
pub fn provider_failed(config: &Config, asked: &Authorization, error: &ProviderError) -> Resolved {
    let (code, description, reason) = match error {
        ProviderError::Unreachable => {
            (ErrorCode::TemporarilyUnavailable, "the identity provider cannot be reached", Reason::ProviderUnreachable)
        }
        ProviderError::GrantEnded { .. } => {
            (ErrorCode::AccessDenied, "the identity provider did not accept the login", Reason::ProviderRefusedCode)
        }
        ProviderError::Refused => {
            (ErrorCode::ServerError, "the identity provider refused the gateway", Reason::ProviderRefusedRequest)
        }
        ProviderError::NoCommonAuthentication => (
            ErrorCode::ServerError,
            "the identity provider takes neither client_secret_basic nor client_secret_post",
            Reason::ProviderClientAuthentication,
        ),
        ProviderError::Misconfigured(_) => {
            (ErrorCode::ServerError, "the identity provider refused the gateway", Reason::ProviderMisconfigured)
        }
        ProviderError::NotUnderstood(_) => {
            (ErrorCode::ServerError, "the identity provider's answer is not valid", Reason::ProviderNotUnderstood)
        }
    };
    refuse(config, asked, code, description, reason)
}

/// A redirect to the client. `iss` and `state` are always ours to add; what the registered URI's
/// query says of them is dropped.
#[must_use]
pub fn redirect(config: &Config, redirect_uri: &str, state: Option<&str>, parameters: &[(&str, &str)]) -> Response {
    let mut query = parameters.to_vec();
    query.extend(state.map(|state| ("state", state)));
    query.push(("iss", &config.issuer.url));
    private(Response::see_other(&params::append_query(redirect_uri, &query)))
}

/// A page for a person, where nothing may be redirected.
#[must_use]
pub fn error_page(config: &Config, status: u16, heading: &str, message: &str, hint: &str, reason: Reason) -> Resolved {
    let page = ErrorPage { title: &config.consent.title, heading, message, hint };
    Resolved::Respond(page.response(status), Audit::new(reason))
}

/// Returns the page for a person when something failed that the login needs.
#[must_use]
pub fn unavailable_page(config: &Config, error: DependencyError) -> Resolved {
    let page = ErrorPage {
        title: &config.consent.title,
        heading: "Not available at the moment",
        message: "The login service cannot answer right now.",
        hint: "Wait a moment, then start again from your application.",
    };
    let response = page.response(503).header("retry-after", "2");
    Resolved::Respond(response, Audit::new(error.reason()))
}

/// An answer whose URL holds something secret: kept by no cache and passed on to no other site (RFC
/// 9700 §4.2.4).
pub(super) fn private(response: Response) -> Response {
    uncached(response).header("referrer-policy", "no-referrer")
}
