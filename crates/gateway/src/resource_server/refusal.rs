//! Why a call is refused, and the answer that says so.

use portcullis_protocol::http::message::Response;
use portcullis_protocol::jose::claims::{ClaimError, SignatureError};
use portcullis_protocol::jose::foreign::ForeignTokenError;
use portcullis_protocol::jose::jws::JwsError;
use portcullis_protocol::oauth::challenge::Challenge;
use portcullis_protocol::oauth::error::{ErrorCode, OAuthError};
use thiserror::Error;

use crate::audit::{AuditFields, AuditOutcome, Reason};
use crate::config::Resource;
use crate::decision::Resolved;
use crate::error::DependencyError;
use crate::responses::{Cors, cors, temporary, uncached};

/// Why a call is refused.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    /// The challenge says where to get a token.
    #[error("an access token is required")]
    NoToken,
    #[error("an access token must not be in the URL")]
    TokenInUrl,
    /// The header is not one that RFC 6750 allows.
    #[error("the Authorization header must be one bearer token")]
    MalformedCredentials,
    #[error(transparent)]
    Malformed(#[from] JwsError),
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error(transparent)]
    Claims(#[from] ClaimError),
    /// Of a token that another issuer may have made.
    #[error(transparent)]
    Foreign(#[from] ForeignTokenError),
    #[error("the issuer of the token is not trusted")]
    UntrustedIssuer,
    #[error("the issuer of the token is not trusted for this resource")]
    IssuerNotOfResource,
    #[error("the subject of the token is not allowed here")]
    SubjectNotAllowed,
    #[error("the keys of the issuer could not be fetched")]
    IssuerKeysUnavailable,
    #[error("the keys of the issuer are too old")]
    IssuerKeysExpired,
    #[error("the session of this token has ended")]
    SessionEnded,
    /// Its record does not open: it was sealed under a secret that is gone, or was changed or
    /// moved.
    #[error("the record of this token's session cannot be opened")]
    SessionUnreadable,
    /// The session's code is not redeemed, which it was when the token was issued.
    #[error("the session of this token was rolled back")]
    SessionRolledBack,
    /// The token has another user, client or resource than its session: its key signed it, and not
    /// this gateway.
    #[error("the token is not of its session")]
    SessionOfAnother,
    #[error("the token lacks a scope that is needed here")]
    InsufficientScope,
    /// The session behind the token has no upstream token any more.
    #[error("the login at the identity provider has ended")]
    LoginRequired,
    /// A login need not bring a token of the provider, and the user has not connected it.
    #[error("{description}")]
    NotConnected {
        /// Which provider it is, and where it is connected.
        description: String,
    },
    /// The authorization server of the backend does not exchange the user's token.
    #[error("the user's token is not exchanged for one of the backend's")]
    ExchangeRefused,
    /// The same, and the next login connects it.
    #[error("{description}")]
    ConnectionLoginRequired {
        /// As above.
        description: String,
    },
    /// The provider ended what the user had connected while the call waited for it.
    #[error("what the user had connected has ended")]
    ConnectionEnded,
    /// The provider did not renew the upstream token in time.
    #[error("the identity provider did not renew the login in time")]
    UpstreamUnavailable,
    #[error(transparent)]
    Dependency(#[from] DependencyError),
}

impl Refusal {
    /// Returns what the client is answered, and the reason in the audit trail. Without a code the
    /// challenge names no error (RFC 6750 §3.1).
    fn reply(&self) -> (Option<ErrorCode>, &str, Reason) {
        const INVALID: Option<ErrorCode> = Some(ErrorCode::InvalidToken);
        const LATER: Option<ErrorCode> = Some(ErrorCode::TemporarilyUnavailable);
        match self {
            Self::NoToken => (None, "an access token is required", Reason::NoToken),
            Self::TokenInUrl => {
                (Some(ErrorCode::InvalidRequest), "an access token must not be in the URL", Reason::TokenInUrl)
            }
            Self::MalformedCredentials => (
                Some(ErrorCode::InvalidRequest),
                "the Authorization header must be one bearer token",
                Reason::MalformedCredentials,
            ),
            Self::Malformed(error) => (INVALID, error.public_reason(), of_form(*error)),
            Self::Signature(error) => (INVALID, error.public_reason(), of_signature(*error)),
            Self::Claims(error) => (INVALID, error.public_reason(), of_claims(*error)),
            Self::Foreign(error) => (INVALID, error.public_reason(), of_foreign(*error)),
            Self::UntrustedIssuer => (INVALID, "the token issuer is not accepted", Reason::TokenUntrustedIssuer),
            Self::IssuerNotOfResource => {
                (INVALID, "the token issuer is not accepted for this resource", Reason::TokenIssuerNotOfResource)
            }
            Self::SubjectNotAllowed => (
                Some(ErrorCode::AccessDenied),
                "the subject of the token is not allowed here",
                Reason::TokenSubjectNotAllowed,
            ),
            Self::IssuerKeysUnavailable => (LATER, ISSUER_UNREACHABLE, Reason::IssuerKeysUnavailable),
            Self::IssuerKeysExpired => (LATER, ISSUER_UNREACHABLE, Reason::IssuerKeysExpired),
            Self::SessionEnded => (INVALID, SESSION_ENDED, Reason::SessionEnded),
            Self::SessionUnreadable => (INVALID, SESSION_ENDED, Reason::SessionUnreadable),
            Self::SessionRolledBack => (INVALID, SESSION_ENDED, Reason::SessionRolledBack),
            Self::SessionOfAnother => (INVALID, SESSION_ENDED, Reason::SessionOfAnother),
            Self::InsufficientScope => (
                Some(ErrorCode::InsufficientScope),
                "the token lacks a scope that is needed here",
                Reason::InsufficientScope,
            ),
            Self::LoginRequired => (
                INVALID,
                "the login at the identity provider has ended; authorize again",
                Reason::UpstreamLoginRequired,
            ),
            Self::NotConnected { description } => {
                (Some(ErrorCode::AccessDenied), description, Reason::UpstreamNotConnected)
            }
            Self::ExchangeRefused => (
                Some(ErrorCode::AccessDenied),
                "the service behind this resource does not accept this user",
                Reason::ExchangeRefused,
            ),
            Self::ConnectionLoginRequired { description } => (INVALID, description, Reason::ConnectionLoginRequired),
            Self::ConnectionEnded => {
                (LATER, "what the user had connected has ended; try again", Reason::ConnectionEnded)
            }
            Self::UpstreamUnavailable => {
                (LATER, "the identity provider did not renew the login in time; try again", Reason::UpstreamUnavailable)
            }
            Self::Dependency(error) => (LATER, "the gateway cannot answer at the moment; try again", error.reason()),
        }
    }

    /// Returns the answer, with a challenge wherever a token would help (RFC 6750 §3, RFC 9728
    /// §5.1). `known` is what is known about who asked, and for which resource.
    pub(super) fn respond(&self, resource: Option<&Resource>, known: AuditFields) -> Resolved {
        let (code, description, reason) = self.reply();
        let error = OAuthError::new(code.unwrap_or(ErrorCode::InvalidRequest), description.to_owned());
        let audit = known.decided(reason);
        if reason.outcome() == AuditOutcome::Fail {
            return Resolved::Respond(temporary(&error), audit);
        }
        let status = match code {
            None | Some(ErrorCode::InvalidToken) => 401,
            Some(ErrorCode::InsufficientScope | ErrorCode::AccessDenied) => 403,
            Some(_) => 400,
        };
        let helps = code != Some(ErrorCode::AccessDenied);
        let challenge = resource.filter(|_| helps).map(|resource| Challenge {
            resource_metadata: &resource.metadata_url,
            scope: &resource.scopes,
            error: code,
            description: code.map(|_| description),
        });
        let mut response = uncached(Response::json(status, error.to_json()));
        if let Some(challenge) = challenge {
            response = response.header("www-authenticate", &challenge.to_string());
        }
        Resolved::Respond(cors(response, Cors::ReadMcp), audit)
    }
}

fn of_form(error: JwsError) -> Reason {
    match error {
        JwsError::TooLong | JwsError::NotCompact | JwsError::NotBase64url => Reason::TokenMalformed,
        JwsError::Header(_) | JwsError::MissingAlg | JwsError::MalformedMember(_) => Reason::TokenMalformedHeader,
        JwsError::UnsupportedAlg => Reason::TokenUnsupportedAlgorithm,
        JwsError::RefusedMember(_) => Reason::TokenForbiddenHeader,
    }
}

fn of_signature(error: SignatureError) -> Reason {
    match error {
        SignatureError::UnknownKey => Reason::TokenUnknownKey,
        SignatureError::BadSignature => Reason::TokenBadSignature,
        SignatureError::NotClaims(_) => Reason::TokenNotClaims,
    }
}

fn of_foreign(error: ForeignTokenError) -> Reason {
    match error {
        ForeignTokenError::TooLong
        | ForeignTokenError::NotCompact
        | ForeignTokenError::Encrypted
        | ForeignTokenError::NotBase64url => Reason::TokenMalformed,
        ForeignTokenError::Header(_)
        | ForeignTokenError::Missing("alg")
        | ForeignTokenError::Malformed("alg" | "kid") => Reason::TokenMalformedHeader,
        ForeignTokenError::Unsigned
        | ForeignTokenError::SharedSecret
        | ForeignTokenError::UnsupportedAlg
        | ForeignTokenError::UnverifiedAlg(_) => Reason::TokenUnsupportedAlgorithm,
        ForeignTokenError::AlgNotAllowed => Reason::TokenAlgorithmNotAllowed,
        ForeignTokenError::Critical => Reason::TokenForbiddenHeader,
        ForeignTokenError::WrongType => Reason::TokenForeignType,
        ForeignTokenError::UnknownKey => Reason::TokenUnknownIssuerKey,
        ForeignTokenError::BadSignature => Reason::TokenBadSignature,
        ForeignTokenError::Claims(_) => Reason::TokenNotClaims,
        ForeignTokenError::WrongAudience => Reason::TokenForeignAudience,
        ForeignTokenError::Expired => Reason::TokenExpired,
        ForeignTokenError::IssuedLater | ForeignTokenError::NotYetValid => Reason::TokenNotYetValid,
        ForeignTokenError::Missing(_) => Reason::TokenLacksClaim,
        ForeignTokenError::Malformed(_) => Reason::TokenMalformedClaim,
        // `iss` has chosen the issuer, and the others are about ID tokens.
        ForeignTokenError::WrongIssuer
        | ForeignTokenError::WrongSubject
        | ForeignTokenError::WrongParty
        | ForeignTokenError::WrongNonce => Reason::Internal,
    }
}

fn of_claims(error: ClaimError) -> Reason {
    match error {
        ClaimError::Expired => Reason::TokenExpired,
        ClaimError::NotYetValid => Reason::TokenNotYetValid,
        ClaimError::WrongIssuer => Reason::TokenWrongIssuer,
        ClaimError::WrongAudience => Reason::TokenWrongAudience,
        ClaimError::WrongType => Reason::TokenWrongType,
        ClaimError::Missing(_) => Reason::TokenLacksClaim,
        ClaimError::Malformed(_) => Reason::TokenMalformedClaim,
    }
}

/// The description of a session that a client cannot use: the cause is the operator's matter.
const SESSION_ENDED: &str = "the session of this token has ended";
const ISSUER_UNREACHABLE: &str = "the keys of the token's issuer cannot be fetched; try again";
