//! Why a token request is refused.

use portcullis_protocol::oauth::error::{ErrorCode, OAuthError};
use portcullis_protocol::oauth::form::FormError;
use portcullis_protocol::oauth::params::Repetition;
use portcullis_protocol::oauth::token::TokenRequestError;
use thiserror::Error;

use crate::audit::Reason;
use crate::clients::authenticate::ClientAuthenticationError;
use crate::error::DependencyError;
use crate::sessions::state::RedeemError;
use crate::sessions::stored::NoSession;

/// Why the token endpoint issues no tokens.
#[derive(Debug, Error)]
pub(super) enum TokenError {
    #[error("the body is larger than 16 KiB")]
    BodyTooLarge,
    #[error(transparent)]
    Request(#[from] TokenRequestError),
    #[error(transparent)]
    Client(#[from] ClientAuthenticationError),
    #[error("the code is not one of this server")]
    CodeForged,
    #[error("the code has no session: {0:?}")]
    CodeWithoutSession(NoSession),
    /// The session's rules refuse the code, and the session was ended.
    #[error("the code is refused: {0:?}")]
    Code(RedeemError),
    #[error("the refresh token is not one of this server")]
    RefreshTokenForged,
    #[error("the refresh token was used before")]
    RefreshTokenReplayed,
    #[error("the refresh token has no session: {0:?}")]
    RefreshWithoutSession(NoSession),
    /// The session's record is older than the refresh token.
    #[error("the session was rolled back")]
    SessionRolledBack,
    #[error("the login at the identity provider has ended")]
    UpstreamEnded,
    #[error("the user may not log in any more")]
    UserNotAllowed,
    #[error("this client has no refresh tokens")]
    NotRefreshable,
    #[error("the refresh token belongs to another client")]
    OtherClient,
    #[error("the login was for another resource")]
    OtherResource,
    #[error("a scope was not granted at login")]
    WiderScope,
    #[error(transparent)]
    Dependency(#[from] DependencyError),
}

impl TokenError {
    /// Returns what the client is answered, and the reason in the audit trail.
    pub(super) fn reply(&self) -> (OAuthError, Reason) {
        use ErrorCode::{InvalidClient, InvalidGrant, InvalidRequest, InvalidScope, InvalidTarget};
        let (code, description, reason) = match self {
            Self::BodyTooLarge => {
                let error = OAuthError::new(InvalidRequest, "the body is larger than 16 KiB").with_status(413);
                return (error, Reason::BodyTooLarge);
            }
            Self::Request(error) => {
                return ((*error).into(), reason_of_request(*error));
            }
            Self::Dependency(error) | Self::Client(ClientAuthenticationError::Dependency(error)) => {
                return error.reply();
            }
            Self::Client(ClientAuthenticationError::Unnamed) => {
                (InvalidRequest, "client_id is missing", Reason::TokenRequestLacksParameter)
            }
            Self::Client(ClientAuthenticationError::Ambiguous) => {
                (InvalidRequest, "the request names more than one client", Reason::TokenRequestSeveralClients)
            }
            Self::Client(ClientAuthenticationError::UnexpectedCredentials) => {
                (InvalidClient, "this client is public: it must not authenticate", Reason::ClientAuthenticated)
            }
            Self::Client(ClientAuthenticationError::Unknown) => {
                (InvalidClient, "the client is not known here, or was deleted; register again", Reason::UnknownClient)
            }
            Self::Client(ClientAuthenticationError::DocumentNotAccepted) => (
                InvalidClient,
                "clients with this URL as their id are not accepted here",
                Reason::ClientDocumentNotAccepted,
            ),
            Self::CodeForged => (InvalidGrant, "the code is not one of this server", Reason::CodeForged),
            Self::CodeWithoutSession(NoSession::Ended) => (InvalidGrant, CODE_IS_OVER, Reason::CodeWithoutSession),
            Self::CodeWithoutSession(NoSession::Unreadable) => {
                (InvalidGrant, CODE_IS_OVER, Reason::CodeSessionUnreadable)
            }
            Self::Code(RedeemError::Expired) => (InvalidGrant, CODE_IS_OVER, Reason::CodeExpired),
            Self::Code(RedeemError::Replayed) => (
                InvalidGrant,
                "the code was used before; everything issued from it has been revoked",
                Reason::CodeReplayed,
            ),
            Self::Code(RedeemError::OtherClient) => {
                (InvalidGrant, "the code belongs to another client", Reason::CodeOtherClient)
            }
            Self::Code(RedeemError::OtherRedirect) => (
                InvalidGrant,
                "the redirect_uri is not the one of the authorization request",
                Reason::CodeOtherRedirect,
            ),
            Self::Code(RedeemError::WrongVerifier) => {
                (InvalidGrant, "the code_verifier does not meet the code_challenge", Reason::CodeWrongVerifier)
            }
            Self::Code(RedeemError::OtherResource) => {
                (InvalidTarget, "the resource is not the one of the authorization request", Reason::CodeOtherResource)
            }
            Self::RefreshTokenForged => {
                (InvalidGrant, "the refresh token is not one of this server", Reason::RefreshTokenForged)
            }
            Self::RefreshTokenReplayed => (
                InvalidGrant,
                "the refresh token was used before; the login has been ended",
                Reason::RefreshTokenReplayed,
            ),
            Self::RefreshWithoutSession(NoSession::Ended) => {
                (InvalidGrant, LOGIN_HAS_ENDED, Reason::RefreshSessionEnded)
            }
            Self::RefreshWithoutSession(NoSession::Unreadable) => {
                (InvalidGrant, LOGIN_HAS_ENDED, Reason::RefreshSessionUnreadable)
            }
            Self::SessionRolledBack => (InvalidGrant, LOGIN_HAS_ENDED, Reason::RefreshSessionRolledBack),
            Self::UpstreamEnded => {
                (InvalidGrant, "the login at the identity provider has ended", Reason::RefreshUpstreamEnded)
            }
            Self::UserNotAllowed => {
                (InvalidGrant, "this user may not log in here any more", Reason::RefreshUserNotAllowed)
            }
            Self::NotRefreshable => (InvalidGrant, "this client has no refresh tokens", Reason::RefreshNotGranted),
            Self::OtherClient => {
                (InvalidGrant, "the refresh token belongs to another client", Reason::RefreshOtherClient)
            }
            Self::OtherResource => (InvalidTarget, "the login was for another resource", Reason::RefreshOtherResource),
            Self::WiderScope => (InvalidScope, "a scope was not granted at login", Reason::RefreshWiderScope),
        };
        (OAuthError::new(code, description), reason)
    }
}

fn reason_of_request(error: TokenRequestError) -> Reason {
    match error {
        TokenRequestError::Form(FormError::ContentType) => Reason::TokenRequestContentType,
        TokenRequestError::Form(FormError::QueryParameters) => Reason::TokenRequestInUrl,
        TokenRequestError::Form(FormError::Body(_)) => Reason::MalformedTokenRequest,
        TokenRequestError::Form(FormError::Repeated(Repetition::Other)) => Reason::TokenRequestRepeatedParameter,
        TokenRequestError::Form(FormError::Repeated(Repetition::Resource)) => Reason::TokenRequestRepeatedResource,
        TokenRequestError::Missing(_) => Reason::TokenRequestLacksParameter,
        TokenRequestError::UnsupportedGrantType => Reason::UnsupportedGrantType,
        TokenRequestError::Verifier => Reason::TokenRequestVerifier,
        TokenRequestError::Scope(_) => Reason::TokenRequestScope,
        TokenRequestError::Resource(_) => Reason::TokenRequestResource,
    }
}

/// The description of a code or a login that a client cannot use: the cause is the operator's
/// matter.
const CODE_IS_OVER: &str = "the code has expired or was used before";
const LOGIN_HAS_ENDED: &str = "the login has ended";
