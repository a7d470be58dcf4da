//! Which client authentication the gateway uses at the provider's token endpoint.

use std::borrow::Cow;

use portcullis_protocol::oauth::client_authentication::basic;

use crate::config::{ClientAuthentication, UpstreamClient};
use crate::upstream::provider_error::ProviderError;

/// A client authentication method (OIDC Core §9). A request uses one only (RFC 6749 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// `client_secret_basic`: id and secret in the `Authorization` header.
    Basic,
    /// `client_secret_post`: id and secret in the body.
    Post,
    /// `none`: the id in the body; the gateway is a public client there.
    None,
}

impl Method {
    /// The method of the configuration; by default the one that the discovery document lists,
    /// and `client_secret_basic` where it takes several or does not say (OIDC Discovery §3).
    ///
    /// An empty list says nothing: what is sent then is what OpenID Connect takes by default, and
    /// what every OAuth 2.0 server must take (RFC 6749 §2.3.1).
    ///
    /// # Errors
    /// [`ProviderError::NoCommonAuthentication`].
    pub(super) fn choose(client: &UpstreamClient, listed: &[Cow<'_, str>]) -> Result<Self, ProviderError> {
        let setting = match (&client.client_secret, client.authentication) {
            (None, _) => return Ok(Self::None),
            (Some(_), setting) => setting,
        };
        let takes = |method: &str| listed.iter().any(|listed| listed == method);
        match setting {
            ClientAuthentication::Basic => Ok(Self::Basic),
            ClientAuthentication::Post => Ok(Self::Post),
            ClientAuthentication::Auto if listed.is_empty() || takes("client_secret_basic") => Ok(Self::Basic),
            ClientAuthentication::Auto if takes("client_secret_post") => Ok(Self::Post),
            ClientAuthentication::Auto => Err(ProviderError::NoCommonAuthentication),
        }
    }

    /// Adds the authentication to a token request.
    pub(super) fn add<'a>(
        self,
        client: &'a UpstreamClient,
        form: &mut Vec<(&str, &'a str)>,
        headers: &mut Vec<(Cow<'static, str>, String)>,
    ) {
        match (self, &client.client_secret) {
            (Self::Basic, Some(secret)) => {
                headers.push(("authorization".into(), basic(&client.client_id, secret).expose().clone()));
            }
            (Self::Post, Some(secret)) => {
                form.extend([("client_id", client.client_id.as_str()), ("client_secret", secret.expose())]);
            }
            (Self::None, _) | (_, None) => form.push(("client_id", &client.client_id)),
        }
    }
}
