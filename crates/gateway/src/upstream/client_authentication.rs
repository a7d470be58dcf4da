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
    /// `private_key_jwt`: a signed assertion in the body (RFC 7523 §2.2).
    PrivateKeyJwt,
    /// The id in the body: the gateway is a public client there (`none`), or its certificate says
    /// who it is (`tls_client_auth`, RFC 8705 §2).
    Id,
}

impl Method {
    /// The method of the configuration; by default the first of those that the discovery document
    /// lists and that there is a credential for, and the first that there is a credential for where
    /// it does not say (OIDC Discovery §3).
    ///
    /// An empty list says nothing: what is sent then is what OpenID Connect takes by default, and
    /// what every OAuth 2.0 server must take (RFC 6749 §2.3.1), unless there is a key.
    ///
    /// # Errors
    /// [`ProviderError::NoCommonAuthentication`].
    pub(super) fn choose(client: &UpstreamClient, listed: &[Cow<'_, str>]) -> Result<Self, ProviderError> {
        let takes = |method: &str| listed.is_empty() || listed.iter().any(|listed| listed == method);
        match (client.authentication, &client.client_secret, &client.key) {
            (ClientAuthentication::Basic, _, _) => Ok(Self::Basic),
            (ClientAuthentication::Post, _, _) => Ok(Self::Post),
            (ClientAuthentication::PrivateKeyJwt, _, _) => Ok(Self::PrivateKeyJwt),
            (ClientAuthentication::TlsClientAuth, _, _) | (ClientAuthentication::Auto, None, None) => Ok(Self::Id),
            (ClientAuthentication::Auto, _, Some(_)) if takes("private_key_jwt") => Ok(Self::PrivateKeyJwt),
            (ClientAuthentication::Auto, Some(_), _) if takes("client_secret_basic") => Ok(Self::Basic),
            (ClientAuthentication::Auto, Some(_), _) if takes("client_secret_post") => Ok(Self::Post),
            (ClientAuthentication::Auto, _, _) => Err(ProviderError::NoCommonAuthentication),
        }
    }

    /// Adds the authentication to a token request. `assertion` is what the client's key has signed.
    pub(super) fn add<'a>(
        self,
        client: &'a UpstreamClient,
        assertion: Option<&'a str>,
        form: &mut Vec<(&str, &'a str)>,
        headers: &mut Vec<(Cow<'static, str>, String)>,
    ) {
        match (self, &client.client_secret) {
            (Self::Basic, Some(secret)) => {
                headers.push(("authorization".into(), basic(&client.client_id, secret).expose().clone()));
                return;
            }
            (Self::Post, Some(secret)) => form.push(("client_secret", secret.expose())),
            (Self::PrivateKeyJwt, _) => {
                let assertion = assertion.unwrap_or_default();
                form.extend([("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)]);
            }
            (Self::Id, _) | (_, None) => {}
        }
        form.push(("client_id", &client.client_id));
    }
}

/// RFC 7523 §2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
