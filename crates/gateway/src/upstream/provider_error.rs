//! Why the identity provider gave nothing that can be used.

/// Why the provider gave nothing that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderError {
    /// It cannot be reached, is overloaded or failed: it may work later.
    Unreachable,
    /// It will not honour this code or refresh token any more.
    GrantEnded {
        /// The `prompt` that a new login has to send, where the provider says so (`prompt`, OIDC
        /// Core §3.1.2.1).
        prompt: Option<&'static str>,
    },
    /// It refused the request as such, and will do so each time.
    Refused,
    /// It refused us, not the user: the client id or the secret is wrong there.
    Misconfigured(&'static str),
    /// Its token endpoint takes no client authentication that the gateway has (OIDC Discovery §3,
    /// `token_endpoint_auth_methods_supported`).
    NoCommonAuthentication,
    /// It answered something that no provider should.
    NotUnderstood(&'static str),
}
