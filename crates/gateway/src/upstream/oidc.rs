//! A provider as an OpenID Connect client sees it: discovery, keys, the authorization request, the
//! token endpoint, the ID token.
//!
//! What the provider says is trusted only as far as it is checked: its documents must name the
//! configured issuer, its endpoints must lie at authorities that the configuration knows a cluster
//! for, its answers must be the JSON they claim.

use std::rc::Rc;

use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::jose::claims::{self, Expected, SignatureError, Typ, VerifiedIdToken};
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
use crate::upstream::endpoint::{CALL_TIMEOUT_MS, read_object};
use crate::upstream::identity::{Identity, TokenReply};
use crate::upstream::provider_error::ProviderError;
use crate::upstream::refusal::refusal;

/// How far the provider's clock may be from ours, in seconds.
const LEEWAY: u64 = 60;

/// An OpenID Connect provider of a gateway.
pub(super) struct Oidc<'a> {
    pub(super) gateway: &'a Gateway,
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
        let id_token = reply.id_token.as_ref().ok_or(ProviderError::NotUnderstood("the provider gave no ID token"))?;
        let verified = self.verify_id_token(id_token.expose(), &seed.nonce(), ports).await?;
        let subject = text_claim(&verified, &self.settings.subject_claim)
            .ok_or(ProviderError::NotUnderstood("the ID token does not name the user"))?;
        let (name, email) = (text_claim(&verified, "name"), text_claim(&verified, "email"));
        Ok((reply, Identity { subject, name, email }))
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
        id_token: &str,
        nonce: &str,
        ports: &P,
    ) -> Result<VerifiedIdToken, ProviderError> {
        let jws = Jws::parse(id_token).map_err(|error| ProviderError::NotUnderstood(error.public_reason()))?;
        let verify = |keys: &JwkSet| {
            claims::verify(&jws, keys, |key, alg, message, signature| ports.verify(key, alg, message, signature))
        };
        let signed = match verify(self.keys(ports).await?.as_ref()) {
            Err(SignatureError::UnknownKey) if self.state(|state| state.may_ask_again(ports.now())) => {
                verify(&self.learn(ports).await?.keys)
            }
            other => other,
        };
        let signed = signed.map_err(|_| ProviderError::NotUnderstood("the ID token's signature does not verify"))?;
        let expected = Expected {
            issuer: &self.settings.issuer,
            audience: &self.settings.client_id,
            typ: Typ::IdToken,
            start_leeway: LEEWAY,
            expiry_leeway: LEEWAY,
        };
        let verified = signed.id_token(&expected, nonce, ports.now());
        verified.map_err(|error| ProviderError::NotUnderstood(error.public_reason()))
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
        let fetched = fetch_documents(self.settings, ports).await;
        self.state(|state| match &fetched {
            Ok(known) => (state.known, state.failed) = (Some(known.clone()), None),
            Err(error) => state.failed = Some((ports.now(), error.clone())),
        });
        fetched
    }

    async fn token_request<P: Ports>(&self, form: &[(&str, &str)], ports: &P) -> Result<TokenReply, ProviderError> {
        let discovery = self.discovery(ports).await?;
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
        let reply = ports.fetch(call).await.map_err(|_| ProviderError::Unreachable)?;
        match reply.status {
            // Some providers refuse with status 200.
            200 => match error_code(&reply.body) {
                None => read_token_reply(&read_object(&reply)?),
                code @ Some(_) => Err(refusal(200, code.as_deref())),
            },
            status => Err(refusal(status, error_code(&reply.body).as_deref())),
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
        return Err(ProviderError::NotUnderstood("the provider's token is not a bearer token"));
    }
    // Some providers write the number as a string.
    let life = reply.get("expires_in");
    let expires_in = life.and_then(Value::as_u64).or_else(|| life.and_then(Value::as_str)?.parse().ok());
    Ok(TokenReply {
        access_token: secret("access_token")
            .ok_or(ProviderError::NotUnderstood("the provider gave no access token"))?,
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
    const MOST: usize = 16 * 1024;
    !text.is_empty() && text.len() <= MOST && text.bytes().all(|byte| byte.is_ascii_graphic())
}
