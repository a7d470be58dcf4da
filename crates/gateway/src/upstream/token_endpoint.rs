//! The request to a provider's token endpoint (RFC 6749 §4.1.3, §6).

use portcullis_protocol::oauth::form::FORM_TYPE;
use portcullis_protocol::oauth::params;

use crate::config::{TokenMembers, UpstreamClient};
use crate::ports::{CallReply, Ports};
use crate::upstream::client_authentication::Method;
use crate::upstream::endpoint::Target;
use crate::upstream::identity::TokenReply;
use crate::upstream::provider_error::ProviderError;
use crate::upstream::token_reply;

/// The token endpoint of a provider.
pub(super) struct TokenEndpoint<'a> {
    /// The provider's name in the configuration.
    pub(super) provider: &'a str,
    pub(super) client: &'a UpstreamClient,
    pub(super) target: &'a Target,
    pub(super) authentication: Method,
    pub(super) members: &'a TokenMembers,
}

/// An answer with tokens.
pub(super) struct Exchanged {
    pub(super) tokens: TokenReply,
    /// The answer as it came.
    pub(super) reply: CallReply,
}

impl TokenEndpoint<'_> {
    /// Exchanges a code or a refresh token, and reports to the operator how that ended.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub(super) async fn exchange<P: Ports>(
        &self,
        form: &[(&str, &str)],
        ports: &P,
    ) -> Result<Exchanged, ProviderError> {
        let answered = self.ask(form, ports).await;
        match &answered {
            Ok(_) | Err(ProviderError::GrantEnded { .. }) => ports.provider_answered(self.provider),
            Err(error) => ports.provider_failed(error.failure(self.provider, &self.target.url(self.client))),
        }
        answered
    }

    async fn ask<P: Ports>(&self, form: &[(&str, &str)], ports: &P) -> Result<Exchanged, ProviderError> {
        let mut form = form.to_vec();
        let mut headers = vec![
            ("content-type".into(), FORM_TYPE.to_owned()),
            // GitHub answers with a form where JSON is not asked for.
            ("accept".into(), "application/json".to_owned()),
        ];
        self.authentication.add(self.client, &mut form, &mut headers);
        let reply = self.target.call("POST", headers, params::encode(&form).into_bytes(), ports).await?;
        let tokens = token_reply::read(&reply, self.members)?;
        Ok(Exchanged { tokens, reply })
    }
}
