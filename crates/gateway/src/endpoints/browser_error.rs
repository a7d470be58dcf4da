//! The answers with an error of the endpoints that a browser visits: a page, or a redirect to the
//! client.

use portcullis_protocol::http::message::Response;
use portcullis_protocol::oauth::error::ErrorCode;
use portcullis_protocol::oauth::params;
use portcullis_protocol::oauth::redirect::CheckedRedirectUri;

use crate::audit::{Audit, Reason};
use crate::browser::pending_login::Authorization;
use crate::config::Config;
use crate::decision::Resolved;
use crate::endpoints::pages::{ErrorPage, ReturnPage};
use crate::error::DependencyError;
use crate::responses::uncached;
use crate::upstream::provider_error::{Outage, ProviderError};

/// Where a client gets its answer: a redirect URI that was proven to be its own, and its state.
#[derive(Clone, Copy)]
pub struct ReturnAddress<'a> {
    /// The redirect URI.
    pub redirect_uri: &'a str,
    /// The client's state, returned as it came.
    pub state: Option<&'a str>,
}

impl<'a> From<&'a Authorization> for ReturnAddress<'a> {
    fn from(request: &'a Authorization) -> Self {
        Self { redirect_uri: &request.redirect_uri, state: request.state.as_deref() }
    }
}

/// Redirects an error to the client (RFC 6749 §4.1.2.1, RFC 9207 §2).
#[must_use]
pub fn error_redirect(
    config: &Config,
    to: ReturnAddress<'_>,
    code: ErrorCode,
    description: &str,
    audit: Audit,
) -> Resolved {
    let parameters = [("error", code.as_str()), ("error_description", description)];
    Resolved::Respond(redirect(config, to, &parameters), audit)
}

/// Answers an error of a request that no user was asked about yet.
///
/// Anyone can register a client whose redirect URI is a site of theirs, and link to a request that
/// fails: a redirect at once would make this an open redirector (RFC 9700 §4.11.2). So a web site
/// gets the error by a link that the user may follow. A program on the user's machine, which waits
/// for it, gets it at once: no page can be behind its redirect URI.
#[must_use]
pub fn error_before_consent(
    config: &Config,
    redirect_uri: &CheckedRedirectUri,
    state: Option<&str>,
    code: ErrorCode,
    description: &str,
    audit: Audit,
) -> Resolved {
    let to = ReturnAddress { redirect_uri: redirect_uri.as_str(), state };
    if !redirect_uri.is_web_site() {
        return error_redirect(config, to, code, description, audit);
    }
    let parameters = [("error", code.as_str()), ("error_description", description)];
    let page = ReturnPage {
        title: &config.consent.title,
        description,
        host: redirect_uri.host_for_display(),
        link: &answer_url(config, to, &parameters),
    };
    Resolved::Respond(page.response(400), audit)
}

/// Redirects to the client what kept the provider from logging the user in. The operator reads more
/// in the log.
#[must_use]
pub fn provider_failed(config: &Config, asked: &Authorization, error: &ProviderError) -> Resolved {
    let (code, description) = match error {
        ProviderError::Unreachable(
            Outage::NoConnection | Outage::Timeout | Outage::Busy | Outage::Status(408 | 425 | 429 | 500..),
        ) => (ErrorCode::TemporarilyUnavailable, "the identity provider cannot be reached"),
        // Waiting does not help.
        ProviderError::Unreachable(Outage::NoCluster | Outage::Tls | Outage::Status(_)) => {
            (ErrorCode::ServerError, "the gateway is not set up to reach the identity provider")
        }
        ProviderError::GrantEnded { .. } => (ErrorCode::AccessDenied, "the identity provider did not accept the login"),
        ProviderError::Refused | ProviderError::ClientRefused => {
            (ErrorCode::ServerError, "the identity provider refused the gateway")
        }
        ProviderError::NoCommonAuthentication => {
            (ErrorCode::ServerError, "the identity provider takes no client authentication that the gateway has")
        }
        ProviderError::NoAssertion | ProviderError::EndpointWithoutCluster(_) | ProviderError::WrongIssuer(_) => {
            (ErrorCode::ServerError, "the gateway is not set up for the identity provider")
        }
        ProviderError::OtherTenant => (
            ErrorCode::AccessDenied,
            "users of this account's organization may not log in here: log in with another account, or ask the operator \
             of this service",
        ),
        ProviderError::NotJson(_)
        | ProviderError::InvalidDocuments(_)
        | ProviderError::InvalidAnswer(_)
        | ProviderError::OtherLogin
        | ProviderError::InvalidIdToken(_)
        | ProviderError::InvalidUserInfo(_) => (ErrorCode::ServerError, "the identity provider's answer is not valid"),
    };
    error_redirect(config, asked.into(), code, description, asked.audited().decided(error.reason()))
}

/// A redirect to the client.
#[must_use]
pub fn redirect(config: &Config, to: ReturnAddress<'_>, parameters: &[(&str, &str)]) -> Response {
    private(Response::see_other(&answer_url(config, to, parameters)))
}

/// Returns the URL of an answer to the client. `iss` and `state` are always ours to add; what the
/// registered URI's query says of them is dropped.
fn answer_url(config: &Config, to: ReturnAddress<'_>, parameters: &[(&str, &str)]) -> String {
    let mut query = parameters.to_vec();
    query.extend(to.state.map(|state| ("state", state)));
    query.push(("iss", &config.issuer.url));
    params::append_query(to.redirect_uri, &query)
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
