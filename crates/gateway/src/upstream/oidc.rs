//! A provider as an OpenID Connect client sees it: discovery, keys, the authorization request, the
//! token endpoint, the ID token.
//!
//! What the provider says is trusted only as far as it is checked: its documents must name the
//! configured issuer, its endpoints must lie at authorities that the configuration knows a cluster
//! for, its answers must be the JSON they claim.

use std::rc::Rc;

use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::jose::claims::{self, ClaimError, Expected, SignatureError, Typ, VerifiedIdToken};
use portcullis_protocol::jose::jws::Jws;
use portcullis_protocol::jose::keys::JwkSet;
use portcullis_protocol::json::{self, Limits};
use portcullis_protocol::oauth::params;
use serde_json::{Map, Value};

use crate::browser::pending_login::Seed;
use crate::config::{OidcProvider, ProviderId};
use crate::ports::{CallRequest, Ports};
use crate::routing::endpoint_table::Endpoint;
use crate::state::gateway::Gateway;
use crate::state::provider_state::ProviderState;
use crate::upstream::discovery::{Discovery, Known, fetch_documents};
use crate::upstream::endpoint::{CALL_TIMEOUT_MS, is_json, read_object};
use crate::upstream::identity::{Identity, TokenReply};
use crate::upstream::outage::outage;
use crate::upstream::provider_error::{Outage, ProviderError};
use crate::upstream::refusal::refusal;

/// How far the provider's clock may be from ours, in seconds.
const LEEWAY: u64 = 60;

/// An OpenID Connect provider of a gateway.
pub(super) struct Oidc<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) name: &'a str,
    pub(super) id: ProviderId,
    pub(super) settings: &'a OidcProvider,
}

