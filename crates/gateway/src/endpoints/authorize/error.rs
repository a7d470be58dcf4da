//! Why an authorization request is refused.

use portcullis_protocol::oauth::authorize::{AuthorizeError as ParameterError, ClientReferenceError};
use portcullis_protocol::oauth::error::ErrorCode;
use portcullis_protocol::oauth::params::ParamsError;
use portcullis_protocol::oauth::redirect::CheckedRedirectUri;
use thiserror::Error;

use crate::audit::{AuditFields, Reason};
use crate::clients::resolve::ResolveError;
use crate::config::Config;
use crate::decision::Resolved;
use crate::endpoints::browser_error::{error_before_consent, error_page, unavailable_page};
use crate::endpoints::client_refused::{self, HEADING, HINT};
use crate::error::DependencyError;

/// Why no login starts. Until client and redirect URI are proven, an error stays here: redirecting
/// it would make this an open redirector (RFC 9700 §4.11).
#[derive(Debug, Error)]
pub(super) enum AuthorizeError {
    #[error("the query cannot be read")]
    Query(#[from] ParamsError),
    #[error(transparent)]
    Reference(#[from] ClientReferenceError),
    #[error(transparent)]
    Client(#[from] ResolveError),
    #[error("the redirect URI is not one that the client registered")]
    WrongRedirectUri,
    /// The redirect URI is proven, so the error goes to the client.
    #[error("{cause}")]
    Request {
        cause: RequestError,
        redirect_uri: CheckedRedirectUri,
        state: Option<String>,
        /// The client, for the audit trail.
        known: AuditFields,
    },
    #[error(transparent)]
    Dependency(#[from] DependencyError),
}

/// What is wrong with the request of a proven client.
#[derive(Debug, Clone, Copy, Error)]
pub(super) enum RequestError {
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    #[error("the resource parameter must name a resource of this server")]
    UnknownResource,
    #[error("the resource parameter must name one of this server's resources")]
    NoResource,
    #[error("a requested scope is not supported")]
    UnsupportedScope,
    /// The login's cookie has no room for them.
    #[error("state and redirect_uri are too long for a login")]
    TooLong,
}

impl AuthorizeError {
    /// Returns the answer: a page, or a redirect to the client.
    pub(super) fn reply(&self, config: &Config) -> Resolved {
        let page = |message: &str, reason| error_page(config, 400, HEADING, message, HINT, reason);
        match self {
            Self::Query(_) => page("The request cannot be read.", Reason::MalformedRequest),
            Self::Reference(error) => {
                page("The request names no client, or names it twice.", reason_of_reference(*error))
            }
            Self::Client(error) => client_refused::page(config, error),
            Self::WrongRedirectUri => page(
                "The application asked to be answered at an address that it has not registered.",
                Reason::WrongRedirectUri,
            ),
            Self::Request { cause, redirect_uri, state, known } => {
                let (description, audit) = (cause.to_string(), known.clone().decided(cause.reason()));
                error_before_consent(config, redirect_uri, state.as_deref(), cause.code(), &description, audit)
            }
            Self::Dependency(error) => unavailable_page(config, *error),
        }
    }
}

impl RequestError {
    fn code(self) -> ErrorCode {
        match self {
            Self::Parameter(error) => error.code(),
            Self::UnknownResource | Self::NoResource => ErrorCode::InvalidTarget,
            Self::UnsupportedScope => ErrorCode::InvalidScope,
            Self::TooLong => ErrorCode::InvalidRequest,
        }
    }

    fn reason(self) -> Reason {
        match self {
            Self::Parameter(error) => reason_of_parameter(error),
            Self::UnknownResource => Reason::InvalidTarget,
            Self::NoResource => Reason::NoResourceNamed,
            Self::UnsupportedScope => Reason::InvalidScope,
            Self::TooLong => Reason::AuthorizationTooLong,
        }
    }
}

fn reason_of_reference(error: ClientReferenceError) -> Reason {
    match error {
        ClientReferenceError::MissingClientId => Reason::NoClientNamed,
        ClientReferenceError::RepeatedClientId => Reason::RepeatedClientId,
        ClientReferenceError::RepeatedRedirectUri => Reason::RepeatedRedirectUri,
    }
}

fn reason_of_parameter(error: ParameterError) -> Reason {
    match error {
        ParameterError::Repeated => Reason::RepeatedParameter,
        ParameterError::RepeatedResource => Reason::RepeatedResource,
        ParameterError::RequestObject => Reason::RequestObject,
        ParameterError::RequestUri => Reason::RequestUri,
        ParameterError::ResponseType => Reason::UnsupportedResponseType,
        ParameterError::ResponseMode => Reason::UnsupportedResponseMode,
        ParameterError::State => Reason::MalformedState,
        ParameterError::Pkce(_) => Reason::InvalidCodeChallenge,
        ParameterError::Scope(_) => Reason::MalformedScope,
        ParameterError::Resource(_) => Reason::MalformedResource,
        ParameterError::ContradictoryPrompt => Reason::ContradictoryPrompt,
        ParameterError::PromptNone => Reason::PromptNone,
    }
}
