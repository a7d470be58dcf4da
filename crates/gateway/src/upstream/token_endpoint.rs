//! The requests to a provider's token endpoint (RFC 6749 §4.1.3, §6).

use std::borrow::Cow;

use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::json::foreign::ForeignValue;
use portcullis_protocol::oauth::form::FORM_TYPE;
use portcullis_protocol::oauth::params;

use crate::browser::pending_login::Seed;
use crate::config::{AssertionAudience, ClientKey, TokenMembers, UpstreamClient};
use crate::ports::{CallReply, Ports};
use crate::upstream::client_assertion::client_assertion;
use crate::upstream::client_authentication::Method;
use crate::upstream::endpoint::{Document, Target};
use crate::upstream::identity::TokenReply;
use crate::upstream::provider_error::ProviderError;
use crate::upstream::token_reply::{self, Grant};

/// The token endpoint of a provider.
pub(super) struct TokenEndpoint<'a> {
    /// The provider's name in the configuration.
    pub(super) provider: &'a str,
    pub(super) client: &'a UpstreamClient,
    pub(super) target: &'a Target,
    pub(super) authentication: Method,
    pub(super) members: &'a TokenMembers,
    /// The provider's issuer, if it has one.
    pub(super) issuer: Option<&'a str>,
    /// The audience of client assertions where none is configured.
    pub(super) usual_audience: AssertionAudience,
}

/// An answer with tokens.
pub(super) struct Exchanged {
    pub(super) tokens: TokenReply,
    /// The answer as it came.
    pub(super) reply: CallReply,
}

impl TokenEndpoint<'_> {
    /// Redeems a code that was sent to `redirect_uri` (RFC 6749 §4.1.3, RFC 7636 §4.5).
    ///
    /// # Errors
    /// [`ProviderError`].
    pub(super) async fn redeem<P: Ports>(
        &self,
        code: &str,
        (redirect_uri, seed): (&str, &Seed),
        ports: &P,
    ) -> Result<Exchanged, ProviderError> {
        let verifier = seed.verifier();
        let form = [("code", code), ("redirect_uri", redirect_uri), ("code_verifier", verifier.expose())];
        self.exchange(Grant::Code, &form, ports).await
    }

    /// Exchanges a refresh token (RFC 6749 §6).
    ///
    /// # Errors
    /// [`ProviderError`].
    pub(super) async fn refresh<P: Ports>(
        &self,
        refresh_token: &Secret<String>,
        ports: &P,
    ) -> Result<Exchanged, ProviderError> {
        let form = [("refresh_token", refresh_token.expose().as_str())];
        self.exchange(Grant::RefreshToken, &form, ports).await
    }

    /// Exchanges a subject's token for another (RFC 8693 §2.1).
    ///
    /// # Errors
    /// [`ProviderError`].
    pub(super) async fn exchange_subject<P: Ports>(
        &self,
        form: &[(&str, &str)],
        ports: &P,
    ) -> Result<TokenReply, ProviderError> {
        let answered = self.ask(Grant::TokenExchange, form, ports).await;
        let answered = answered.and_then(|answer| check_issued_type(&answer.reply).map(|()| answer));
        Ok(self.reported(answered, ports)?.tokens)
    }

    /// Sends a form, and reports to the operator how that ended.
    async fn exchange<P: Ports>(
        &self,
        grant: Grant,
        form: &[(&str, &str)],
        ports: &P,
    ) -> Result<Exchanged, ProviderError> {
        self.reported(self.ask(grant, form, ports).await, ports)
    }

    fn reported<P: Ports>(
        &self,
        answered: Result<Exchanged, ProviderError>,
        ports: &P,
    ) -> Result<Exchanged, ProviderError> {
        match &answered {
            Ok(_) | Err(ProviderError::GrantEnded { .. }) => ports.provider_answered(self.provider),
            Err(error) => ports.provider_failed(error.failure(self.provider, &self.target.url(self.client))),
        }
        answered
    }

    async fn ask<P: Ports>(&self, grant: Grant, form: &[(&str, &str)], ports: &P) -> Result<Exchanged, ProviderError> {
        let mut form = [&[("grant_type", grant.name())], form].concat();
        let mut headers = vec![
            ("content-type".into(), FORM_TYPE.to_owned()),
            // GitHub answers with a form where JSON is not asked for.
            ("accept".into(), "application/json".to_owned()),
        ];
        let further = self.client.extra_token_parameters.iter();
        form.extend(further.map(|(name, value)| (name.as_str(), value.as_str())));
        let assertion = match &self.client.key {
            Some(key) if self.authentication == Method::PrivateKeyJwt => {
                Some(client_assertion(key, &self.client.client_id, &self.audience(key), ports)?)
            }
            Some(_) | None => None,
        };
        self.authentication.add(self.client, assertion.as_deref(), &mut form, &mut headers);
        let reply = self.target.call("POST", headers, params::encode(&form).into_bytes(), ports).await?;
        let tokens = token_reply::read(&reply, self.members, grant)?;
        Ok(Exchanged { tokens, reply })
    }

    /// The audience of an assertion.
    fn audience(&self, key: &ClientKey) -> Cow<'_, str> {
        match (key.audience.unwrap_or(self.usual_audience), self.issuer) {
            (AssertionAudience::Issuer, Some(issuer)) => Cow::Borrowed(issuer),
            (AssertionAudience::TokenEndpoint, _) | (AssertionAudience::Issuer, None) => {
                Cow::Owned(self.target.url(self.client))
            }
        }
    }
}

/// Checks that what was issued is an access token (RFC 8693 §2.2.1): nothing else goes to a
/// backend.
fn check_issued_type(reply: &CallReply) -> Result<(), ProviderError> {
    let answer = Document::TokenAnswer.members(reply, &["issued_token_type"])?;
    match answer.get("issued_token_type").map(ForeignValue::text) {
        Some(Some(issued)) if ISSUED_TYPES.contains(&&*issued) => Ok(()),
        Some(_) => Err(ProviderError::InvalidAnswer("the exchange gave no access token, by its `issued_token_type`")),
        None => Err(ProviderError::InvalidAnswer("the exchange's answer has no `issued_token_type`")),
    }
}

/// The types of tokens that a backend is sent: an access token, which may be called by its form.
const ISSUED_TYPES: [&str; 2] =
    ["urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:token-type:jwt"];