impl Oidc<'_> {
    /// Fetches the provider's documents when they are due, so that no login has to wait for them.
    pub(super) async fn warm<P: Ports>(&self, ports: &P) {
        if self.state(|state| state.is_due(ports.now())) {
            // A failure is remembered by `learn` itself; the next login or tick tries again.
            let _known = self.learn(ports).await;
        }
    }

    /// Returns where to send a browser to log in (OIDC Core §3.1.2.1); `prompt` replaces the
    /// configured one.
    ///
    /// # Errors
    /// [`ProviderError`] while the provider's documents are not known: why they could not be
    /// fetched.
    pub(super) fn authorization_url(&self, seed: &Seed, prompt: Option<&str>) -> Result<String, ProviderError> {
        let settings = self.settings;
        let discovery = self.state(|state| state.known().map(|known| Rc::clone(&known.discovery)))?;
        let redirect_uri = self.callback_url();
        let (state, nonce, challenge) = (seed.state(), seed.nonce(), seed.verifier().challenge().to_string());
        let mut query = vec![
            ("response_type", "code"),
            ("client_id", &settings.client_id),
            ("redirect_uri", &redirect_uri),
            ("scope", &settings.scope),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let configured = settings.extra_parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        query.extend(configured.filter(|(name, _)| prompt.is_none() || *name != "prompt"));
        query.extend(prompt.map(|prompt| ("prompt", prompt)));
        Ok(params::append_query(&discovery.authorization_endpoint, &query))
    }

    /// Redeems the provider's code (OIDC Core §3.1.3.1) and verifies who logged in.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub(super) async fn log_in<P: Ports>(
        &self,
        seed: &Seed,
        code: &str,
        ports: &P,
    ) -> Result<(TokenReply, Identity), ProviderError> {
        let (redirect_uri, verifier) = (self.callback_url(), seed.verifier());
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect_uri),
            ("code_verifier", verifier.expose()),
        ];
        let reply = self.token_request(&form, ports).await?;
        let keys = self.keys(ports).await?;
        let verified = self.verify_id_token(&reply, &keys, &seed.nonce(), ports).await;
        let identity = verified.and_then(|verified| {
            let subject = text_claim(&verified, &self.settings.subject_claim)
                .ok_or(ProviderError::InvalidIdToken("it does not name the user"))?;
            Ok(Identity { subject, name: text_claim(&verified, "name"), email: text_claim(&verified, "email") })
        });
        match identity {
            Ok(identity) => Ok((reply, identity)),
            Err(error) => {
                if let ProviderError::InvalidIdToken(_) = error {
                    ports.provider_failed(error.failure(self.name, &self.settings.issuer));
                }
                Err(error)
            }
        }
    }

    /// Exchanges a refresh token (RFC 6749 §6). An ID token in the answer must be about the same
    /// `subject` (OIDC Core §12.2).
    ///
    /// # Errors
    /// [`ProviderError`]; an answer about another user ends the grant.
    pub(super) async fn refresh<P: Ports>(
        &self,
        refresh_token: &Secret<String>,
        subject: &str,
        ports: &P,
    ) -> Result<TokenReply, ProviderError> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose().as_str())];
        let reply = self.token_request(&form, ports).await?;
        if let Some(id_token) = &reply.id_token
            && !is_about(id_token.expose(), self.settings, subject)
        {
            return Err(ProviderError::GrantEnded { prompt: None });
        }
        Ok(reply)
    }

    /// Verifies an ID token (OIDC Core §3.1.3.7). A key id that is not known makes the keys be
    /// fetched again, at most once in a while.
    async fn verify_id_token<P: Ports>(
        &self,
        reply: &TokenReply,
        keys: &JwkSet,
        nonce: &str,
        ports: &P,
    ) -> Result<VerifiedIdToken, ProviderError> {
        let id_token = reply.id_token.as_ref().ok_or(ProviderError::InvalidIdToken("there is none"))?;
        let jws =
            Jws::parse(id_token.expose()).map_err(|error| ProviderError::InvalidIdToken(error.public_reason()))?;
        let verify = |keys: &JwkSet| {
            claims::verify(&jws, keys, |key, alg, message, signature| ports.verify(key, alg, message, signature))
        };
        let signed = match verify(keys) {
            Err(SignatureError::UnknownKey) if self.state(|state| state.may_ask_again(ports.now())) => {
                verify(&self.learn(ports).await?.keys)
            }
            other => other,
        };
        let signed = signed.map_err(|error| ProviderError::InvalidIdToken(error.public_reason()))?;
        let expected = Expected {
            issuer: &self.settings.issuer,
            audience: &self.settings.client_id,
            typ: Typ::IdToken,
            start_leeway: LEEWAY,
            expiry_leeway: LEEWAY,
        };
        let verified = signed.id_token(&expected, nonce, ports.now());
        verified.map_err(|error| {
            if error == ClaimError::WrongNonce {
                ProviderError::OtherLogin
            } else {
                ProviderError::InvalidIdToken(error.public_reason())
            }
        })
    }

    /// Our redirect URI at the provider.
    fn callback_url(&self) -> String {
        Endpoint::Callback.below(&self.gateway.config().issuer.url)
    }

    fn state<T>(&self, access: impl FnOnce(&mut ProviderState) -> T) -> T {
        self.gateway.provider_state(self.id, access)
    }

    async fn discovery<P: Ports>(&self, ports: &P) -> Result<Rc<Discovery>, ProviderError> {
        match self.state(|state| state.known.as_ref().map(|known| Rc::clone(&known.discovery))) {
            Some(discovery) => Ok(discovery),
            None => Ok(self.learn(ports).await?.discovery),
        }
    }

    async fn keys<P: Ports>(&self, ports: &P) -> Result<Rc<JwkSet>, ProviderError> {
        match self.state(|state| state.known.as_ref().map(|known| Rc::clone(&known.keys))) {
            Some(keys) => Ok(keys),
            None => Ok(self.learn(ports).await?.keys),
        }
    }

    /// Fetches the discovery document and the keys, unless that has just failed. What was known
    /// before stays in use.
    async fn learn<P: Ports>(&self, ports: &P) -> Result<Known, ProviderError> {
        let now = ports.now();
        if let Some(error) = self.state(|state| state.just_failed(now).cloned()) {
            return Err(error);
        }
        self.state(|state| state.asked_at = Some(now));
        match fetch_documents(self.settings, ports).await {
            Ok(known) => {
                ports.provider_answered(self.name);
                self.state(|state| (state.known, state.failed) = (Some(known.clone()), None));
                Ok(known)
            }
            Err((url, error)) => {
                ports.provider_failed(error.failure(self.name, &url));
                self.state(|state| state.failed = Some((ports.now(), error.clone())));
                Err(error)
            }
        }
    }

    /// Asks the token endpoint, and reports how that ended to the operator.
    async fn token_request<P: Ports>(&self, form: &[(&str, &str)], ports: &P) -> Result<TokenReply, ProviderError> {
        let discovery = self.discovery(ports).await?;
        let answered = self.ask_for_tokens(&discovery, form, ports).await;
        match &answered {
            Ok(_) | Err(ProviderError::GrantEnded { .. }) => ports.provider_answered(self.name),
            Err(error) => ports.provider_failed(error.failure(self.name, &discovery.token.url(self.settings))),
        }
        answered
    }

    async fn ask_for_tokens<P: Ports>(
        &self,
        discovery: &Discovery,
        form: &[(&str, &str)],
        ports: &P,
    ) -> Result<TokenReply, ProviderError> {
        let mut form = form.to_vec();
        let mut headers = vec![
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("accept", "application/json".to_owned()),
        ];
        discovery.authentication.add(self.settings, &mut form, &mut headers);
        let call = CallRequest {
            cluster: discovery.token.cluster.clone(),
            method: "POST",
            authority: discovery.token.authority.clone(),
            path: discovery.token.path.clone(),
            headers,
            body: params::encode(&form).into_bytes(),
            timeout_ms: CALL_TIMEOUT_MS,
        };
        let reply = ports.fetch(call).await.map_err(Outage::from)?;
        let code = error_code(&reply.body);
        match (reply.status, &code) {
            (200, None) if !is_json(&reply) => Err(ProviderError::NotJson),
            (200, None) => read_token_reply(&read_object(&reply).map_err(ProviderError::InvalidAnswer)?),
            // Some providers refuse with status 200.
            (status, code) => {
                let refused = refusal(status, code.as_deref());
                let may_be_envoys = refused == ProviderError::Unreachable(Outage::Status(status));
                Err(if may_be_envoys { outage(&reply).into() } else { refused })
            }
        }
    }
}

