//! A provider as a plain OAuth 2.0 client sees it: configured endpoints, and the one place where it
//! says who logged in.

use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::oauth::params;

use crate::browser::pending_login::Seed;
use crate::config::{AssertionAudience, IdentitySource, OAuth2Provider};
use crate::ports::Ports;
use crate::state::gateway::Gateway;
use crate::upstream::authorization_request::{callback_url, further_parameters};
use crate::upstream::client_authentication::Method;
use crate::upstream::endpoint::{Document, Target};
use crate::upstream::identity::TokenReply;
use crate::upstream::profile::LoggedIn;
use crate::upstream::provider_error::ProviderError;
use crate::upstream::token_endpoint::{Exchanged, TokenEndpoint};
use crate::upstream::user_info::{self, UserInfo};

/// An OAuth 2.0 provider of a gateway.
pub(super) struct OAuth2<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) name: &'a str,
    pub(super) settings: &'a OAuth2Provider,
}

impl OAuth2<'_> {
    /// Returns where to send a browser to log in (RFC 6749 §4.1.1, RFC 7636 §4.3); `prompt`
    /// replaces the configured one.
    pub(super) fn authorization_url(&self, seed: &Seed, prompt: Option<&str>) -> String {
        let client = &self.settings.client;
        let redirect_uri = callback_url(self.gateway);
        let (state, challenge) = (seed.state(), seed.verifier().challenge().to_string());
        let mut query = vec![
            ("response_type", "code"),
            ("client_id", client.client_id.as_str()),
            ("redirect_uri", &redirect_uri),
            ("state", &state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        query.extend(Some(("scope", client.scope.as_str())).filter(|(_, scope)| !scope.is_empty()));
        query.extend(further_parameters(client, prompt));
        params::append_query(&self.settings.authorization_endpoint, &query)
    }

    /// Redeems the provider's code (RFC 6749 §4.1.3) and asks who logged in.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub(super) async fn log_in<P: Ports>(&self, seed: &Seed, code: &str, ports: &P) -> Result<LoggedIn, ProviderError> {
        let redirect_uri = callback_url(self.gateway);
        let target = self.token_target()?;
        let endpoint = self.token_endpoint(&target)?;
        let Exchanged { tokens, reply } = endpoint.redeem(code, (&redirect_uri, seed), ports).await?;
        let client = &self.settings.client;
        let (url, identity) = match &self.settings.identity {
            IdentitySource::TokenAnswer(members) => {
                (target.url(client), user_info::identity(Document::TokenAnswer, &reply, members))
            }
            IdentitySource::UserInfo { endpoint, method, headers, members } => {
                let target = Target::at(client, endpoint).ok_or(ProviderError::EndpointWithoutCluster("userInfo"))?;
                let asked = UserInfo { target: &target, method, headers }.ask(&tokens.access_token, ports).await;
                let identity = asked.and_then(|reply| user_info::identity(Document::UserInfo, &reply, members));
                (target.url(client), identity)
            }
        };
        match identity {
            Ok((subject, profile)) => Ok(LoggedIn { tokens, subject, profile }),
            Err(error) => {
                ports.provider_failed(error.failure(self.name, &url));
                Err(error)
            }
        }
    }

    /// Exchanges a refresh token (RFC 6749 §6). Whose it is the answer does not say.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub(super) async fn refresh<P: Ports>(
        &self,
        refresh_token: &Secret<String>,
        ports: &P,
    ) -> Result<TokenReply, ProviderError> {
        let target = self.token_target()?;
        Ok(self.token_endpoint(&target)?.refresh(refresh_token, ports).await?.tokens)
    }

    fn token_endpoint<'t>(&'t self, target: &'t Target) -> Result<TokenEndpoint<'t>, ProviderError> {
        Ok(TokenEndpoint {
            provider: self.name,
            client: &self.settings.client,
            target,
            authentication: Method::choose(&self.settings.client, &[])?,
            members: &self.settings.token_members,
            issuer: None,
            usual_audience: AssertionAudience::TokenEndpoint,
        })
    }

    fn token_target(&self) -> Result<Target, ProviderError> {
        let target = Target::at(&self.settings.client, &self.settings.token_endpoint);
        target.ok_or(ProviderError::EndpointWithoutCluster("tokenEndpoint"))
    }
}
