//! Why the identity provider gave nothing that can be used.

use thiserror::Error;

use crate::audit::Reason;
use crate::ports::ProviderFailure;

/// Why the provider gave nothing that can be used. The texts are for the operator's log: no value
/// of a request or an answer is in them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProviderError {
    /// It cannot be reached, is overloaded or failed.
    #[error(transparent)]
    Unreachable(#[from] Outage),
    /// It will not honour this code or refresh token any more.
    #[error("the provider does not honour the user's code or refresh token")]
    GrantEnded {
        /// The `prompt` that a new login has to send, where the provider says so (`prompt`, OIDC
        /// Core §3.1.2.1).
        prompt: Option<&'static str>,
    },
    /// It refused the request as such, and will do so each time.
    #[error("the provider refuses the token request as such")]
    Refused,
    /// It refused us, not the user.
    #[error("the provider does not accept the gateway: check `clientId` and `clientSecret`")]
    ClientRefused,
    /// Its token endpoint takes no client authentication that there is a credential for (OIDC
    /// Discovery §3, `token_endpoint_auth_methods_supported`).
    #[error(
        "the provider lists no client authentication that there is a credential for: configure a `clientSecret` \
         (client_secret_basic, client_secret_post) or a `clientKey` (private_key_jwt), or set `clientAuthentication`"
    )]
    NoCommonAuthentication,
    /// The assertion by which the gateway proves itself could not be made.
    #[error("Envoy does not sign with the `clientKey`: make a new key, or use Envoy 1.40 or an Ed25519 key")]
    NoAssertion,
    /// Its documents or its configuration name an endpoint, the one of this name, that the gateway
    /// must not call.
    #[error("the provider's `{0}` is at a host without a cluster: add it to `clusters`")]
    EndpointWithoutCluster(&'static str),
    /// Its documents are another issuer's (OIDC Discovery §4.3).
    #[error("{0}")]
    WrongIssuer(&'static str),
    /// It answered something else than JSON, as a login page or a proxy does.
    #[error("{0}")]
    NotJson(&'static str),
    /// Its discovery document or keys cannot be used.
    #[error("{0}")]
    InvalidDocuments(&'static str),
    /// Its token endpoint answered something that no provider should.
    #[error("{0}")]
    InvalidAnswer(&'static str),
    /// Its ID token is of another login: the browser brought another login's code.
    #[error("the ID token's `nonce` is another one's: the code is of another login")]
    OtherLogin,
    /// The user is of a tenant whose users may not log in.
    #[error("the user's tenant is none of `allowedTenants`")]
    OtherTenant,
    /// Its ID token is refused.
    #[error("{0}")]
    InvalidIdToken(&'static str),
    /// It does not say who logged in.
    #[error("{0}")]
    InvalidUserInfo(&'static str),
}

/// Why a provider is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Outage {
    /// Envoy has no such cluster.
    #[error("Envoy has no cluster of the configured name")]
    NoCluster,
    /// Envoy does not trust the provider's certificate, or the TLS handshake fails otherwise.
    #[error("the TLS handshake failed: check `validation_context` and `sni` of the cluster")]
    Tls,
    /// There was no connection, or it broke.
    #[error("no connection: the host is unknown, refuses the port or broke off")]
    NoConnection,
    /// There was no answer in time.
    #[error("no answer in time")]
    Timeout,
    /// It answered with the status of an outage, or a document with any other than 200.
    #[error("it answered with status {0}")]
    Status(u16),
    /// It answered with an `error` that means "later", such as `temporarily_unavailable`.
    #[error("it answered that it is temporarily unavailable")]
    Busy,
}

impl ProviderError {
    /// Returns the reason in the audit trail and in the metrics.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unreachable(Outage::NoCluster) => Reason::ProviderWithoutCluster,
            Self::Unreachable(Outage::Tls) => Reason::ProviderTls,
            Self::Unreachable(Outage::NoConnection) => Reason::ProviderUnreachable,
            Self::Unreachable(Outage::Timeout) => Reason::ProviderTimeout,
            Self::Unreachable(Outage::Status(_)) => Reason::ProviderStatus,
            Self::Unreachable(Outage::Busy) => Reason::ProviderBusy,
            Self::GrantEnded { .. } => Reason::ProviderRefusedCode,
            Self::Refused => Reason::ProviderRefusedRequest,
            Self::ClientRefused => Reason::ProviderRefusedClient,
            Self::NoCommonAuthentication | Self::NoAssertion => Reason::ProviderClientAuthentication,
            Self::EndpointWithoutCluster(_) => Reason::ProviderEndpointWithoutCluster,
            Self::WrongIssuer(_) => Reason::ProviderWrongIssuer,
            Self::NotJson(_) => Reason::ProviderNotJson,
            Self::InvalidDocuments(_) => Reason::ProviderInvalidDocuments,
            Self::InvalidAnswer(_) => Reason::ProviderInvalidAnswer,
            Self::OtherLogin => Reason::CallbackOtherLogin,
            Self::OtherTenant => Reason::LoginOtherTenant,
            Self::InvalidIdToken(_) => Reason::ProviderInvalidIdToken,
            Self::InvalidUserInfo(_) => Reason::ProviderInvalidUserInfo,
        }
    }

    /// Returns the error as the operator reads it, of a call to this provider at this URL.
    pub(super) fn failure<'a>(&'a self, provider: &'a str, url: &'a str) -> ProviderFailure<'a> {
        ProviderFailure { provider, url, reason: self.reason(), cause: self, is_down: self.is_down() }
    }

    /// Returns `true` if the provider can be used for no user.
    fn is_down(&self) -> bool {
        match self {
            Self::Unreachable(_)
            | Self::ClientRefused
            | Self::NoCommonAuthentication
            | Self::NoAssertion
            | Self::EndpointWithoutCluster(_)
            | Self::WrongIssuer(_)
            | Self::NotJson(_)
            | Self::InvalidDocuments(_)
            | Self::InvalidAnswer(_) => true,
            Self::GrantEnded { .. }
            | Self::Refused
            | Self::OtherLogin
            | Self::OtherTenant
            | Self::InvalidIdToken(_)
            | Self::InvalidUserInfo(_) => false,
        }
    }
}