fn read_token_reply(reply: &Map<String, Value>) -> Result<TokenReply, ProviderError> {
    let secret = |name: &str| {
        reply
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| is_header_text(text))
            .map(|text| Secret::new(text.to_owned()))
    };
    let bearer = reply.get("token_type").and_then(Value::as_str).is_some_and(|t| t.eq_ignore_ascii_case("bearer"));
    if !bearer {
        return Err(ProviderError::InvalidAnswer("the token is not a bearer token"));
    }
    // Some providers write the number as a string.
    let life = reply.get("expires_in");
    let expires_in = life.and_then(Value::as_u64).or_else(|| life.and_then(Value::as_str)?.parse().ok());
    Ok(TokenReply {
        access_token: secret("access_token").ok_or(ProviderError::InvalidAnswer("there is no access token"))?,
        refresh_token: secret("refresh_token"),
        expires_in,
        id_token: secret("id_token"),
    })
}

/// The `error` of an answer, whatever type it claims to have: it is only looked up in a table.
fn error_code(body: &[u8]) -> Option<String> {
    let object = json::parse_object(body, Limits::DOCUMENT).ok()?;
    object.get("error").and_then(Value::as_str).filter(|code| !code.is_empty()).map(str::to_owned)
}

/// Returns a claim that is a string of 1 to 255 bytes without control characters, never anything
/// that has to be converted into one.
fn text_claim(id_token: &VerifiedIdToken, claim: &str) -> Option<String> {
    const MAX_BYTES: usize = 255;
    let value = id_token.claims().get(claim).and_then(serde_json::Value::as_str);
    value
        .filter(|text| !text.is_empty() && text.len() <= MAX_BYTES && !text.chars().any(char::is_control))
        .map(str::to_owned)
}

/// Whether an ID token that came straight from the token endpoint is about this user. Its sender is
/// authenticated by the connection, which stands in for the signature (OIDC Core §3.1.3.7, item 6),
/// so a key server that is unavailable at that moment cannot cost the user the rotated tokens.
fn is_about(id_token: &str, provider: &OidcProvider, subject: &str) -> bool {
    let Ok(jws) = Jws::parse(id_token) else { return false };
    let Ok(claims) = json::parse_object(jws.payload_bytes(), Limits::TOKEN) else { return false };
    let claim = |name: &str| claims.get(name).and_then(Value::as_str);
    claim("iss") == Some(&provider.issuer) && claim(&provider.subject_claim) == Some(subject)
}

/// Whether a token can stand in a header as it is.
fn is_header_text(text: &str) -> bool {
    const MAX_BYTES: usize = 16 * 1024;
    !text.is_empty() && text.len() <= MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic())
}
