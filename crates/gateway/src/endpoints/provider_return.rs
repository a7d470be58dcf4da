//! The part of a provider's answer that does not depend on what the browser was sent there for: a
//! client's login, or a visit of the page of connections.

use portcullis_protocol::oauth::params::Params;
use portcullis_storage_api::{Bucket, Kind, Taken, Ttl};
use thiserror::Error;

use crate::audit::{Audit, Reason};
use crate::browser::cookies;
use crate::browser::pending_login::{Seed, USED_LIFE, UsedLogin};
use crate::config::{Config, Provider};
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::endpoints::client_address::client_address;
use crate::endpoints::pages::ErrorPage;
use crate::error::DependencyError;
use crate::ports::{Ports, Store};
use crate::store::records;
use crate::upstream::identity::{Identity, TokenReply};
use crate::upstream::provider_error::ProviderError;
use crate::upstream::providers;

/// Why a browser's return is not looked at.
#[derive(Debug, Error)]
pub(super) enum ReturnError {
    #[error("the login took too long")]
    Expired,
    #[error("too many logins")]
    TooMany {
        /// In how many seconds the limit allows another.
        retry_after: u32,
    },
    #[error("the login was used before")]
    Reused,
    #[error(transparent)]
    Dependency(#[from] DependencyError),
}

/// Why a provider's answer names no user.
#[derive(Debug, Error)]
pub(super) enum AnswerError {
    /// RFC 9207 §2.4: an answer that names another issuer is another provider's.
    #[error("the answer names another issuer")]
    OtherIssuer,
    /// The provider's `error`, which the browser brings: anyone could have written it.
    #[error("the provider answered an error")]
    Answered(AuthorizationAnswer),
    #[error("there is neither a code nor an error")]
    NoCode,
    #[error("the provider did not log the user in")]
    Provider(ProviderError),
}

/// An `error` of the provider's authorization endpoint (RFC 6749 §4.1.2.1, OIDC Core §3.1.2.6,
/// OpenID Connect Core Error Code unmet_authentication_requirements), by what it says to us. Its
/// own text is not passed on (RFC 6749 §10.14).
#[derive(Debug, Clone, Copy)]
pub(super) enum AuthorizationAnswer {
    Denied,
    Unavailable,
    ServerError,
    /// It refuses the gateway's request as such.
    RequestRefused,
    /// The user has something to do there, which it did not ask for.
    NeedsUser,
    Unknown,
}

/// Checks that a login or visit, which the browser carries, has not expired, and that its address
/// may go on with one.
///
/// A login is free to start, so what it costs from here on (a record, a call to the provider) is
/// limited by address.
pub(super) async fn admit<P: Ports>(context: &RequestContext<'_, P>, expires_at: u64) -> Result<(), ReturnError> {
    let config = context.config();
    if context.now() >= expires_at {
        return Err(ReturnError::Expired);
    }
    let address = client_address(context.request, config.trusted_proxies);
    let bucket = records::key(Kind::RateLimit, &[b"login", b"address", address.as_bytes()]);
    let limit = Bucket { capacity: config.logins_per_minute, period_seconds: 60 };
    match context.ports.store().take_token(&bucket, limit).await.map_err(DependencyError::from)? {
        Taken::Granted => Ok(()),
        Taken::Empty { retry_after } => Err(ReturnError::TooMany { retry_after }),
    }
}

/// Uses up the login or visit with this `state`: of all requests for it only the first goes on.
pub(super) async fn use_up<P: Ports>(context: &RequestContext<'_, P>, state: &str) -> Result<(), ReturnError> {
    let key = records::key(Kind::Pending, &[state.as_bytes()]);
    let is_first = context.records().create(&key, &UsedLogin, Ttl::Seconds(USED_LIFE)).await?;
    if is_first { Ok(()) } else { Err(ReturnError::Reused) }
}

/// Returns the answer with which the browser stops carrying what this state names.
pub(super) fn end_in_browser<P: Ports>(context: &RequestContext<'_, P>, state: &str, resolved: Resolved) -> Resolved {
    match resolved {
        Resolved::Respond(response, audit) => {
            let ended = cookies::end_login(context.request, &context.config().issuer, state);
            let response = ended.iter().fold(response, |response, cookie| response.header("set-cookie", cookie));
            Resolved::Respond(response, audit)
        }
        forward @ Resolved::Continue(_) => forward,
    }
}

/// Returns who logged in, with the provider's tokens.
pub(super) async fn logged_in<P: Ports>(
    context: &RequestContext<'_, P>,
    params: &Params,
    seed: &Seed,
    provider: &Provider,
) -> Result<(TokenReply, Identity), AnswerError> {
    let parameter = |name: &str| params.one(name).ok().flatten();
    if parameter("iss").zip(provider.issuer()).is_some_and(|(iss, issuer)| iss != issuer) {
        return Err(AnswerError::OtherIssuer);
    }
    if let Some(error) = parameter("error") {
        return Err(AnswerError::Answered(AuthorizationAnswer::of(error)));
    }
    let code = parameter("code").ok_or(AnswerError::NoCode)?;
    providers::log_in(context.gateway, provider, seed, code, context.ports).await.map_err(AnswerError::Provider)
}

/// Nothing is used up yet: the same address of the callback works as soon as the limit allows.
pub(super) fn too_many(config: &Config, retry_after: u32) -> Resolved {
    let page = ErrorPage {
        title: &config.consent.title,
        heading: "Too many logins at the moment",
        message: "More logins came from your network than are allowed at once.",
        hint: "Wait a moment, then reload this page.",
    };
    let response = page.response(429).header("retry-after", &retry_after.to_string());
    Resolved::Respond(response, Audit::new(Reason::LoginRate))
}

impl AuthorizationAnswer {
    /// Returns the reason in the audit trail.
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::Denied => Reason::ProviderDenied,
            Self::Unavailable => Reason::ProviderUnavailable,
            Self::ServerError => Reason::ProviderFailure,
            Self::RequestRefused => Reason::ProviderRefusedAuthorization,
            Self::NeedsUser => Reason::ProviderNeedsUser,
            Self::Unknown => Reason::ProviderUnknownRefusal,
        }
    }

    fn of(error: &str) -> Self {
        match error {
            "access_denied" => Self::Denied,
            "temporarily_unavailable" => Self::Unavailable,
            "server_error" => Self::ServerError,
            "invalid_request" | "invalid_scope" | "unauthorized_client" | "unsupported_response_type" => {
                Self::RequestRefused
            }
            "interaction_required"
            | "login_required"
            | "account_selection_required"
            | "consent_required"
            | "unmet_authentication_requirements" => Self::NeedsUser,
            _ => Self::Unknown,
        }
    }
}
